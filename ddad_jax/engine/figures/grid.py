"""Examples side by side: what went in, what came out, where they differ and where the defect is."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ddad_jax.engine.figures.parts import BLUE, GREY, MAX_BYTES, ORANGE, ending, save_figure
from ddad_jax.errors import InputError

MAPS = matplotlib.colormaps["inferno"].with_extremes(bad="#5a8f8f")
TRIES = ((130, 6), (115, 6), (100, 6), (100, 5), (80, 5), (70, 5), (60, 5))
TITLES = {
    "reconstruction": "reconstruction",
    "pixel_distance": "pixel distance",
    "feature_distance": "feature distance",
    "anomaly_map": "anomaly map",
    "mask": "mask",
}
"""Field of an example -> heading of its column, behind that of the input."""
ALWAYS = ("anomaly_map", "mask")


class Example(NamedTuple):
    """One test picture with all that was computed from it; h x w is the model's image size."""

    name: str
    defect: str
    """Kind of defect, "good" where there is none."""
    label: int
    """1 = anomalous."""
    score: float
    image: np.ndarray
    """uint8 [h, w, 3], RGB."""
    anomaly_map: np.ndarray
    """float [h, w]."""
    reconstruction: np.ndarray | None = None
    """uint8 [h, w, 3]; None, as with the next two, of a method without."""
    pixel_distance: np.ndarray | None = None
    """D_p, float [h, w], >= 0."""
    feature_distance: np.ndarray | None = None
    """D_f, float [h, w], >= 0."""
    mask: np.ndarray | None = None
    """bool [h, w], True = defective; None: not known."""
    threshold: float | None = None
    """A picture that scores at least this is reported; None: no threshold was set."""


def verdict(example: Example) -> str:
    """What a threshold makes of a picture: "found", "missed", "false alarm", "passed" or ""."""
    if example.threshold is None or not math.isfinite(example.threshold):
        return ""
    alarm = example.score > example.threshold
    return ("found" if alarm else "missed") if example.label else ("false alarm" if alarm else "passed")


def grid_figure(examples: Sequence[Example], path: str | Path, *, max_bytes: int = MAX_BYTES) -> Path | None:
    """A row for each example: input with the mask's outline, reconstruction, D_p, D_f, map over input, mask.

    The maps of a column share one scale over all rows, from 0 to the 99.8th percentile of their pixels, so a
    good part looks dark beside a defective one. The scales are drawn below the columns.

    Args:
        examples: in the order of the rows.
        path: PNG to write.
        max_bytes: the resolution is lowered until the file is smaller (to 60 dpi at the least).

    Raises InputError where a picture and its maps differ in size or the file cannot be written.
    """
    if not examples:
        return None
    for example in examples:
        _check(example)
    # What a method does not have is no column.
    fields = [name for name in TITLES if name in ALWAYS or all(getattr(e, name) is not None for e in examples)]
    n, cell, label_width, columns = len(examples), 1.5, 1.75, 1 + len(fields)
    figure = Figure(figsize=(label_width + columns * cell, n * cell + 0.85))
    width, height = figure.get_size_inches()
    grid = figure.add_gridspec(
        n + 1,
        1 + columns,
        width_ratios=[label_width] + columns * [cell],
        height_ratios=n * [cell] + [0.09],
        left=0.05 / width,
        right=1 - 0.05 / width,
        top=1 - 0.32 / height,
        bottom=0.28 / height,
        wspace=0.04,
        hspace=0.04,
    )
    scales = {
        name: scale_of([getattr(example, name) for example in examples])
        for name in fields
        if name not in ("reconstruction", "mask")
    }
    for row, example in enumerate(examples):
        _describe(figure.add_subplot(grid[row, 0]), example)
        cells = [("input", example.image), *((TITLES[name], _cell(example, name, scales)) for name in fields)]
        for column, (title, content) in enumerate(cells):
            axes = figure.add_subplot(grid[row, 1 + column])
            axes.set_axis_off()
            if row == 0:
                axes.set_title(title, fontsize=9, pad=4)
            if content is None:
                axes.text(0.5, 0.5, "not known", ha="center", va="center", fontsize=8, color=GREY)
                continue
            # Large pictures are averaged down ("auto"), small ones smoothed up; masks stay sharp.
            smooth = "auto" if max(content.shape) > 160 else "bilinear"
            axes.imshow(content, interpolation="nearest" if title == "mask" else smooth)
            if column == 0 and example.mask is not None and example.mask.any():
                outline(axes, example.mask)
    for name, scale in scales.items():
        top = max(float(np.nanmax(getattr(e, name), initial=0.0)) for e in examples)
        colour_bar(figure, figure.add_subplot(grid[n, 2 + fields.index(name)]), scale, clipped=top > scale[1])
    return save_figure(figure, path, tries=TRIES, max_bytes=max_bytes)


def _cell(example: Example, name: str, scales: Mapping[str, tuple[float, float]]) -> np.ndarray | None:
    """What a column shows of an example."""
    value = getattr(example, name)
    if name not in scales:
        return _grey(value) if name == "mask" else value
    inked = coloured(value, scales[name])
    return _over(example.image, inked, _level(value, scales[name])) if name == "anomaly_map" else inked


def _check(example: Example) -> None:
    size = np.shape(example.image)[:2]
    for field in ("reconstruction", "pixel_distance", "feature_distance", "anomaly_map", "mask"):
        value = getattr(example, field)
        if value is not None and np.shape(value)[:2] != size:
            raise InputError(f"{example.name}: {field} is {np.shape(value)}, expected {size} as its picture")


def scale_of(maps: Sequence[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([np.ravel(m) for m in maps])
    values = values[np.isfinite(values)]
    # A handful of extreme pixels must not make every other defect invisible.
    high = float(np.quantile(values, 0.998)) if values.size else 1.0
    low = min(0.0, float(values.min())) if values.size else 0.0
    return low, high if high > low else low + 1.0


def _level(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    low, high = scale
    return np.clip((np.asarray(values, float) - low) / (high - low), 0, 1)


def coloured(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    return np.asarray(MAPS(np.ma.masked_invalid(_level(values, scale))))[..., :3]


def _over(image: np.ndarray, colours: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The map's colours over the dimmed grey picture, which fades where the map is high."""
    level = np.nan_to_num(level, nan=1.0)[..., None]
    grey = (image @ np.array([0.299, 0.587, 0.114]) / 255)[..., None]
    return np.clip(colours * (0.3 + 0.7 * level) + 0.55 * grey * (1 - level), 0, 1)


def _grey(mask: np.ndarray | None) -> np.ndarray | None:
    return None if mask is None else np.repeat(np.asarray(mask, float)[..., None], 3, axis=-1)


def colour_bar(figure: Figure, axes: Axes, scale: tuple[float, float], *, clipped: bool) -> None:
    bar = figure.colorbar(
        ScalarMappable(Normalize(*scale), MAPS),
        cax=axes,
        orientation="horizontal",
        extend="max" if clipped else "neither",
    )
    bar.set_ticks(scale, labels=[f"{value:.3g}" for value in scale])
    bar.ax.tick_params(labelsize=7.5, length=2, pad=1)
    first, last = bar.ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")


def outline(axes: Axes, mask: np.ndarray) -> None:
    # Padded, or a defect at the border would have an open outline.
    padded, at = np.pad(mask, 1).astype(float), np.arange(-1, max(mask.shape) + 1)
    ticks = at[: mask.shape[1] + 2], at[: mask.shape[0] + 2]
    # White below colour: seen on bright and on dark pictures.
    axes.contour(*ticks, padded, levels=[0.5], colors="white", linewidths=2.2)
    axes.contour(*ticks, padded, levels=[0.5], colors=ORANGE, linewidths=1.2)
    axes.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def _describe(axes: Axes, example: Example) -> None:
    axes.set_axis_off()
    said = verdict(example)
    colour = ORANGE if example.label else BLUE
    lines = [(ending(example.defect, 20), colour, "bold"), (ending(example.name, 25), "black", "normal")]
    lines.append((f"score {example.score:.3g}", "black", "normal"))
    if said:
        wrong = said in ("missed", "false alarm")
        lines.append((f"{said} (limit {example.threshold:.3g})", "black", "bold" if wrong else "normal"))
    for i, (text, ink, weight) in enumerate(lines):
        axes.text(
            0.02, 0.5 + 0.14 * ((len(lines) - 1) / 2 - i), text, color=ink, weight=weight,
            fontsize=8 if i else 9, va="center", parse_math=False, transform=axes.transAxes,
        )  # fmt: skip
