"""Where the time of one picture goes, as bars."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ddad_jax.engine.cost.profiling import SUM, WHOLE
from ddad_jax.engine.figures.parts import BLUE, GREY, save_figure, tidy
from ddad_jax.engine.store.tables import Row


def profile_figure(rows: Sequence[Row], path: str | Path) -> Path:
    """A bar a piece in the order they run, the whole below them; rows as ``profile_run`` returns them, of one batch."""
    shown = [row for row in rows if "ms_per_image" in row and row["name"] != SUM]
    names = [f"{row['name']} × {row['calls']}" if row["calls"] > 1 else row["name"] for row in shown]
    times = [row["ms_per_image"] for row in shown]
    figure = Figure(figsize=(7.2, 0.9 + 0.32 * len(shown)), layout="constrained")
    axes = figure.subplots()
    colours = [GREY if row["name"] == WHOLE else BLUE for row in shown]
    bars = axes.barh(names, times, color=colours, height=0.7)
    said = [f"{time:.3g} ms, {row['share']:.1%}" for time, row in zip(times, shown, strict=True)]
    said[-1] = f"{times[-1]:.3g} ms"
    axes.bar_label(bars, said, padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("ms an image (median), share of the whole")
    axes.set_title(f"{rows[0]['what']}, batch {rows[0]['batch']}, {rows[0]['solver']}", fontsize=10, loc="left")
    return save_figure(figure, path)
