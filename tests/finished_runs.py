"""Finished runs of no method: the files that a comparison reads, with scores as a test wants them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.engine.comparison.plan import ComparedRun, Comparison, comparison_of, planned_runs
from ddad_jax.engine.comparison.running import identity_of
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store.tables import append_jsonl, write_csv, write_jsonl
from ddad_jax.metrics import ranking
from experiments.config import comparison

NAMES = ("good/0", "good/1", "bent/0", "bent/1", "rusty/0")
LABELS = (0, 0, 1, 1, 1)


def compared(methods: Sequence[str], data: Mapping[str, str], **more: Any) -> Comparison:
    """Of methods by name; data: name -> group."""
    groups = {name: {"group": group} for name, group in data.items()}
    return comparison_of(comparison(dict.fromkeys(methods, "x.py"), groups, **more).to_dict())


def runs_of(comparison: Comparison, folder: Path) -> dict[str, ComparedRun]:
    """By METHOD/DATA/SEED."""
    return {run.name: run for run in planned_runs(comparison, folder)}


def finish(
    run: ComparedRun, settings: Settings, scores: Sequence[float], *, threshold: float = 0.5,
    names: Sequence[str] = NAMES, labels: Sequence[int] = LABELS, know_nothing: float = 0.5, pixel_auroc: float = 0.9,
    ms: float = 2.0, fit_seconds: float = 10.0,
) -> None:  # fmt: skip
    """What a run, and the comparison beside it, leave of these scores. A kind is the first part of a name."""
    run.workdir.mkdir(parents=True)
    (run.workdir / "config.json").write_text(json.dumps(settings.to_dict()))
    kinds = [name.split("/")[0] for name in names]
    columns = {"name": names, "defect": kinds, "label": labels, "score": scores}
    rows = [
        dict(zip(columns, values, strict=True)) | {"threshold": threshold}
        for values in zip(*columns.values(), strict=True)
    ]
    write_csv(run.workdir / "scores.csv", rows)
    found = ranking(np.array(scores), np.array(labels))
    row = {"image_auroc": found.auroc, "image_ap": found.ap, "pixel_auroc": pixel_auroc, "aupro_30": 0.8}
    write_jsonl(run.workdir / "results.jsonl", [{**row, "selected": True}, {"image_auroc": 0.1, "selected": False}])
    (run.workdir / "protocol.json").write_text(json.dumps({"know_nothing": know_nothing}))
    took = {"seconds": fit_seconds, "cpu_seconds": fit_seconds, "peak_gib": 1.0, "kwh": fit_seconds / 1e5}
    line = {"stage": "fit", "status": 0, **took, "energy": "estimate", "error": "", "settings": identity_of(settings)}
    append_jsonl(run.beside(".jsonl"), line)
    cost = {"ms_1": ms, "ms_8": ms / 2, "gmac": 1.0, "judge_kwh": ms / 1e6, "device": "cpu", "pictures": 1000}
    cost["settings"] = identity_of(settings)
    run.beside(".cost.json").write_text(json.dumps(cost))
    (run.workdir / "report.html").touch()
