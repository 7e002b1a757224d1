"""How hard a step is pulled towards the target: the weight of the closed form over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ddad_jax.engine.figures.frontier import COLOURS, MARKS
from ddad_jax.engine.figures.parts import GREY, save_figure, tidy
from ddad_jax.errors import InputError


def blend_figure(ws: Sequence[float], times: Sequence[int], alpha_bar: Any, path: str | Path) -> Path:
    """w (1 - alpha_bar_t) over t, a line for each w, marked at the visited times; where it passes 1 the prediction
    leaves the network's picture and the target behind.

    x0_hat = f + w (1 - alpha_bar_t) (y - f)

    Args:
        ws: strengths, each >= 0, at least one.
        times: visited, in [0, T), the largest is T'.
        alpha_bar: table [T].
        path: PNG to write.

    Raises InputError where there is nothing to draw or a time is outside the table.

    Source: DDAD, Eq. 6 and Algorithm 1, as in ``ddad_jax.conditioning``.
    """
    fade = 1.0 - np.asarray(alpha_bar, float)
    visited = np.asarray(times, int)
    if not len(ws) or not visited.size or visited.min() < 0 or visited.max() >= len(fade):
        raise InputError(f"ws {list(ws)}, times {list(times)}: expected one w or more, and times from 0 to {len(fade)}")
    t = np.arange(int(visited.max()) + 1)
    figure = Figure(figsize=(6.6, 3.3), layout="constrained")
    axes = figure.subplots()
    top = max(1.15, 1.06 * float(max(ws)) * float(fade[t[-1]]))
    axes.axhspan(1.0, top, color=GREY, alpha=0.12, lw=0)
    axes.axhline(1.0, color=GREY, lw=0.9)
    # Time runs backwards while a picture is redrawn, so the start stands at the left.
    axes.text(-0.02 * t[-1], 1.0, "beyond the target ", ha="right", va="bottom", fontsize=8, color="#555555")
    for i, w in enumerate(ws):
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(t, w * fade[t], color=colour, lw=1.6)
        axes.plot(
            visited, w * fade[visited], color=colour, marker=MARKS[i % len(MARKS)], ms=5, lw=0, label=f"w = {w:g}"
        )
    axes.set(xlim=(1.03 * t[-1], -0.03 * t[-1]), ylim=(-0.02 * top, top))
    axes.set(xlabel="t, from the start T' to the clean picture", ylabel="w (1 − ᾱ_t), share of the target")
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    tidy(axes)
    return save_figure(figure, path)
