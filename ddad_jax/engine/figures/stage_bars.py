"""Where the time of a run goes: a bar for each way to run it, cut into its stages."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from ddad_jax.engine.figures.frontier import COLOURS
from ddad_jax.engine.figures.parts import save_figure, tidy
from ddad_jax.errors import InputError


def stage_bars(ways: Mapping[str, Mapping[str, float]], path: str | Path, *, estimated: bool = True) -> Path | None:
    """A horizontal bar for each way, its stages one after another, in minutes (in hours above three).

    Args:
        ways: name -> stage -> seconds, as the "courses" of ``launch.plan --json`` have them; stages of 0 s are left
            out. Several devices do not shorten every stage: that is what the bars show.
        path: PNG to write.
        estimated: whether the axis says that the times are estimates.

    Raises InputError for times below 0.
    """
    stages = list(dict.fromkeys(stage for times in ways.values() for stage, s in times.items() if s))
    if not stages:
        return None
    if wrong := [f"{way}, {stage}: {s}" for way, times in ways.items() for stage, s in times.items() if not s >= 0]:
        raise InputError(f"{wrong[0]} s: expected 0 or more")
    longest = max(sum(times.values()) for times in ways.values())
    unit, name = (3600, "hours") if longest > 3 * 3600 else (60, "minutes")
    figure = Figure(figsize=(7.6, 1.15 + 0.42 * len(ways)), layout="constrained")
    axes = figure.subplots()
    for at, times in enumerate(ways.values()):
        begin = 0.0
        for i, stage in enumerate(stages):
            length = times.get(stage, 0.0) / unit
            label = stage if at == 0 else None
            axes.barh(at, length, left=begin, height=0.62, color=COLOURS[i % len(COLOURS)], label=label)
            begin += length
        axes.text(begin, at, f" {begin:.3g}", va="center", fontsize=8)
    axes.set_yticks(range(len(ways)), list(ways), parse_math=False)
    axes.invert_yaxis()
    axes.set(xlabel=f"{name}, estimated" if estimated else name, xlim=(0, 1.1 * longest / unit))
    figure.legend(loc="outside upper center", ncols=min(5, len(stages)), fontsize=8, frameon=False)
    tidy(axes)
    return save_figure(figure, path)
