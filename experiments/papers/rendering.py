"""A filled table as text, Markdown, CSV rows and HTML, in the paper's orientation."""

from collections.abc import Sequence
from typing import Any

from ddad_jax.engine.report.table import escape
from experiments.papers.cells import AVERAGE, Cell, Sheet
from experiments.papers.numbers import Value

NOT_RUN = "not run"
WIDEST = 150
"""Characters of a line of text beyond which a table is turned on its side, where that makes it narrower."""


def lines_of(cell: Cell) -> list[str]:
    """Ours, the paper's and the difference, each on a line; those that are missing are left out."""
    ours = _said(cell.ours, cell) if cell.ours is not None else NOT_RUN if cell.made_here else ""
    if cell.ours is not None and cell.of[0] != cell.of[1]:
        ours += f" ({cell.of[0]} of {cell.of[1]})"
    paper = f"[{_said(cell.paper, cell)}]{'?' if cell.doubtful else ''}" if cell.paper is not None else ""
    difference = _said(cell.difference, cell, sign="+") if cell.difference is not None else ""
    return [line for line in (ours, paper, difference) if line]


def sheet_text(sheet: Sheet) -> str:
    """Aligned columns. Where the paper's orientation is too wide for a terminal, the other one."""
    upright = _text(*grid(sheet))
    if _width(upright) <= WIDEST:
        return upright
    turned = _text(*_turned(*grid(sheet)))
    if _width(turned) >= _width(upright):
        return upright
    return f"{turned}\n(on its side; the files have the paper's orientation)"


def markdown(sheet: Sheet) -> str:
    """A table of Markdown; the parts of a cell are on lines of their own."""
    head, body = grid(sheet)
    rows = [head, ["---"] * len(head), *([label, *("<br>".join(cell) for cell in cells)] for label, cells in body)]
    return "\n".join("| " + " | ".join(part.replace("|", "\\|") for part in row) + " |" for row in rows)


def html(sheet: Sheet, label: str) -> str:
    """A table for ``report.page``."""
    head, body = grid(sheet)
    top = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f'<td class="num">{"<br>".join(map(escape, cell))}</td>' for cell in cells)
        + "</tr>"
        for name, cells in body
    )
    return (
        f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0"><table class="points plain">'
        f"<thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def sheet_records(sheet: Sheet) -> list[dict[str, Any]]:
    """A row for every number, for results that a program reads on."""
    found = []
    for (row, column), cell in sheet.cells.items():
        for i, metric in enumerate(cell.metrics):
            parts = {"ours": cell.ours, "paper": cell.paper, "difference": cell.difference}
            numbers = {name: None if value is None else value[i] for name, value in parts.items()}
            counts = {"categories_run": cell.of[0], "categories": cell.of[1]} if any(cell.of) else {}
            found.append({"table": sheet.name, "row": row, "column": column, "metric": metric, **numbers,
                          "doubtful": cell.doubtful, **counts})  # fmt: skip
    return found


Body = list[tuple[str, list[list[str]]]]


def grid(sheet: Sheet) -> tuple[list[str], Body]:
    """(headings, rows of cells) in the paper's orientation."""
    head = [sheet.numbers.data, *(_word(column) for column in sheet.columns)]
    body = [(row, [lines_of(sheet.cells[row, column]) for column in sheet.columns]) for row in sheet.rows]
    return (head, body) if sheet.numbers.across != "methods" else _turned(head, body)


def _turned(head: list[str], body: Body) -> tuple[list[str], Body]:
    turned = [head[0], *(name for name, _ in body)]
    return turned, [(title, [cells[i] for _, cells in body]) for i, title in enumerate(head[1:])]


def _text(head: list[str], body: Body) -> str:
    widths = [max([len(head[0]), *(len(name) for name, _ in body)])]
    for i, title in enumerate(head[1:]):
        widths.append(max([len(title), *(len(line) for _, cells in body for line in cells[i])]))

    def line(parts: Sequence[str]) -> str:
        first, *others = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
        return "  ".join([first, *others]).rstrip()

    out = [line(head), line(["-" * width for width in widths])]
    for name, cells in body:
        height = max((len(cell) for cell in cells), default=1) or 1
        for k in range(height):
            out.append(line([name if k == 0 else "", *(cell[k] if k < len(cell) else "" for cell in cells)]))
    return "\n".join(out)


def _width(block: str) -> int:
    return max(len(line) for line in block.splitlines())


def _word(column: str) -> str:
    return {AVERAGE: "average", "seconds": "time (s)"}.get(column, column)


def _said(value: Value, cell: Cell, sign: str = "") -> str:
    decimals = [2 if metric == "seconds" else 1 for metric in cell.metrics]
    parts = ("–" if v is None else f"{v:{sign}.{d}f}" for v, d in zip(value, decimals, strict=True))
    return ", ".join(parts)
