"""The tables of every setting, with its default and what it is for, from the sections themselves: first those of every
method, then what a method adds.

.. settings::
"""

import inspect
from dataclasses import fields

from docstrings import prose
from source_tree import Generated, heading, table
from sphinx.application import Sphinx

from ddad_jax.engine.methods.table import METHODS
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.settings.setting import Setting, settings_in


def settings() -> dict[str, list[Setting]]:
    """Those of every method (""), and by method what it adds."""
    common = list(settings_in(Settings))
    flags = {each.flag for each in common}
    own = {name: settings_in(of.settings) for name, of in METHODS.items()}
    return {"": common} | {name: [each for each in all_ if each.flag not in flags] for name, all_ in own.items()}


def _text(of: type[Settings], members: list[Setting], suffix: str) -> str:
    sections: dict[str, list[Setting]] = {}
    for setting in members:
        sections.setdefault(setting.flag.rpartition(".")[0], []).append(setting)
    words = {each.name: inspect.getdoc(type(each.default)) or "" for each in fields(of)}
    pieces = []
    for section, own in sections.items():
        pieces.append(heading(f"{section or 'At the top'}{suffix}", "-"))
        pieces += [prose(" ".join(words[section].split())) + "\n\n"] if section else []
        rows = [[f"``{s.flag}``", f"``{s.default!r}``", prose(s.help)] for s in own]
        pieces.append(table(["setting", "default", "meaning"], rows, "25 20 55"))
    return "".join(pieces)


class SettingsTables(Generated):
    def text(self) -> str:
        by_method = settings().items()
        return "".join(
            _text(METHODS[name].settings if name else Settings, of, f", of method {name}" if name else "")
            for name, of in by_method
        )


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("settings", SettingsTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
