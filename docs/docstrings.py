"""Docstrings here are plain text: equations, shapes and |values| as they are. This makes reStructuredText of them.

Sections (``Args:``, ``Raises:``) are left to napoleon. What is indented or aligned stays as it stands, the rest is
prose in which nothing but backticks means anything. Signatures are those of the source, with its own names of types.
"""

import ast
import functools
import inspect
import re
import sys
import textwrap
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

PACKAGE = "ddad_jax"
_SECTION = re.compile(r"(Args|Arguments|Returns|Yields|Raises|Attributes|Example|Examples):$")
_CODE = re.compile(r"``(.+?)``|`([^`]+?)`", re.DOTALL)
_COLON = "\N{MODIFIER LETTER COLON}"
# A command is shown as one.
_COMMAND = re.compile(r"^Command: (?!`)(.+)$")
_LABEL = re.compile(r"(Data|Command|Cost): ")
_ITEM = re.compile(r"(\*|-|\d+\.) ")


def prose(text: str, module: str = "") -> str:
    """``text`` with everything escaped that reStructuredText would read into it; names in backticks become links."""
    parts, end = [], 0
    for code in _CODE.finditer(text):
        parts += [_escaped(text[end : code.start()]), _linked(" ".join((code[1] or code[2]).split()), module)]
        end = code.end()
        if text[end : end + 1].isalnum():
            parts.append("\\ ")
    said = "".join([*parts, _escaped(text[end:])])
    return re.sub(r"(?<![\w*])(Deviation|Source):(?=\s)", r"**\1:**", said)


def _escaped(text: str) -> str:
    """Flags are code, or their two dashes would become one."""
    parts = re.split(r"(?<![\w-])(--[a-z][\w.]*(?:=[^\s,;)]*[\w'])?)", text)
    parts[::2] = [re.sub(r"([\\*|`]|_(?!\w))", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"``{flag}``" for flag in parts[1::2]]
    return "".join(parts)


def _linked(name: str, module: str) -> str:
    target = found(name, module)
    return f":py:obj:`{name} <{target}>`" if target else f"``{name}``"


@functools.cache
def found(name: str, module: str) -> str:
    """The full name of a public function or class of the package that ``name`` stands for in ``module``, or ""."""
    if not re.fullmatch(r"[A-Za-z_][\w.]*", name):
        return ""
    places = [(sys.modules.get(module), name)]
    *before, last = name.removeprefix(f"{PACKAGE}.").split(".")
    places.append((sys.modules.get(".".join([PACKAGE, *before])) if before else None, last))
    for place, attribute in places:
        thing = inspect.unwrap(getattr(place, attribute)) if hasattr(place, attribute) else None
        home, called = getattr(thing, "__module__", None) or "", getattr(thing, "__qualname__", "_")
        if home.startswith(PACKAGE) and (inspect.isfunction(thing) or inspect.isclass(thing)) and called[0] != "_":
            return f"{home}.{called}"
    return ""


def to_rst(lines: list[str], module: str = "") -> list[str]:
    """A docstring, without the indentation of its source, as reStructuredText."""
    out: list[str] = []
    in_section = False
    for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        rows = block.split("\n")
        indent = len(rows[0]) - len(rows[0].lstrip())
        if not indent:
            in_section = bool(_SECTION.match(rows[0]))
        if rows[0].lstrip().startswith(">>>"):
            out += rows
        elif in_section:
            out += prose(block, module).split("\n")
        elif indent or (len(rows) > 1 and sum("   " in row.strip() for row in rows) > 1):
            out += ["::", "", *textwrap.indent(textwrap.dedent(block), "    ").split("\n")]
        elif sum(bool(_LABEL.match(row)) for row in rows) > 1:
            marked = [_COMMAND.sub(r"Command: ``\1``", row) for row in rows]
            out += [
                f"* {prose(row, module)}" if _LABEL.match(row) else f"  {prose(row.strip(), module)}" for row in marked
            ]
        elif _ITEM.match(block):
            out += [_ITEM.match(row)[0] + prose(row[_ITEM.match(row).end() :], module) if _ITEM.match(row)
                    else prose(row, module) for row in rows]  # fmt: skip
        else:
            # A paragraph may hang, or begin a Deviation within it: neither is a definition list.
            for part in re.split(r"\n\s*(?=Deviation: )", block):
                out += [*prose("\n".join(row.strip() for row in part.split("\n")), module).split("\n"), ""]
        out.append("")
    return out


def of_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if lines and re.match(r"Alias for field number \d+$", lines[0]):  # Python's own words, of a NamedTuple
        lines[:] = []
        return
    module = name if what == "module" else getattr(obj, "__module__", "") or ""
    if not isinstance(module, str) or not module.startswith(PACKAGE):
        module = next((m for m in (name.rsplit(".", i)[0] for i in (1, 2)) if m in sys.modules), "")
    rst = to_rst(lines, module)
    # napoleon takes what stands before a colon in the first line of a value's docstring for its type.
    lines[:] = [line.replace(":", _COLON) for line in rst] if what in ("data", "attribute", "property") else rst


def with_colons(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def of_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    """As the source has it: ``y: Image``, where Python itself only remembers jax.Array."""
    thing = inspect.unwrap(getattr(obj, "__func__", obj)) if what in ("function", "method") else None
    if not inspect.isfunction(thing):
        return None
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    except (OSError, SyntaxError, TypeError):
        return None
    if not isinstance(node, ast.FunctionDef):
        return None
    arguments = node.args
    if what == "method" and arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args = arguments.args[1:]
    return f"({ast.unparse(arguments)})", ast.unparse(node.returns) if node.returns else None


def resolved(app: Sphinx, env: BuildEnvironment, node: pending_xref, inner: nodes.Element) -> nodes.Node | None:
    """A short name in a signature or under Raises: the type of the package that is called so."""
    if node.get("refdomain") != "py":
        return None
    types = _types(env).get(node["reftarget"].rpartition(".")[2], [])
    if len(types) != 1:
        return inner if "." not in node["reftarget"] else None
    return env.domains.python_domain.resolve_xref(env, node["refdoc"], app.builder, "obj", types[0], node, inner)


@functools.cache
def _types(env: BuildEnvironment) -> dict[str, list[str]]:
    """Full names by their last part. Asked for when all pages are read."""
    found: dict[str, list[str]] = {}
    for name, entry in env.domains.python_domain.objects.items():
        if entry.objtype in ("class", "exception", "data", "type"):
            found.setdefault(name.rpartition(".")[2], []).append(name)
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    # Before napoleon, whose place is 500.
    app.connect("autodoc-process-docstring", of_docstring, priority=100)
    app.connect("autodoc-process-docstring", with_colons, priority=900)
    app.connect("autodoc-process-signature", of_signature)
    app.connect("missing-reference", resolved)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
