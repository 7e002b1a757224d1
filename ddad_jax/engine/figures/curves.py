"""Curves: a metric against each setting of a sweep, and the course of training and adaptation."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ddad_jax.engine.figures.parts import BLUE, GREEN, GREY, NAMES, ORANGE, ending, save_figure, tidy
from ddad_jax.engine.store.tables import Row, column_cells, is_number

PARAMETERS = (
    "scoring", "w", "t_prime", "steps", "model", "solver", "grid", "eta", "start_noise", "fade", "blend_max",
    "last_blend", "total_blend", "blend_low", "blend_high", "start", "draws", "rise", "reuse", "squared",
    "v", "feature_weight", "layers", "sigma", "standardise", "upsampling",
)  # fmt: skip
TITLES = {
    "scoring": "what is measured",
    "w": "w, strength of conditioning",
    "t_prime": "T', start of the reverse process",
    "steps": "number of steps",
    "eta": "η, noise added at each step",
    "model": "network",
    "solver": "solver",
    "grid": "grid of times",
    "start_noise": "noise of the start",
    "fade": "fade of the blend",
    "blend_max": "limit of the blend (0: none)",
    "last_blend": "blend of the last step that w is such for (0: w as it is)",
    "total_blend": "blend of all steps that w is such for (0: w as it is)",
    "blend_low": "time down to which the blend acts",
    "blend_high": "time from which the blend acts",
    "start": "start at T'",
    "draws": "draws of the noise",
    "rise": "rise of T' with how unusual a picture is",
    "reuse": "steps that share deep features",
    "squared": "squared distance of pixels",
    "v": "v, weight of the pixel distance",
    "feature_weight": "weight of the feature distance",
    "layers": "feature layers",
    "sigma": "σ of the blur",
    "standardise": "maps in normal spreads",
    "upsampling": "upsampling of feature distances",
}


def metric_curves(
    rows: Sequence[Row], path: str | Path, *, metric: str, parameters: Sequence[str] = PARAMETERS
) -> Path | None:
    """One panel for each parameter that takes several values: a metric against it.

    A thin line joins the rows that agree in everything else (seed included), the thick one is the median of
    all rows with that value, the star the row marked ``selected`` (the mean over seeds if there are several).

    Args:
        rows: result rows; those where the metric is undefined are left out.
        path: PNG to write.
        metric: key of a number, such as "image_auroc".
        parameters: keys of settings: numbers are drawn to scale, anything else in order of first sight.
    """
    rows = [row for row in rows if is_number(row.get(metric)) and math.isfinite(row[metric])]
    shown = [name for name in parameters if len({_hashable(row.get(name)) for row in rows}) > 1]
    if not shown:
        return None
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(0.5 + 3.3 * columns, 0.35 + 2.75 * lines), layout="constrained")
    figure.suptitle(f"{NAMES.get(metric, metric)}: each line changes one setting", fontsize=10, parse_math=False)
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for axes, name in zip(panels, shown, strict=False):
        _curve(axes, rows, name, metric, [*parameters, "seed"])
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    values = np.array([row[metric] for row in rows], float)
    margin = 0.06 * max(float(np.ptp(values)), 1e-3)
    panels[0].set_ylim(values.min() - margin, values.max() + margin)
    handles = [
        panels[0].plot([], [], color=GREY, lw=0.8, alpha=0.6)[0],
        panels[0].plot([], [], color=BLUE, lw=2.4)[0],
        panels[0].plot([], [], ls="", marker="*", color=ORANGE, ms=12, mec="black", mew=0.6)[0],
    ]
    names = ["all other settings fixed", "median", "selected (no test label used)"]
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return save_figure(figure, path)


def training_curves(
    history: Sequence[Row], path: str | Path, *, loss: str = "mse", what: str = "mean squared error of the noise"
) -> Path | None:
    """Loss (raw faint, smoothed on top), validation loss and images/s against the step.

    Args:
        history: rows with "step" and any of ``loss``, "validation_loss", "images_per_s".
        path: PNG to write. what: the loss is, in words.
    """
    trained, held_out, speed = (_series(history, "step", k) for k in (loss, "validation_loss", "images_per_s"))
    if not trained[0].size and not held_out[0].size:
        return None
    figure = Figure(figsize=(7.6, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    if trained[0].size:
        left.plot(*trained, color=BLUE, lw=0.8, alpha=0.35)
        left.plot(trained[0], smoothed(trained[1]), color=BLUE, lw=1.8, label="training, smoothed")
    if held_out[0].size:
        left.plot(*held_out, color=ORANGE, lw=1.6, marker="o", ms=3.5, label="held-out normal pictures")
    # The first steps start near 1 and would flatten all that follows; a log axis shows both.
    values = np.concatenate([trained[1], held_out[1]])
    if values.min() > 0 and values.max() > 10 * values.min():
        left.set_yscale("log")
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_major_formatter("{x:g}")
        left.yaxis.set_minor_formatter(NullFormatter())
    left.set(xlabel="step", ylabel=what)
    left.legend(fontsize=8, frameon=False)
    right.plot(*speed, color=GREEN, lw=1.2)
    right.set(xlabel="step", ylabel="images/s", ylim=(0, None))
    for axes in (left, right):
        tidy(axes)
    return save_figure(figure, path)


def adaptation_curves(
    history: Sequence[Row], path: str | Path, *, chosen: int | None = None, metric: str = "contrast"
) -> Path | None:
    """The label-free criterion and the loss after each epoch of domain adaptation; the kept epoch is marked.

    Args:
        history: rows with "epoch" (0 = before adaptation) and ``metric`` or "loss".
        path: PNG to write.
        chosen: the epoch that was kept; None: the row with a true "chosen", if any.
        metric: key of the criterion.
    """
    panels = {key: _series(history, "epoch", key) for key in (metric, "loss")}
    panels = {key: series for key, series in panels.items() if series[0].size}
    if not panels:
        return None
    if chosen is None:
        chosen = next((int(row["epoch"]) for row in history if row.get("chosen")), None)
    figure = Figure(figsize=(3.8 * len(panels), 2.8), layout="constrained")
    for axes, (key, series) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        axes.plot(*series, color=BLUE if key == metric else GREY, lw=1.6, marker="o", ms=3.5)
        if chosen is not None:
            axes.axvline(chosen, color=ORANGE, lw=1.2, ls="--")
            axes.annotate(
                f"kept: epoch {chosen}",
                (chosen, 0),
                xycoords=("data", "axes fraction"),
                xytext=(4, 6),
                textcoords="offset points",
                fontsize=8,
                color=ORANGE,
                bbox={"facecolor": "white", "alpha": 0.85, "lw": 0, "pad": 1},
            )
        axes.set_xlabel("epoch")
        title = f"{key}, held-out normal pictures" if key == metric else f"{key}, training pictures"
        axes.set_title(title, fontsize=9, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axes)
    return save_figure(figure, path)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Centred running median of about a twentieth of the length: one spike of the loss does not move it."""
    half = max(1, len(values) // 40)
    padded = np.pad(values, half, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=-1)


def _curve(axes: Axes, rows: Sequence[Row], name: str, metric: str, settings: Sequence[str]) -> None:
    values = list(dict.fromkeys(_hashable(row.get(name)) for row in rows))
    numeric = all(is_number(value) for value in values)
    if numeric:
        values.sort()
    place = {value: float(value) if numeric else i for i, value in enumerate(values)}
    others = [key for key in settings if key != name]
    lines: dict[Any, dict[float, list[float]]] = {}
    for row in rows:
        line = lines.setdefault(tuple(_hashable(row.get(key)) for key in others), {})
        line.setdefault(place[_hashable(row.get(name))], []).append(float(row[metric]))
    points = [[(x, float(np.mean(ys))) for x, ys in sorted(line.items())] for line in lines.values()]
    # Beyond a few hundred the lines only make a grey block.
    every = -(-len(points) // 300)
    alpha = max(0.12, min(0.6, 12 / len(points)))
    axes.add_collection(LineCollection(points[::every], colors=GREY, linewidths=0.8, alpha=alpha))
    groups: dict[float, list[float]] = {}
    for row in rows:
        groups.setdefault(place[_hashable(row.get(name))], []).append(float(row[metric]))
    x = sorted(groups)
    axes.plot(x, [np.median(groups[at]) for at in x], color=BLUE, lw=2.4, marker="o", ms=4)
    chosen: dict[float, list[float]] = {}
    for row in rows:
        if row.get("selected"):
            chosen.setdefault(place[_hashable(row.get(name))], []).append(float(row[metric]))
    for at, ys in chosen.items():
        axes.plot(at, np.mean(ys), marker="*", color=ORANGE, ms=13, mec="black", mew=0.6, zorder=5)
    span = (x[-1] - x[0]) or 1.0
    axes.set_xlim(x[0] - 0.07 * span, x[-1] + 0.07 * span)
    _ticks(axes, [place[value] for value in values], column_cells(values) if not numeric else values, span)
    axes.set_title(TITLES.get(name, name), fontsize=9, parse_math=False)
    tidy(axes)


def _ticks(axes: Axes, at: Sequence[float], names: Sequence[Any], span: float) -> None:
    """Words all get their label, broken at "+"; of numbers, those that have room."""
    labels, free_from = [], -math.inf
    for x, name in zip(at, names, strict=True):
        if isinstance(name, str):
            labels.append("+\n".join(ending(part, 14) for part in name.split("+")))
            continue
        text = f"{name:g}"
        room = 0.017 * span * len(text)  # half of what its digits take of a panel
        fits = x - room >= free_from
        labels.append(text if fits else "")
        free_from = x + room if fits else free_from
    axes.set_xticks(at, labels, fontsize=8, parse_math=False)


def _series(history: Sequence[Row], x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [
        (float(row[x]), float(row[y]))
        for row in history
        if is_number(row.get(x)) and is_number(row.get(y)) and math.isfinite(row[y])
    ]
    found = np.array(pairs, float).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _hashable(item)) for key, item in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value
