"""The table of every departure from paper or published code: each ``Deviation:`` of a docstring.

.. deviations::
"""

import re
from typing import NamedTuple

from docstrings import prose
from source_tree import Generated, docstrings, dotted, sources, table, tree
from sphinx.application import Sphinx


class Deviation(NamedTuple):
    module: str
    name: str
    """Of the function or class in it; "" for the module."""
    argument: str
    text: str


_BEGIN = re.compile(r"^(?P<indent> *)(?:(?P<argument>\w[\w, ]*): (?:[^\n]*?[.;] )?)?Deviation: (?P<text>.*)$")


def of_docstring(said: str) -> list[tuple[str, str]]:
    """(argument or "", what is said) for each Deviation of a docstring.

    It goes on over the lines below that belong to the same paragraph and to the same argument.
    """
    found, lines = [], said.split("\n")
    for i, line in enumerate(lines):
        begin = _BEGIN.match(line) or re.match(r"^(?P<indent> *)(?P<argument>)Deviation: (?P<text>.*)$", line)
        if not begin:
            continue
        indent, text = len(begin["indent"]), [begin["text"]]
        argument = begin["argument"] or _argument_above(lines[:i], indent)
        for below in lines[i + 1 :]:
            depth = len(below) - len(below.lstrip())
            ended = not below.strip() or "Deviation: " in below or below.lstrip().startswith("Source:")
            another = bool(argument) and depth <= indent and bool(begin["argument"])
            if ended or another or depth < indent or re.match(r" *(Args|Raises|Returns):$", below):
                break
            text.append(below.strip())
        found.append((argument, " ".join(text).partition(" Source: ")[0]))
    return found


def _argument_above(lines: list[str], indent: int) -> str:
    """Of the entry of ``Args:`` that a line with this indentation goes on with, or ""."""
    for line in reversed(lines):
        depth = len(line) - len(line.lstrip())
        if not line.strip() or (depth < indent and depth == 0):
            return ""
        entry = re.match(r" +(\w[\w, ]*): ", line)
        if depth < indent and entry:
            return entry[1]
    return ""


def all_of_them() -> list[Deviation]:
    return [
        Deviation(dotted(path), name, argument, text)
        for path in sources("ddad_jax", "experiments", "launch")
        for name, said in docstrings(tree(path))
        for argument, text in of_docstring(said)
    ]


class Deviations(Generated):
    def text(self) -> str:
        rows = []
        for found in all_of_them():
            name = ".".join(filter(None, (found.module, found.name)))
            linked = re.match(r"ddad_jax\.(?!engine\.)", found.module) and not re.search(r"\b_", name)
            role = "func" if found.name else "mod"
            shown = f":py:{role}:`{name.removeprefix('ddad_jax.')} <{name}>`" if linked else f"``{name}``"
            rows.append([shown, f"``{found.argument}``" if found.argument else "", prose(found.text, found.module)])
        return table(["where", "argument", "what differs"], rows, "25 12 63")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("deviations", Deviations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
