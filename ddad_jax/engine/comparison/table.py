"""The table: a row a method, over all data sets and over each group of them; ranks, intervals and spread."""

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.engine.comparison.plan import ComparedMethod, Comparison
from ddad_jax.engine.comparison.rows import COSTS, GAINS, PEEKED, QUALITY, VERDICT, RunOutcome, mean_of_known
from ddad_jax.engine.store.tables import Row
from ddad_jax.metrics.bootstrap import redrawn_metrics

AVERAGE = "average"
"""Of all data sets, where groups and data sets have their names."""
RANKED = ("image_auroc", "recall", "f1", "image_ap")
"""As in the benchmark's Tables 1 to 4."""
INTERVALS = ("image_auroc", "image_ap", "recall", "f1")
"""With a bootstrap interval over test pictures."""
SPREAD = ("image_auroc", "pixel_auroc", "f1")
"""With a standard deviation over seeds."""
ENDS = (0.025, 0.975)
"""Quantiles of an interval."""
MOST_OF = ("fit_peak_gib", "judge_peak_gib", "device_peak_gib")
"""Costs of which the largest counts; of the others it is the mean."""

Numbers = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Method -> AVERAGE, a group or a data set -> our column -> the paper's number, in our units."""


class Published(NamedTuple):
    """What a paper prints. sets: AVERAGE or group -> data sets that its number is of. notes: what a reader of the
    numbers should know, source first."""

    numbers: Numbers
    sets: Mapping[str, tuple[str, ...]] = {}
    notes: tuple[str, ...] = ()


class ComparedGroup(NamedTuple):
    """Data sets whose mean is told. name: AVERAGE for all of them."""

    name: str
    data: tuple[str, ...]


def groups_of(comparison: Comparison) -> list[ComparedGroup]:
    """All data sets, then each group in the order of the config."""
    names = dict.fromkeys(data.group for data in comparison.data if data.group)
    every = ComparedGroup(AVERAGE, tuple(data.name for data in comparison.data))
    return [
        every, *(ComparedGroup(name, tuple(d.name for d in comparison.data if d.group == name)) for name in names)
    ]  # fmt: skip


def group_rows(comparison: Comparison, outcomes: Sequence[RunOutcome], group: ComparedGroup) -> list[dict[str, Any]]:
    """A row a method, the best image AUROC first; a method that lacks a run of the group has no rank.

    Means are over data sets, of each over its seeds; "sets": over how many, of how many. METRIC_low, METRIC_high: 95 %
    of bootstrap draws of the test pictures, those of each data set drawn anew and the same for all methods. METRIC_sd:
    over seeds, mean over data sets. behind: image AUROC of the best of those without a doubt (of all where none is)
    less its own, and in 95 % of the draws, where both see the same pictures. "doubt": why its image AUROC says little;
    empty where nothing was found against it. cost_failure: why costs could not be measured. note:
    the method's, and what settings of its runs allow (``rows.note_of``).
    """
    made = [_method_row(method, comparison, outcomes, group) for method in comparison.methods]
    rows = [row for row, _ in made]
    whole = [row for row in rows if row["missing"] == 0]
    _add_behind([(row, draws) for row, draws in made if row["missing"] == 0 and draws is not None])
    for metric in RANKED:
        for row in whole:
            better = sum(other[metric] > row[metric] for other in whole)
            row[f"rank_{metric}"] = 1 + better if math.isfinite(row[metric]) else None
    return sorted(rows, key=lambda row: (row["missing"] > 0, -np.nan_to_num(row["image_auroc"], nan=-1.0)))


def _method_row(
    method: ComparedMethod, comparison: Comparison, outcomes: Sequence[RunOutcome], group: ComparedGroup
) -> tuple[dict[str, Any], np.ndarray | None]:
    """The row, and image AUROCs of the bootstrap's draws, where it has any."""
    asked = [one for one in outcomes if one.run.method == method and one.run.data.name in group.data]
    by_data = {name: [one for one in asked if one.scores and one.run.data.name == name] for name in group.data}
    by_data = {name: found for name, found in by_data.items() if found}
    done = sum(len(found) for found in by_data.values())
    sets = f"{len(by_data)} of {len(group.data)}"
    row: dict[str, Any] = {"method": method.name, "group": group.name, "sets": sets, "missing": len(asked) - done}

    def over_data(name: str) -> float:
        return mean_of_known([mean_of_known([one.row.get(name) for one in found]) for found in by_data.values()])

    row |= {name: over_data(name) for name in (*QUALITY, *VERDICT, *PEEKED, *GAINS)}
    draws = _draws(by_data)
    row |= _intervals(draws) | _spread(by_data)
    for name in (*COSTS, "fit_co2_kg", "judge_co2_kg"):
        known = [one.row[name] for found in by_data.values() for one in found if one.row.get(name) is not None]
        row[name] = (max(known) if name in MOST_OF else over_data(name)) if known else math.nan
    for name in ("energy", "device"):
        row[name] = "; ".join(sorted({one.row[name] for found in by_data.values() for one in found if name in one.row}))
    row["cost_failure"] = "; ".join(
        dict.fromkeys(one.row["cost_failure"] for one in asked if one.row.get("cost_failure"))
    )
    row["kwh"] = row["fit_kwh"] + row["judge_kwh"]
    row["know_nothing"] = over_data("know_nothing")
    row["doubt"] = _doubt(row, asked)
    row["note"] = "; ".join(dict.fromkeys(filter(None, (method.note, *(one.row["note"] for one in asked)))))
    return row, draws["image_auroc"] if draws else None


def _draws(by_data: Mapping[str, Sequence[RunOutcome]]) -> dict[str, np.ndarray]:
    """Means over data sets and seeds in each draw, by metric; {} where no data set has both classes."""
    of_data = []
    for data, found in by_data.items():
        seed = zlib.crc32(data.encode())
        of_seeds = [
            redrawn_metrics(s.scores, s.labels, s.threshold, seed=seed)
            for s in (one.scores for one in found)
            if s is not None and 0 < s.labels.sum() < len(s.labels)
        ]
        if of_seeds:
            of_data.append({name: np.mean([drawn[name] for drawn in of_seeds], axis=0) for name in INTERVALS})
    return {name: np.mean([drawn[name] for drawn in of_data], axis=0) for name in INTERVALS} if of_data else {}


def _intervals(draws: Mapping[str, np.ndarray]) -> dict[str, float]:
    ends: dict[str, float] = {}
    for name in INTERVALS:
        low, high = np.quantile(draws[name], ENDS) if draws else (math.nan, math.nan)
        ends |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return ends


def _add_behind(made: Sequence[tuple[dict[str, Any], np.ndarray]]) -> None:
    if not made:
        return
    # What is recommended is the best of these (``recommendation``), and the others are measured from it.
    fit = [one for one in made if not one[0]["doubt"]] or made
    best, of_best = max(fit, key=lambda one: one[0]["image_auroc"])
    for row, draws in made:
        low, high = np.quantile(of_best - draws, ENDS)
        row["behind"] = best["image_auroc"] - row["image_auroc"]
        row |= {"behind_low": float(low), "behind_high": float(high)}


def _spread(by_data: Mapping[str, Sequence[RunOutcome]]) -> dict[str, float]:
    found = {}
    for name in SPREAD:
        seeds = [[one.row[name] for one in runs] for runs in by_data.values() if len(runs) > 1]
        found[f"{name}_sd"] = mean_of_known([float(np.std(values, ddof=1)) for values in seeds])
    return found


def _doubt(row: Row, asked: Sequence[RunOutcome]) -> str:
    failed = [one for one in asked if one.row["state"] == "failed"]
    if failed:
        return f"{len(failed)} of {len(asked)} runs failed: {failed[0].row['why']}"
    if row["missing"]:
        return f"{row['missing']} of {len(asked)} runs are not there yet"
    if not math.isfinite(row["image_auroc_low"]):
        return "its image AUROC is undefined on these pictures"
    if row["image_auroc_low"] <= 0.5:
        return "not told apart from chance: with these settings it is of no use here"
    if row["image_auroc_low"] <= np.nan_to_num(row["know_nothing"], nan=0.0):
        return f"not above the {row['know_nothing']:.3f} of a distance of whole pictures, which looks for no defect"
    return ""


def published_rows(rows: Sequence[Row], published: Published) -> list[dict[str, Any]]:
    """Ours beside the paper's, a row for each method and group that it has: "METRIC" and "METRIC, paper".

    A number of several data sets stands beside ours where all of them are run. Where some are, ours stands beside the
    mean of what the paper has of each of these, in a row of its own, "mean of ...".

    rows: of ``group_rows`` of each data set alone, with "published_as".
    """
    ours = {(row["published_as"], row["group"]): row for row in rows if not row["missing"]}
    found = []
    for method, columns in published.numbers.items():
        for group, numbers in columns.items():
            sets = published.sets.get(group, (group,))
            there = [ours[method, name] for name in sets if (method, name) in ours]
            found.append(_beside(method, group, numbers, there if len(there) == len(sets) else []))
            run = [row["group"] for row in there]
            if 1 < len(run) < len(sets):
                shared = [name for name in numbers if all(name in columns.get(data, {}) for data in run)]
                means = {name: mean_of_known([columns[data][name] for data in run]) for name in shared}
                if means:
                    found.append(_beside(method, f"mean of {', '.join(run)}", means, there))
    return list({(row["method"], row["group"]): row for row in found}.values())


def _beside(method: str, group: str, numbers: Mapping[str, float], ours: Sequence[Row]) -> dict[str, Any]:
    beside: dict[str, Any] = {"method": method, "group": group}
    for name, number in numbers.items():
        mean = mean_of_known([row.get(name) for row in ours])
        beside |= {name: mean if math.isfinite(mean) else None, f"{name}, paper": number}
    return beside
