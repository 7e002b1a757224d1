"""A table with both numbers in every cell: ours from the journals of its runs, the paper's from numbers.json."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.papers.numbers import AVERAGE, Numbers, Value, average_of, mean_of
from experiments.papers.settings import DATA
from experiments.papers.table import Run, TableBlock, TableLine

Rows = Mapping[str, Mapping[str, Any]]
"""Rows of a run by ``method.key_of``."""


class Cell(NamedTuple):
    """metrics: what its numbers are. ours: None where nothing was run; paper: None where the paper has no such cell.
    made_here: whether it is a line of ours. doubtful: the paper's digits. of: an average's categories that were run
    and all the paper has; (0, 0) for other cells."""

    metrics: tuple[str, ...]
    ours: Value | None
    paper: Value | None
    made_here: bool
    doubtful: bool = False
    of: tuple[int, int] = (0, 0)

    @property
    def difference(self) -> Value | None:
        """Ours less the paper's; None where either is missing, and of an average over other categories."""
        if self.ours is None or self.paper is None or self.of[0] != self.of[1]:
            return None
        pairs = zip(self.ours, self.paper, strict=True)
        return tuple(None if a is None or b is None else a - b for a, b in pairs)


class Sheet(NamedTuple):
    """A block filled in. rows: methods and settings; columns: categories and the average. same: line -> the mean of
    the paper's numbers over the categories that were run, where these are not all. steps: fewest and most of a training
    behind it. features: whether any line of ours sees those of the extractor that --backbone names."""

    name: str
    numbers: Numbers
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    run: tuple[str, ...]
    same: Mapping[str, Value]
    steps: tuple[int, int] | None
    features: bool


def filled(block: TableBlock, found: Mapping[str, Sequence[tuple[Run, Rows]]], *, published: bool = False) -> Sheet:
    """The block with what the runs say.

    Args:
      found: category -> its runs and their rows. published: metrics as the published code computes them.
    """
    numbers, lines = block.printed, {line.name: line for line in block.lines}
    rows = tuple(dict.fromkeys([*numbers.rows, *lines]))
    by_category = numbers.kind == "categories"
    own = numbers.columns if by_category else DATA[numbers.data].categories
    ours = {
        (name, category): value
        for name, line in lines.items()
        for category, runs in found.items()
        if (value := _row(line, runs)) is not None
    }
    run = tuple(dict.fromkeys(category for _, category in ours))
    others = tuple(category for category in run if category not in own)
    averages = (AVERAGE,) if by_category else numbers.columns
    cells: dict[tuple[str, str], Cell] = {}
    same: dict[str, Value] = {}
    for name in rows:
        for category in (*own, *others) if by_category else ():
            metrics = numbers.metrics_of(name, category)
            row = ours.get((name, category))
            made = None if row is None else values(row, metrics, published=published)
            doubtful = (name, category) in numbers.doubtful
            cells[name, category] = Cell(metrics, made, numbers.cell(name, category), name in lines, doubtful)
        here = [c for c in own if (name, c) in ours]
        over = here or [c for c in others if (name, c) in ours]
        for column in averages:
            metrics = numbers.metrics_of(name, column)
            made = mean_of([values(ours[name, c], metrics, published=published) for c in over]) if over else None
            printed_mean = average_of(numbers, name) if name in numbers.rows else None
            paper = printed_mean if by_category else numbers.cell(name, column)
            of = (len(here), len(own)) if made is not None else (0, 0)
            cells[name, column] = Cell(metrics, made, paper, name in lines, _doubtful(numbers, name), of)
        if by_category and name in numbers.rows and 0 < len(here) < len(own):
            printed = [numbers.cell(name, c) for c in here]
            same[name] = mean_of([cell for cell in printed if cell is not None])
    columns = (*own, *others, *averages) if by_category else averages
    trained = [int(row["train_steps"]) for row in ours.values()]
    steps = (min(trained), max(trained)) if trained else None
    features = any(line.sees_features for line in block.lines)
    return Sheet(block.numbers, numbers, rows, columns, cells, run, same, steps, features)


def values(row: Mapping[str, Any], metrics: Sequence[str], *, published: bool = False) -> Value:
    """Of a journal's row, as the paper prints them: per cent, and seconds for an image."""
    own = {"pixel_auroc": "published_pixel_auroc", "aupro_30": "published_pro"} if published else {}

    def one(metric: str) -> float | None:
        found = row.get("ms_per_image" if metric == "seconds" else own.get(metric, metric))
        if found is None:
            return None
        return float(found) / 1e3 if metric == "seconds" else 100.0 * float(found)

    return tuple(one(metric) for metric in metrics)


def _doubtful(numbers: Numbers, row: str) -> bool:
    """An average of ours over cells that are doubtful."""
    of_row = any(name == row for name, _ in numbers.doubtful)
    return of_row and numbers.rows[row].average is None


def _row(line: TableLine, runs: Sequence[tuple[Run, Rows]]) -> Mapping[str, Any] | None:
    for run, rows in runs:
        if line in run.lines:
            return rows.get(run.key(line))
    return None
