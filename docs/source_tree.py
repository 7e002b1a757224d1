"""What the pages are made from: the modules of this repository, read without importing them."""

import ast
import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

ROOT = Path(__file__).parent.parent


def sources(*folders: str) -> list[Path]:
    """Python files of these folders of the repository, those below them included."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def dotted(path: Path) -> str:
    """ddad_jax/data/cans.py -> ddad_jax.data.cans."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def layer(path: Path) -> str:
    """ "L3", the first word of a module's docstring, or ""."""
    found = re.match(r"(L\d)\. ", ast.get_docstring(tree(path)) or "")
    return found[1] if found else ""


def docstrings(module: ast.Module) -> Iterator[tuple[str, str]]:
    """(dotted name inside the module, docstring) of the module itself ("") and of all in it that has one."""

    def walk(node: ast.Module | ast.ClassDef | ast.FunctionDef, name: str) -> Iterator[tuple[str, str]]:
        said = ast.get_docstring(node)
        if said:
            yield name, said
        for child in node.body:
            if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
                yield from walk(child, f"{name}.{child.name}".lstrip("."))

    yield from walk(module, "")


class Generated(SphinxDirective, ABC):
    """A directive whose content is reStructuredText that ``text`` makes."""

    optional_arguments = 9

    @abstractmethod
    def text(self) -> str:
        """The content, as reStructuredText."""

    def run(self) -> list[nodes.Node]:
        return nested_parse_to_nodes(self.state, self.text(), allow_section_headings=True)


def heading(title: str, mark: str) -> str:
    return f"{title}\n{mark * len(title)}\n\n"


def table(header: list[str], rows: list[list[str]], widths: str) -> str:
    """A list-table; cells are single paragraphs of reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [header, *rows]:
        lines += [f"   {'* ' if i == 0 else '  '}- {' '.join(cell.split())}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n\n"
