"""Figure 7 as a table: the image AUROC of every epoch that was judged."""

from collections.abc import Sequence
from typing import Any

from ddad_jax.engine.methods.ddad.points import SETTINGS
from ddad_jax.engine.methods.point import key_of
from ddad_jax.engine.store.tables import format_table
from experiments.papers.epochs import rows_by_epoch
from experiments.papers.figures import Curves
from experiments.papers.numbers import contradictions
from experiments.papers.running import Ask, Found, State, folder_of
from experiments.papers.table import Run, Table


def category_curves(ask: Ask, found: Found) -> Curves:
    """Of the categories that have any."""
    by_category = {category: _lines(ask, [run for run, _ in runs]) for (_, category), runs in found.items()}
    return {category: lines for category, lines in by_category.items() if lines}


def curve_records(curves: Curves) -> list[dict[str, Any]]:
    return [
        {"category": category, "line": name, "epoch": epoch, "image_auroc": value}
        for category, lines in curves.items()
        for name, points in lines.items()
        for epoch, value in points
    ]


def curves_text(table: Table, curves: Curves) -> str:
    """A row an epoch, a column a line."""
    names = [line.name for line in table.blocks[0].lines]
    rows = [
        {"category": category, "epoch": epoch, **{name: dict(lines.get(name, ())).get(epoch) for name in names}}
        for category, lines in curves.items()
        for epoch in sorted({epoch for points in lines.values() for epoch, _ in points})
    ]
    return format_table(rows, ["category", "epoch", *names], max_rows=200) if rows else "not run"


def table_captions(table: Table, ask: Ask, states: Sequence[State]) -> tuple[list[str], list[str]]:
    """What stands above the table, and below."""
    numbers = table.blocks[0].printed
    above = [f"{numbers.where}: {numbers.title} (in %)"]
    if ask.size != "gpu":
        above.append("NOT THE PAPER'S SIZE: a small network, trained for minutes.")
    below = ["Test labels are looked at after every epoch: this shows a course and chooses nothing."]
    skipped = dict.fromkeys(f"Not run: {state.skipped}" for state in states if state.skipped)
    return above, [*below, *skipped, *(f"The paper: {one}" for one in contradictions(table.blocks[0].numbers))]


def _lines(ask: Ask, runs: Sequence[Run]) -> dict[str, list[tuple[int, float]]]:
    lines: dict[str, list[tuple[int, float]]] = {}
    for run in runs:
        by_epoch = rows_by_epoch(folder_of(ask, run))
        for line in run.lines:
            key = run.key(line)
            points = [
                (epoch, 100.0 * float(row["image_auroc"]))
                for epoch, rows in by_epoch.items()
                for row in rows
                if key_of(row, SETTINGS) == key and row["image_auroc"] is not None
            ]
            if points:
                lines[line.name] = points
    return lines
