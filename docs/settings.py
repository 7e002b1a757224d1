"""The table of every setting, with its default and what the comment beside it says: read from
ddad_jax/engine/settings.py.

.. settings::
"""

import inspect
import re
from typing import NamedTuple

from docstrings import prose
from ml_collections import ConfigDict
from source_tree import Generated, heading, table
from sphinx.application import Sphinx

from ddad_jax.engine.settings import base


class Setting(NamedTuple):
    name: str
    default: str
    comment: str


_LINE = re.compile(r"^    c\.(?P<name>[\w.]+) = (?P<value>.*?)(?:  # (?P<comment>.*))?$")


def settings() -> list[Setting]:
    """In the order of the file; a section itself is one, too, with an empty default."""
    found, above = [], []
    for line in inspect.getsource(base).split("\n"):
        if line.startswith("    # "):
            above.append(line[6:])
        elif at := _LINE.match(line):
            value = "" if at["value"] == "ConfigDict()" else repr(_default(at["name"]))
            found.append(Setting(at["name"], value, " ".join([*above, *filter(None, [at["comment"]])])))
            above = []
        else:
            above = []
    return found


def _default(dotted: str) -> object:
    at: object = base()
    for name in dotted.split("."):
        at = at[name] if isinstance(at, ConfigDict) else None
    return at


class Settings(Generated):
    def text(self) -> str:
        sections: dict[str, list[Setting]] = {}
        for setting in settings():
            inside = not setting.default or "." in setting.name
            sections.setdefault(setting.name.partition(".")[0] if inside else "", []).append(setting)
        parts = []
        for section, members in sections.items():
            parts.append(heading(section or "At the top", "-"))
            parts += [prose(s.comment) + "\n\n" for s in members if not s.default and s.comment and "." not in s.name]
            rows = [[f"``{s.name}``", f"``{s.default}``", prose(s.comment)] for s in members if s.default]
            parts.append(table(["setting", "default", "meaning"], rows, "25 20 55"))
        return "".join(parts)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
