"""What each run of a comparison came to: its row, and the scores of its test pictures.

Labels of the test set measure here and set nothing: thresholds that they would have chosen stand beside those in use
to show what choosing by them gains, the "detection bias curse" of Cools et al. (2025), section 5.3.
"""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.engine.comparison.plan import ComparedRun
from ddad_jax.engine.comparison.running import cost_failure_of, failure_of, fitting, identity_of, is_finished
from ddad_jax.engine.data.data_sets import KINDS, picture_size
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store import kept
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.metrics.at_threshold import at_threshold, outcomes, thresholds_by_label

QUALITY = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05")
"""Of the selected point, as its own report has them."""
VERDICT = ("recall", "precision", "f1", "accuracy")
"""At a threshold on the image score."""
PEEKED = tuple(f"peeked_{name}" for name in VERDICT)
"""The same at the threshold of the best F1 on the test labels."""
GAINS = tuple(f"{name}_gain" for name in VERDICT)
"""What that threshold has more."""
COSTS = (
    "fit_seconds", "fit_cpu_seconds", "fit_peak_gib", "fit_kwh", "ms_1", "ms_8", "p95_ms_1", "compile_s", "gmac",
    "xla_gmac", "parameters", "model_mib", "judge_peak_gib", "device_peak_gib", "judge_kwh",
)  # fmt: skip
"""Of ``running.fitting`` and ``cost.detector_costs``."""


TRAININGS = ("autoencoder", "latent", "train")
"""Sections of trainings, of whatever method."""


class ComparedScores(NamedTuple):
    """The test pictures of a finished run, in its order. scores: float64 [n]; labels: int [n], 1 = anomalous."""

    names: tuple[str, ...]
    defects: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    threshold: float

    @property
    def outcomes(self) -> list[str]:
        """Of each picture, as ``metrics.at_threshold.outcomes``."""
        return outcomes(self.scores, self.labels, self.threshold)


class RunOutcome(NamedTuple):
    """row: of runs.csv. scores: None of a run that is not finished. drawn: whether its test pictures are of its seed,
    so that those of another seed are other pictures."""

    run: ComparedRun
    row: dict[str, Any]
    scores: ComparedScores | None
    drawn: bool


def outcomes_of(
    runs: Sequence[ComparedRun], settings_of: Callable[[ComparedRun], Settings], power_kg: float
) -> list[RunOutcome]:
    """Of all runs, in their order, finished or not."""
    return [_outcome(run, settings_of(run), power_kg) for run in runs]


def scores_of(run: ComparedRun) -> ComparedScores:
    """From scores.csv of a finished run."""
    with (run.workdir / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return ComparedScores(
        tuple(row["name"] for row in rows),
        tuple(row["defect"] for row in rows),
        np.array([int(row["label"]) for row in rows]),
        np.array([float(row["score"]) for row in rows]),
        float(rows[0]["threshold"]),
    )


def verdict_columns(scores: ComparedScores) -> dict[str, float]:
    """VERDICT, PEEKED and GAINS, and the counts of what the threshold in use lets through and stops."""
    used = at_threshold(scores.scores, scores.labels, scores.threshold)
    found: dict[str, float] = {name: getattr(used, name) for name in VERDICT}
    found |= {"missed": used.misses, "false_alarms": used.false_alarms}
    by_label = {one.criterion: one.threshold for one in thresholds_by_label(scores.scores, scores.labels, {})}
    if "best F1" not in by_label:
        return found
    peeked = at_threshold(scores.scores, scores.labels, by_label["best F1"])
    for name, peeked_name, gain in zip(VERDICT, PEEKED, GAINS, strict=True):
        found[peeked_name] = getattr(peeked, name)
        found[gain] = found[peeked_name] - found[name]
    return found


def note_of(settings: Settings) -> str:
    """What the settings of a run allow it: the side of its pictures and how long it trains at most, "" of what is not
    trained.

    >>> from ddad_jax.engine.methods.table import METHODS
    >>> note_of(METHODS["ddad"].settings())
    '256 px, 20000 steps of training'
    """
    height, width = picture_size(settings.data)
    side = f"{height} px" if height == width else f"{height} x {width} px"
    parts = [part for name, part in settings.items() if name in TRAININGS and part.steps]
    minutes = sum(part.max_minutes for part in parts)
    steps = sum(part.steps for part in parts if not part.max_minutes)
    limits = ([f"{minutes:g} min"] if minutes else []) + ([f"{steps} steps"] if steps else [])
    return side + (f", {' and '.join(limits)} of training" if limits else "")


def _outcome(run: ComparedRun, settings: Settings, kg_per_kwh: float) -> RunOutcome:
    drawn = KINDS[settings.data.kind].rendered
    who: dict[str, Any] = {"method": run.method.name, "data": run.data.name, "group": run.data.group, "seed": run.seed}
    who["note"] = note_of(settings)
    if not is_finished(run, settings):
        why = failure_of(run)
        return RunOutcome(run, {**who, "state": "failed" if why else "missing", "why": why}, None, drawn)
    scores = scores_of(run)
    selected = [row for row in read_jsonl(run.workdir / "results.jsonl") if row.get("selected")]
    row: dict[str, Any] = {**who, "state": "done", "why": ""}
    row |= {"good": int((scores.labels == 0).sum()), "defective": int(scores.labels.sum())}
    row |= {name: mean_of_known([one.get(name) for one in selected]) for name in QUALITY}
    row |= verdict_columns(scores) | _know_nothing(run) | fitting(run) | _costs(run, settings)
    row["cost_failure"] = "" if "ms_1" in row else cost_failure_of(run)
    for name in ("fit", "judge"):
        if f"{name}_kwh" in row:
            row[f"{name}_co2_kg"] = row[f"{name}_kwh"] * kg_per_kwh
    return RunOutcome(run, row, scores, drawn)


def _costs(run: ComparedRun, settings: Settings) -> dict[str, Any]:
    path = run.beside(".cost.json")
    content = kept.read_content(path)[0] if path.exists() else {}
    if content.get("settings") != identity_of(settings):
        return {}
    return {name: content[name] for name in (*COSTS, "device") if content.get(name) is not None}


def _know_nothing(run: ComparedRun) -> dict[str, Any]:
    """Image AUROC of the distance of whole pictures, which looks for no defect; ``report.protocol_check``."""
    path = run.workdir / "protocol.json"
    content: Mapping[str, Any] = kept.read_content(path)[0] if path.exists() else {}
    return {"know_nothing": content.get("know_nothing")}


def mean_of_known(values: Sequence[Any]) -> float:
    """Of those that are finite numbers; NaN of none."""
    known = [float(v) for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
    return sum(known) / len(known) if known else math.nan
