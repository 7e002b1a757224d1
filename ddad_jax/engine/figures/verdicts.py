"""Pictures that were judged wrongly, as they were taken, with the contours of what was found and what is there."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ddad_jax.engine.figures.grid import TRIES
from ddad_jax.engine.figures.parts import BLUE, MAX_BYTES, ORANGE, ending, save_figure

COLUMNS = 4


class Card(NamedTuple):
    """One picture. image: uint8 [H, W, 3], contours drawn; score and threshold: of the image."""

    name: str
    defect: str
    label: int
    score: float
    threshold: float
    image: np.ndarray


def verdict_figure(cards: Sequence[Card], path: str | Path, *, max_bytes: int = MAX_BYTES) -> Path | None:
    """The cards in their order, COLUMNS a row, each in its own proportions; None for no card.

    Args:
        cards: what to show. path: PNG to write. max_bytes: as of ``parts.save_figure``.
    """
    if not cards:
        return None
    columns = COLUMNS
    rows = math.ceil(len(cards) / columns)
    cell, text = 2.45, 0.62
    figure = Figure(figsize=(columns * cell, rows * (cell + text)))
    for i, card in enumerate(cards):
        row, column = divmod(i, columns)
        height = rows * (cell + text)
        bottom = 1 - ((row + 1) * (cell + text) - 0.04) / height
        axes = figure.add_axes((column / columns + 0.008, bottom, 1 / columns - 0.016, (cell - 0.08) / height))
        axes.imshow(card.image, interpolation="auto")
        axes.set_anchor("NW")
        axes.set_axis_off()
        lines = [
            (ending(card.defect, 24), ORANGE if card.label else BLUE, "bold"),
            (ending(card.name, 34), "black", "normal"),
            (f"score {card.score:.4g}, {_times(card)}", "black", "normal"),
        ]
        for k, (said, ink, weight) in enumerate(lines):
            figure.text(
                column / columns + 0.01, 1 - (row * (cell + text) + 0.1 + 0.17 * k) / height, said, color=ink,
                fontsize=9 if k == 0 else 7.5, weight=weight, va="center", parse_math=False,
            )  # fmt: skip
    return save_figure(figure, path, tries=TRIES, max_bytes=max_bytes)


def _times(card: Card) -> str:
    """How far from the threshold; standardised scores may have any sign."""
    if card.score > 0 < card.threshold:
        return f"{card.score / card.threshold:.2f} × the threshold"
    return f"threshold {card.threshold:.4g}"
