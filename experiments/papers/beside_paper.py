"""L7. A sweep of ours beside a table of the paper: the same setting, other pictures."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ddad_jax.engine.figures.curves import TITLES
from ddad_jax.engine.figures.parts import BLUE, GREY, NAMES, ORANGE, save_figure, tidy
from ddad_jax.engine.store.tables import Row, is_number
from experiments.papers.numbers import Numbers, average_of

SETTING = re.compile(r"(?:[a-z] = |DDAD-)(\d+(?:\.\d+)?)")
"""Rows of a table that differ in one number: "w = 3", "DDAD-10"; DDAD-S-10 is another network."""


def beside_paper(rows: Sequence[Row], published: Numbers, path: str | Path, *, setting: str) -> Path | None:
    """A panel for each metric of the table, in per cent, against the setting: the paper's categories as thin lines,
    their mean, and the mean of our rows. None where the two share no metric.

    Args:
        rows: result rows that differ in nothing but ``setting`` and the seed.
        published: a table with a row for each value of the setting.
        path: PNG to write.
        setting: key of the row, "w", "steps" or "v".
    """
    values = _values(published)
    metrics = [m for m in published.metrics if values and any(is_number(row.get(m)) for row in rows)]
    if not metrics:
        return None
    figure = Figure(figsize=(4.1 * len(metrics), 3.4), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        at = published.metrics.index(metric)
        cells = {value: _trusted(published, name) for value, name in values.items()}
        for column in published.columns:
            line = {value: row[column][at] for value, row in cells.items() if column in row}
            axes.plot(list(line), list(line.values()), color=GREY, lw=0.7, alpha=0.5)
        mean = [average_of(published, name)[at] for name in values.values()]
        axes.plot(list(values), mean, color=BLUE, lw=2.2, marker="s", ms=4)
        ours = _ours(rows, setting, metric)
        axes.plot(list(ours), list(ours.values()), color=ORANGE, lw=2.2, marker="o", ms=5)
        axes.set_xticks(sorted({*values, *ours}), [f"{v:g}" for v in sorted({*values, *ours})])
        axes.set_title(f"{NAMES.get(metric, metric)}, %", fontsize=9)
        axes.set_xlabel(TITLES.get(setting, setting), parse_math=False)
        tidy(axes)
    handles = [
        axes.plot([], [], color=GREY, lw=0.8)[0],
        axes.plot([], [], color=BLUE, lw=2.2, marker="s", ms=4)[0],
        axes.plot([], [], color=ORANGE, lw=2.2, marker="o", ms=5)[0],
    ]
    names = [f"paper, {published.where}: each category", "its mean", "this run, other pictures"]
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return save_figure(figure, path)


def beside_paper_table(rows: Sequence[Row], published: Numbers, *, setting: str) -> list[Row]:
    """The figure's numbers, in per cent: for each value of the setting ours, the paper's mean, and its categories from
    the lowest to the highest; None where one of the two has no such value."""
    values = _values(published)
    metrics = [m for m in published.metrics if any(is_number(row.get(m)) for row in rows)]
    ours = {metric: _ours(rows, setting, metric) for metric in metrics}
    table: list[Row] = []
    for value in sorted({*values, *(v for found in ours.values() for v in found)}):
        row: dict[str, Any] = {setting: value}
        for metric in metrics:
            at, said = published.metrics.index(metric), NAMES.get(metric, metric)
            row[said] = ours[metric].get(value)
            known = value in values
            cells = [cell[at] for cell in _trusted(published, values[value]).values()] if known else []
            row[f"{said}, paper"] = average_of(published, values[value])[at] if known else None
            row[f"{said}, its categories"] = f"{min(cells):.1f} to {max(cells):.1f}" if cells else None
        table.append(row)
    return table


def _values(published: Numbers) -> dict[float, str]:
    """Value of the setting -> name of its row, rising."""
    found = {float(match[1]): name for name in published.rows if (match := SETTING.fullmatch(name))}
    return dict(sorted(found.items()))


def _trusted(published: Numbers, name: str) -> dict[str, tuple[float, ...]]:
    """Column -> cell of the row, without those where a number is missing or doubtful."""
    cells = zip(published.columns, published.rows[name].cells, strict=True)
    known = {column: tuple(n for n in cell if n is not None) for column, cell in cells}
    return {
        column: numbers
        for column, numbers in known.items()
        if len(numbers) == len(published.metrics) and (name, column) not in published.doubtful
    }


def _ours(rows: Sequence[Row], setting: str, metric: str) -> dict[float, float]:
    """Value of the setting -> per cent, mean over the rows with it."""
    groups: dict[float, list[float]] = {}
    for row in rows:
        if is_number(row.get(metric)) and math.isfinite(row[metric]):
            groups.setdefault(float(row[setting]), []).append(100.0 * row[metric])
    return {value: float(np.mean(found)) for value, found in sorted(groups.items())}
