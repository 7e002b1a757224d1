"""A search: what its objective did over each setting, and over w and T' together."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ddad_jax.engine.figures.curves import TITLES
from ddad_jax.engine.figures.parts import BLUE, GREY, NAMES, ORANGE, save_figure, tidy
from ddad_jax.engine.store.tables import Row

METRIC = "synthetic_image_auroc"


def search_figure(
    rows: Sequence[Row],
    path: str | Path,
    *,
    names: Sequence[str],
    best: int,
    importance: Mapping[str, float],
) -> Path | None:
    """A panel for each searched setting, and one of w against T' where both were: image AUROC on synthetic defects.

    Args:
        rows: trials with finite maps, in their order, each with "trial", the settings and the metric.
        path: PNG to write.
        names: of the settings.
        best: number of the best trial; it is starred.
        importance: share of each name, if known.
    """
    if len(rows) < 2:
        return None
    both = {"w", "t_prime"} <= set(names)
    panels = len(names) + both
    columns = 2 if panels == 4 else min(3, panels)
    lines = -(-panels // columns)
    figure = Figure(figsize=(0.5 + 3.3 * columns, 0.35 + 2.75 * lines), layout="constrained")
    figure.suptitle(
        "image AUROC on synthetic defects; later trials darker, the worst at the foot",
        fontsize=10,
    )
    axes_of = figure.subplots(lines, columns, squeeze=False).ravel()
    worth = np.array([float(row[METRIC]) for row in rows])
    order = np.arange(len(rows))
    star = {"marker": "*", "color": ORANGE, "s": 150, "edgecolors": "black", "linewidths": 0.6, "zorder": 5}
    (at_best,) = np.flatnonzero([row["trial"] == best for row in rows])
    # A few bad settings would press all the good ones into one line.
    floor = float(np.quantile(worth, 0.1))
    margin = 0.06 * max(float(worth.max()) - floor, 1e-3)
    for axes, name in zip(axes_of, names, strict=False):
        values = np.array([float(row[name]) for row in rows])
        axes.scatter(values, np.maximum(worth, floor - margin / 2), c=order, cmap="Blues", s=14,
                     vmin=-len(rows) / 2, vmax=len(rows), edgecolors=BLUE, linewidths=0.3)  # fmt: skip
        axes.scatter(values[at_best], worth[at_best], **star)
        share = f"\n{importance[name]:.0%} of what tells good from bad" if name in importance else ""
        axes.set_title(f"{TITLES.get(name, name)}{share}", fontsize=9, parse_math=False)
        axes.set_ylim(floor - margin, worth.max() + margin)
        tidy(axes)
    if both:
        axes = axes_of[len(names)]
        w, t_prime = (np.array([float(row[name]) for row in rows]) for name in ("w", "t_prime"))
        rising = np.argsort(worth, kind="stable")
        shown = axes.scatter(w[rising], t_prime[rising], c=worth[rising], cmap="viridis", s=22,
                             vmin=floor, vmax=float(worth.max()))  # fmt: skip
        axes.scatter(w[at_best], t_prime[at_best], **star)
        axes.set(xlabel="w", ylabel=NAMES["t_prime"])
        axes.set_title("w and T' together, best on top", fontsize=9, parse_math=False)
        figure.colorbar(shown, ax=axes).ax.tick_params(labelsize=8, colors=GREY)
        tidy(axes)
    for axes in axes_of[panels:]:
        axes.set_axis_off()
    return save_figure(figure, path)
