"""Figures 4, 7 and 8: bars of the parts of the method, curves over the epochs of adaptation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ddad_jax.engine.figures.parts import BLUE, GREEN, ORANGE, save_figure, tidy
from experiments.papers.cells import Sheet
from experiments.papers.numbers import WORDS

PANELS = (
    ("pixels alone", ("pixels, w = 0", "pixels, conditioned")),
    ("features alone", ("features, pretrained", "features, adapted")),
    ("both", ("pixels, conditioned", "features, adapted", "pixels and features")),
)
"""As in the paper: what conditioning, adaptation and both distances together add."""

COLOURS = {
    "pixels, w = 0": "#9CCBE5",
    "pixels, conditioned": BLUE,
    "features, pretrained": "#F2B58A",
    "features, adapted": ORANGE,
    "pixels and features": GREEN,
}
PAPERS: dict[str, Any] = {"facecolor": "none", "edgecolor": "black", "lw": 1.2}

Curves = Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]
"""Category -> line -> (epoch, image AUROC in per cent)."""


def bars(sheet: Sheet, path: Path) -> Path:
    """Filled bars are ours, outlines the paper's; a bar without filling was not run."""
    metrics, column = sheet.numbers.metrics, sheet.columns[0]
    figure = Figure(figsize=(12.0, 3.8), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        at, width = np.arange(len(metrics), dtype=float), 0.8 / len(names)
        for i, name in enumerate(names):
            x, cell = at + (i - (len(names) - 1) / 2) * width, sheet.cells[name, column]
            for value, look in ((cell.ours, {"facecolor": COLOURS[name]}), (cell.paper, PAPERS)):
                if value is not None:
                    axes.bar(x, [np.nan if v is None else v for v in value], 0.92 * width, **look)
        axes.set_xticks(at, [WORDS[metric] for metric in metrics])
        axes.set_ylim(0, 104)
        axes.set_ylabel("%")
        axes.set_title(title, fontsize=10)
        tidy(axes)
    keys = [Patch(facecolor=colour, label=name) for name, colour in COLOURS.items()]
    figure.legend(handles=[*keys, Patch(label="the paper's", **PAPERS)], ncols=6, loc="outside lower center",
                  fontsize=8, frameon=False)  # fmt: skip
    return save_figure(figure, path)


def epoch_curves(curves: Curves, path: Path) -> Path | None:
    """A panel a category; None where nothing was run."""
    if not curves:
        return None
    figure = Figure(figsize=(4.6 * len(curves) + 0.6, 3.6), layout="constrained")
    for axes, (category, lines) in zip(np.atleast_1d(figure.subplots(1, len(curves))), curves.items(), strict=True):
        for name, points in lines.items():
            epochs, found = zip(*points, strict=True)
            colour = ORANGE if name.startswith("without") else BLUE
            style = "--" if "alone" in name else "-"
            axes.plot(epochs, found, style, color=colour, marker="o", ms=3, lw=1.6, label=name)
        axes.set_title(category, fontsize=10)
        axes.set_xlabel("epoch of adaptation (0: pretrained)")
        axes.set_ylabel("image AUROC (%)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        tidy(axes)
        axes.legend(fontsize=7, frameon=False)
    return save_figure(figure, path)
