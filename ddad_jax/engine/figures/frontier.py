"""Speed against accuracy: metrics over network calls and milliseconds, a line for each way to sample."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from scipy.stats import t

from ddad_jax.engine.figures.parts import NAMES, save_figure, tidy
from ddad_jax.engine.store.tables import Row, is_number
from ddad_jax.points import ReconPoint
from ddad_jax.solvers import SOLVERS

WAY = (
    "model", "solver", "grid", "eta", "start", "start_noise", "fade", "blend_max", "blend_low", "blend_high", "draws",
    "rise", "reuse", "scoring", "squared",
)  # fmt: skip
"""The settings that make a way to sample; steps move along its line."""
KEPT = ("t_prime", "last_blend", "total_blend", "v", "feature_weight", "layers", "sigma", "standardise", "upsampling")
"""The settings that are those of the selected row in every line."""
METRICS = ("teacher_rmse", "image_auroc", "pixel_auroc", "aupro_30")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999933", "#882255")
MARKS = "osD^vP*X"
CHOSEN, OTHER = "#000000", "#BBBBBB"


class Spot(NamedTuple):
    """One way at one number of calls. ms: milliseconds an image. values: metric -> (mean, low, high) over seeds.
    rows: what it is made of, one a seed."""

    way: str
    steps: int
    calls: int
    ms: float
    values: dict[str, tuple[float, float, float]]
    rows: tuple[Row, ...]

    @property
    def selected(self) -> bool:
        return any(row.get("selected") for row in self.rows)


def _kept(row: Row, chosen: Row) -> bool:
    """Whether a row has what stays of the chosen one's settings; where the blend decides w, that moves with steps."""
    names = KEPT if chosen.get("last_blend") or chosen.get("total_blend") else ("w", *KEPT)
    return all(row.get(name) == chosen.get(name) for name in names)


def frontier(rows: Sequence[Row]) -> list[Spot]:
    """The rows at the selected row's w, T' and score settings, means over seeds, by way and calls.

    low and high are Student's 95 % interval of the mean over seeds; with one seed, or where the noise plays no part,
    all three are its value.
    """
    chosen = next((row for row in rows if row.get("selected")), None)
    if chosen is None:
        return []
    kept = [row for row in rows if _kept(row, chosen)]
    varied = [name for name in WAY if len({row.get(name) for row in kept}) > 1]
    groups: dict[tuple, list[Row]] = {}
    for row in kept:
        way = tuple(row.get(name) for name in WAY)
        groups.setdefault((way, int(row["steps"]), int(row["unet_calls"])), []).append(row)
    spots = [
        Spot(
            _named(group[0], varied), steps, calls, float(np.mean([r["ms_per_image"] for r in group])),
            _over_seeds(group), tuple(group),
        )
        for (_, steps, calls), group in groups.items()
    ]  # fmt: skip
    return sorted(spots, key=lambda s: (s.way, s.calls))


def _way_of(rows: Sequence[Row]) -> str:
    """The name of the selected row's way among all of ``frontier``."""
    chosen = next(row for row in rows if row.get("selected"))
    kept = [row for row in rows if _kept(row, chosen)]
    return _named(chosen, [name for name in WAY if len({row.get(name) for row in kept}) > 1])


def _named(row: Row, varied: Sequence[str]) -> str:
    said = []
    for name in varied or ("solver",):
        value = row.get(name)
        if name == "model":
            said.append("student" if value == "student" else "")
        elif name == "start":
            said.append("" if value in (None, "noise") else str(value))
        elif name in ("solver", "grid", "scoring"):
            said.append(str(value))
        elif name == "eta":
            said.append(f"η {value:g}" if SOLVERS[row["solver"]].stochastic and row.get("model") != "student" else "")
        elif name == "start_noise":
            said.append("" if value == 1 else f"start noise {value:g}")
        elif name in ("fade", "rise", "reuse", "draws", "blend_low", "blend_high") and value is not None:
            said.append("" if value == ReconPoint._field_defaults[name] else f"{name} {value:g}")
        elif name == "squared":
            said.append("squared" if value else "")
        elif name == "blend_max":
            said.append(f"blend ≤ {value:g}" if value else "")
        else:
            said.append(f"{NAMES.get(name, name)} {value:g}")
    return ", ".join(filter(None, said)) or str(row.get("solver"))


def _led(spots: Sequence[Spot]) -> list[tuple[Spot, int]]:
    """Each spot and in how many metrics no other way beats it with as few calls."""
    count = [0] * len(spots)
    for metric in METRICS:
        sign = -1.0 if metric == "teacher_rmse" else 1.0
        known = [(i, s) for i, s in enumerate(spots) if metric in s.values]
        for i, s in known:
            value = sign * s.values[metric][0]
            others = [o for _, o in known if o.calls <= s.calls and o.way != s.way]
            count[i] += all(sign * o.values[metric][0] < value for o in others)
    return list(zip(spots, count, strict=True))


def best_ways(spots: Sequence[Spot], most: int = len(COLOURS)) -> list[str]:
    """The ways that are best at something: those with most spots that no spot of as few calls beats, at most ``most``.

    Beaten is a spot in a metric; a way that is on the front of none is not among them.
    """
    count = dict.fromkeys((s.way for s in spots), 0)
    for spot, led in _led(spots):
        count[spot.way] += led
    ranked = sorted((way for way in count if count[way]), key=lambda way: (-count[way], way))
    return ranked[:most]


def best_spots(spots: Sequence[Spot], most: int) -> list[Spot]:
    """Of each of the best ways the spot of fewest calls that no spot of as few calls beats, in the order of calls; at
    most ``most``, the selected spot not among them."""
    first: dict[str, Spot] = {}
    for spot, led in sorted(_led(spots), key=lambda pair: pair[0].calls):
        if led and not spot.selected:
            first.setdefault(spot.way, spot)
    found = [first[way] for way in best_ways(spots, len(spots)) if way in first][:most]
    return sorted(found, key=lambda spot: spot.calls)


def _over_seeds(group: Sequence[Row]) -> dict[str, tuple[float, float, float]]:
    found = {}
    for metric in METRICS:
        values = [row[metric] for row in group if is_number(row.get(metric)) and math.isfinite(row[metric])]
        if values:
            mean = float(np.mean(values))
            n = len(values)
            reach = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else 0.0
            found[metric] = (mean, mean - reach, mean + reach)
    return found


def frontier_figure(rows: Sequence[Row], path: str | Path) -> Path | None:
    """A panel for each metric over network calls, and below over milliseconds; None where calls do not vary.

    The selected row's way is black, the ``best_ways`` have a colour each, all others are grey.

    Args:
        rows: result rows, one of them ``selected``.
        path: PNG to write.
    """
    spots = frontier(rows)
    if len({spot.calls for spot in spots}) < 2:
        return None
    shown = [m for m in METRICS if any(m in spot.values for spot in spots)]
    figure = Figure(figsize=(0.6 + 3.1 * len(shown), 5.8), layout="constrained")
    panels = figure.subplots(2, len(shown), squeeze=False, sharey="col")
    chosen = _way_of(rows)
    best = [way for way in best_ways(spots) if way != chosen]
    looks = {way: (COLOURS[i], MARKS[i], 1.2) for i, way in enumerate(best)} | {chosen: (CHOSEN, "o", 1.8)}
    # Grey ones first, so that they lie behind.
    ways = sorted(
        dict.fromkeys(spot.way for spot in spots),
        key=lambda way: [None, *best, chosen].index(way if way in looks else None),
    )
    others = len(ways) - len(looks)
    for line, (key, label) in enumerate((("calls", "U-Net calls"), ("ms", "ms/image"))):
        for axes, metric in zip(panels[line], shown, strict=True):
            for way in ways:
                colour, mark, width = looks.get(way, (OTHER, ".", 0.7))
                own = sorted((s for s in spots if s.way == way and metric in s.values), key=lambda s: getattr(s, key))
                x, y = [getattr(s, key) for s in own], [s.values[metric][0] for s in own]
                bars = [[s.values[metric][0] - s.values[metric][1] for s in own]] if way in looks else None
                axes.errorbar(
                    x, y, yerr=bars * 2 if bars else None, label=way if way in looks else None, color=colour,
                    marker=mark, ms=4.5, lw=width, elinewidth=0.8, capsize=2,
                )  # fmt: skip
            if others:
                axes.plot([], [], color=OTHER, marker=".", lw=0.7, label=f"{others} others")
            axes.set_xscale("log")
            if metric == "teacher_rmse":
                axes.set_yscale("log")
            axes.set_xlabel(label)
            axes.set_title(NAMES.get(metric, metric) if line == 0 else "", fontsize=9)
            tidy(axes)
            if key == "calls":
                ticks = sorted({s.calls for s in spots})
                axes.set_xticks(ticks, [str(t) for t in ticks])
            else:
                axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
            axes.xaxis.minorticks_off()
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), fontsize=8, frameon=False)
    return save_figure(figure, path)


def frontier_table(rows: Sequence[Row]) -> list[Row]:
    """The figure's numbers, a row for each way and number of calls; of calls that compute every layer, too, where
    some way has others."""
    spots = frontier(rows)
    whole = [spot.rows[0].get("whole_calls", spot.calls) for spot in spots]
    differ = any(w != spot.calls for w, spot in zip(whole, spots, strict=True))
    return [
        {
            "way": spot.way, "steps": spot.steps, "unet_calls": spot.calls, **({"whole_calls": w} if differ else {}),
            "ms_per_image": spot.ms, "seeds": len(spot.rows),
            **{m: spot.values[m][0] for m in METRICS if m in spot.values},
        }
        for w, spot in zip(whole, spots, strict=True)
    ]  # fmt: skip
