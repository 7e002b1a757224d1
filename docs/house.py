"""The reference of the library: every module of ddad_jax, by layer.

.. modules:: L3                    modules of a layer that lie in ddad_jax itself
.. modules:: L1 ddad_jax/data      or below a folder of it
"""

from pathlib import Path

from source_tree import ROOT, Generated, dotted, heading, layer, sources
from sphinx.application import Sphinx

PACKAGES = ("ddad_jax/data", "ddad_jax/metrics", "ddad_jax/sources", "ddad_jax/synthetic", "ddad_jax/vision")
"""Folders with a page of their own; the rest is on the page of its layer."""


def modules(wanted: str, folder: str = "") -> list[Path]:
    """Of a layer, with something in them: those below ``folder``, or those below none of PACKAGES."""

    def here(path: Path) -> bool:
        own = next((f for f in PACKAGES if (ROOT / f) in path.parents), "")
        return own == folder

    return [path for path in sources("ddad_jax") if layer(path) == wanted and here(path)]


class Modules(Generated):
    def text(self) -> str:
        parts = []
        for path in modules(*self.arguments):
            name = dotted(path)
            parts += [heading(name, "-"), f".. automodule:: {name}\n\n"]
        return "".join(parts)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("modules", Modules)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
