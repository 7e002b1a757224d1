"""A few pictures redrawn by several ways to sample, side by side, and how far each is from a fine teacher."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddad_jax.data import ImageSet
from ddad_jax.engine.figures.grid import TRIES, colour_bar, coloured, outline, scale_of
from ddad_jax.engine.figures.parts import BLUE, GREY, ORANGE, ending, save_figure


class Column(NamedTuple):
    """What one way to sample makes of the k pictures."""

    way: str
    calls: int
    x0: np.ndarray
    """uint8 [k, h, w, 3]."""
    teacher: np.ndarray | None = None
    """uint8 [k, h, w, 3], what it is compared with; None: it is the teacher."""

    @property
    def distance(self) -> np.ndarray | None:
        """|x0 - teacher| in units of [-1, 1], mean over colours: [k, h, w]."""
        if self.teacher is None:
            return None
        return np.abs(self.x0.astype(np.float32) - self.teacher).mean(-1) / 127.5


def side_by_side_figure(pictures: ImageSet, columns: Sequence[Column], path: str | Path) -> Path | None:
    """A row for each picture: the input with its mask's outline, then a column each, its distance map below it.

    All distance maps share one scale, drawn below them; the number in a map is its mean.

    Args:
        pictures: k of them, those of the columns.
        columns: from left to right.
        path: PNG to write.
    """
    if not columns or not len(pictures.labels):
        return None
    k, cell = len(pictures.labels), 1.25
    titles = ["input", *(f"{_wrapped(c.way)}\n{c.calls} call{'s' if c.calls > 1 else ''}" for c in columns)]
    top = 0.12 + 0.145 * max(title.count("\n") + 1 for title in titles)
    figure = Figure(figsize=(cell * len(titles) + 0.1, 2 * k * cell + 0.35 + top))
    width, height = figure.get_size_inches()
    panels = figure.subplots(
        2 * k + 1, len(titles), squeeze=False,
        gridspec_kw={
            "height_ratios": 2 * k * [cell] + [0.09], "wspace": 0.04, "hspace": 0.04, "left": 0.05 / width,
            "right": 1 - 0.05 / width, "top": 1 - top / height, "bottom": 0.22 / height,
        },
    )  # fmt: skip
    maps = [column.distance for column in columns]
    known = [m for m in maps if m is not None]
    scale = scale_of(known or [np.zeros(1)])
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, fontsize=8.5, pad=4)
    for row in range(k):
        above, below = panels[2 * row], panels[2 * row + 1]
        _draw(above[0], pictures.images[row])
        if pictures.has_mask[row] and pictures.masks[row].any():
            outline(above[0], pictures.masks[row])
        _describe(below[0], pictures, row)
        for column, distance, image, difference in zip(columns, maps, above[1:], below[1:], strict=True):
            _draw(image, column.x0[row])
            if distance is not None:
                _draw(difference, coloured(distance[row], scale))
                difference.text(
                    0.96, 0.04, f"{distance[row].mean():.3f}", color="white", fontsize=7, ha="right",
                    transform=difference.transAxes, bbox={"color": "black", "alpha": 0.5, "pad": 1, "lw": 0},
                )  # fmt: skip
    if known:
        panels[-1, -1].set_axis_on()
        colour_bar(figure, panels[-1, -1], scale, clipped=max(float(m.max()) for m in known) > scale[1])
    return save_figure(figure, path, tries=TRIES)


def _draw(axes: Axes, picture: np.ndarray) -> None:
    # Large pictures are averaged down ("auto"), small ones smoothed up.
    axes.imshow(picture, interpolation="auto" if max(picture.shape) > 160 else "bilinear")


def _wrapped(way: str) -> str:
    # Between settings only: "η 1" stays together.
    return textwrap.fill(", ".join(p.replace(" ", "\u00a0") for p in way.split(", ")), 18, break_long_words=False)


def _describe(axes: Axes, pictures: ImageSet, row: int) -> None:
    said = [
        (ending(pictures.defects[row], 18), ORANGE if pictures.labels[row] else BLUE, 9),
        (ending(pictures.names[row], 22), "black", 7),
    ]
    if row == 0:
        said += [("distance to the", GREY, 7), ("fine teacher →", GREY, 7)]
    for i, (text, ink, size) in enumerate(said):
        axes.text(
            0.02, 0.86 - 0.15 * i - 0.08 * (i > 1), text, color=ink, weight="normal" if i else "bold", fontsize=size,
            va="center", parse_math=False, transform=axes.transAxes,
        )  # fmt: skip
