"""Rows of pictures with a name each: data as it is, the stages of a step, the same picture redrawn in many ways."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ddad_jax.engine.figures.grid import TRIES, coloured, scale_of
from ddad_jax.engine.figures.parts import save_figure
from ddad_jax.errors import InputError

CELL, NAME = 1.3, 1.35
"""Inches of a picture's side, and of the names at the left."""


def picture_rows(
    rows: Mapping[str, np.ndarray], path: str | Path, *, titles: Sequence[str] = (), range_of_maps: str = "row"
) -> Path | None:
    """A named row for each entry, its pictures from left to right; None where there is none.

    Args:
        rows: name -> [k, h, w, 3], uint8 RGB or float in [-1, 1] (what lies outside is cut off), or maps [k, h, w],
            drawn in colours from 0 (or the lowest value below) to their 99.8th percentile.
        path: PNG to write.
        titles: of the columns, from the left; empty: none.
        range_of_maps: "row": the maps of a row share a scale; "all": all maps do.

    Raises InputError for other shapes, and where the file cannot be written.
    """
    if range_of_maps not in ("row", "all"):
        raise InputError(f"range_of_maps = {range_of_maps!r}: expected 'row' or 'all'")
    for name, pictures in rows.items():
        if pictures.ndim != 3 and (pictures.ndim != 4 or pictures.shape[3] != 3):
            raise InputError(f"{name}: {pictures.shape}, expected pictures [k, h, w, 3] or maps [k, h, w]")
    columns = max((len(pictures) for pictures in rows.values()), default=0)
    if not columns:
        return None
    top = 0.08 + 0.17 * max((title.count("\n") + 1 for title in titles), default=0)
    figure = Figure(figsize=(NAME + CELL * columns + 0.05, CELL * len(rows) + top + 0.05))
    width, height = figure.get_size_inches()
    panels = figure.subplots(
        len(rows), 1 + columns, squeeze=False,
        gridspec_kw={
            "width_ratios": [NAME, *columns * [CELL]], "wspace": 0.04, "hspace": 0.05, "left": 0.0,
            "right": 1 - 0.05 / width, "top": 1 - top / height, "bottom": 0.05 / height,
        },
    )  # fmt: skip
    maps = [pictures for pictures in rows.values() if pictures.ndim == 3]
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, title in zip(panels[0, 1:], titles, strict=False):
        axes.set_title(title, fontsize=9, pad=3, parse_math=False)
    for (name, pictures), line in zip(rows.items(), panels, strict=True):
        line[0].text(0.96, 0.5, name, ha="right", va="center", fontsize=9, parse_math=False, linespacing=1.3)
        line[0].set(xlim=(0, 1), ylim=(0, 1))
        scale = scale_of(maps if range_of_maps == "all" else [pictures]) if pictures.ndim == 3 else (0.0, 1.0)
        for picture, axes in zip(pictures, line[1:], strict=False):
            shown = coloured(picture, scale) if picture.ndim == 2 else _seen(picture)
            # Large pictures are averaged down ("auto"), small ones smoothed up.
            axes.imshow(shown, interpolation="auto" if max(shown.shape) > 160 else "bilinear")
    return save_figure(figure, path, tries=TRIES)


def _seen(picture: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] of what may be in the networks' units."""
    if picture.dtype == np.uint8:
        return picture
    return np.round((np.clip(np.asarray(picture, np.float32), -1, 1) + 1) * 127.5).astype(np.uint8)
