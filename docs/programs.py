"""The reference of the programs: what each does and its flags, and of the config files.

.. programs:: experiments
.. shared-flags::
.. configs::
"""

import ast
import importlib
import re
from pathlib import Path
from typing import NamedTuple

from absl import flags
from docstrings import prose, to_rst
from source_tree import ROOT, Generated, dotted, heading, sources, table, tree
from sphinx.application import Sphinx

SHARED = ("experiments.entry",)
"""Modules whose flags several programs have; they stay defined, as these modules are imported once."""


class Flag(NamedTuple):
    name: str
    default: str
    help: str


def programs(*folders: str) -> list[Path]:
    """The files that can be run."""
    texts = {path: path.read_text("utf-8") for path in sources(*folders)}
    return [path for path, text in texts.items() if '__name__ == "__main__"' in text]


def _shown(flag: flags.Flag) -> Flag:
    choices = getattr(flag.parser, "enum_values", None)
    said = (flag.help or "") + (f" One of {', '.join(choices)}." if choices else "")
    value = flag.default
    shown = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else "" if value is None else str(value)
    return Flag(flag.name, shown, said)


def flags_of(module: str) -> list[Flag]:
    """The flags ``module`` defines. They are forgotten again: two programs may use the same name."""
    importlib.import_module(module)
    own = list(flags.FLAGS.flags_by_module_dict().get(module, []))
    found = [_shown(flag) for flag in own]
    if module not in SHARED:
        for flag in own:
            delattr(flags.FLAGS, flag.name)
    return found


def flag_table(found: list[Flag]) -> str:
    rows = [[f"``--{f.name}``", f"``{f.default}``" if f.default else "", prose(f.help)] for f in found]
    return table(["flag", "default", "meaning"], rows, "22 18 60")


class Programs(Generated):
    def text(self) -> str:
        parts = []
        for path in programs(*self.arguments):
            name, said = dotted(path), ast.get_docstring(tree(path)) or ""
            parts += [heading(name, "-"), "\n".join(to_rst(said.split("\n"))), "\n\n"]
            if (
                re.search(r"from experiments import .*\bentry\b", (text := path.read_text("utf-8")))
                and "entry.run_experiment(" in text
            ):
                parts.append("Takes ``--config``, ``--workdir`` and every setting.\n\n")
            found = flags_of(name)
            parts.append(flag_table(found) if found else "")
        return "".join(parts)


class SharedFlags(Generated):
    def text(self) -> str:
        return flag_table([flag for module in SHARED for flag in flags_of(module)])


class Configs(Generated):
    def text(self) -> str:
        parts = []
        for path in sources("experiments/configs"):
            if not re.search(r"^(def get_config\(|get_config = )", path.read_text("utf-8"), re.MULTILINE):
                continue
            said = (ast.get_docstring(tree(path)) or "").split("\n")
            parts += [heading(path.relative_to(ROOT).as_posix(), "-"), "\n".join(to_rst(said)), "\n\n"]
        return "".join(parts)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("programs", Programs)
    app.add_directive("shared-flags", SharedFlags)
    app.add_directive("configs", Configs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
