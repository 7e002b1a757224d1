"""Figures of a comparison: accuracy over cost with the Pareto front, and the same pictures through all methods."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from ddad_jax.data import ImageSet
from ddad_jax.engine.comparison.rows import RunOutcome
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.figures.frontier import COLOURS, MARKS
from ddad_jax.engine.figures.parts import GREY, NAMES, ending, save_figure, tidy
from ddad_jax.engine.figures.picture_rows import picture_rows
from ddad_jax.engine.store.tables import Row
from ddad_jax.engine.sweep.selected import load_selected
from ddad_jax.engine.verdicts.shown import thinned
from ddad_jax.engine.workdir import saved_config

AXES = {
    "ms_1": ("ms a picture, one at a time", 1.0),
    "ms_8": ("ms a picture, eight at a time", 1.0),
    "kwh": ("Wh to learn and to judge", 1e3),
}
"""Column -> what stands below it, and units of the axis in one of the column."""
METRICS = ("image_auroc", "f1")
SHOWN = 8
"""Pictures side by side."""


def pareto(cost: Sequence[float], worth: Sequence[float]) -> list[int]:
    """The points that no other beats: at most the cost and at least the worth, one of them better; by rising cost.

    >>> pareto([1.0, 2.0, 3.0], [0.5, 0.4, 0.9])
    [0, 2]
    """
    front: list[int] = []
    for i in sorted(range(len(cost)), key=lambda i: (cost[i], -worth[i])):
        if not front or worth[i] > worth[front[-1]]:
            front.append(i)
    return front


def cost_figure(rows: Sequence[Row], path: Path) -> Path | None:
    """Image AUROC and the F1 in use over milliseconds and energy, with 95 % intervals over pictures; a grey line joins
    the methods of the front. None where no cost is known.

    Args:
        rows: of ``table.group_rows`` over all data sets; those with a missing run are left out.
    """
    whole = [row for row in rows if not row["missing"]]
    shown = [name for name in AXES if any(math.isfinite(row[name]) for row in whole)]
    if not shown:
        return None
    figure = Figure(figsize=(0.8 + 3.1 * len(shown), 5.9), layout="constrained")
    panels = figure.subplots(len(METRICS), len(shown), squeeze=False, sharex="col", sharey="row")
    looks = {row["method"]: (COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]) for i, row in enumerate(rows)}
    for line, metric in zip(panels, METRICS, strict=True):
        for axes, name in zip(line, shown, strict=True):
            _panel(axes, whole, name, metric, looks)
        line[0].set_ylabel({"f1": "F1 at the label-free threshold"}.get(metric, NAMES.get(metric, metric)))
    for axes, name in zip(panels[-1], shown, strict=True):
        axes.set_xlabel(AXES[name][0])
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), fontsize=8, frameon=False)
    return save_figure(figure, path)


def _panel(axes: Axes, rows: Sequence[Row], name: str, metric: str, looks: dict[str, tuple[str, str]]) -> None:
    known = [row for row in rows if math.isfinite(row[name]) and math.isfinite(row[metric])]
    x, y = [AXES[name][1] * row[name] for row in known], [row[metric] for row in known]
    front = pareto(x, y)
    axes.plot([x[i] for i in front], [y[i] for i in front], color=GREY, lw=1.0, zorder=1)
    for at, row in enumerate(known):
        colour, mark = looks[row["method"]]
        # The mean of redrawn sets need not be inside what is redrawn of one with few pictures.
        reach = [[max(y[at] - row[f"{metric}_low"], 0.0)], [max(row[f"{metric}_high"] - y[at], 0.0)]]
        axes.errorbar(
            x[at], y[at], yerr=reach, color=colour, marker=mark, ms=6, lw=0, elinewidth=0.9, capsize=2,
            label=row["method"], zorder=2,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axes.xaxis.minorticks_off()
    tidy(axes)


def shown_pictures(outcomes: Sequence[RunOutcome], most: int = SHOWN) -> list[int]:
    """Places of test pictures of runs on the same ones: of every kind as many, evenly from those that most methods
    judge wrongly to those that all judge rightly."""
    scores = [one.scores for one in outcomes if one.scores is not None]
    right = np.sum([np.isin(s.outcomes, ("found", "passed")) for s in scores], axis=0)
    kinds = sorted(set(scores[0].defects), key=lambda kind: (kind == "good", kind))
    picked: list[int] = []
    for kind in kinds:
        of_kind = np.array([i for i, defect in enumerate(scores[0].defects) if defect == kind])
        ranked = of_kind[np.argsort(right[of_kind], kind="stable")]
        each = max(most // len(kinds), 1)
        picked += [int(i) for i in ranked[np.unique(np.linspace(0, len(ranked) - 1, each).round().astype(int))]]
    return picked[:most]


def side_by_side(outcomes: Sequence[RunOutcome], path: Path) -> Path | None:
    """The same test pictures through all methods: the picture, its mask, and the map of each; above a map's column what
    the methods' thresholds made of it is in the page's table. None without a finished run.

    Args:
        outcomes: of one data set and one seed; runs whose test pictures are others are left out.
    """
    done = [one for one in outcomes if one.scores is not None]
    if not done:
        return None
    first = done[0].scores
    assert first is not None
    same = [one for one in done if one.scores is not None and one.scores.names == first.names]
    at = shown_pictures(same)
    test: ImageSet = load_data(saved_config(same[0].run.workdir)).test
    masks = np.where(test.has_mask[at, None, None], test.masks[at], False)
    rows: dict[str, np.ndarray] = {
        "picture": np.stack([thinned(image, np.mean) for image in test.images[at]]).astype(np.uint8),
        "defect": np.repeat(np.uint8(255) * masks[..., None].astype(np.uint8), 3, axis=-1),
    }
    for one in same:
        maps = load_selected(one.run.workdir)["maps"]
        rows[ending(one.run.method.name, 18)] = np.stack([thinned(maps[i].astype(np.float32)) for i in at])
    titles = [f"{ending(test.defects[i], 16)}\n{_right(same, i)} of {len(same)} right" for i in at]
    return picture_rows(rows, path, titles=titles)


def _right(outcomes: Sequence[RunOutcome], i: int) -> int:
    return sum(one.scores.outcomes[i] in ("found", "passed") for one in outcomes if one.scores is not None)
