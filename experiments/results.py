"""What a run leaves beside its journal: tables, per-image scores, calibration, figures and the report page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from ml_collections import ConfigDict
from skimage.transform import resize

from ddad_jax.data.read import image_size
from ddad_jax.metrics import auroc_interval, confusion, missing
from experiments.figures import (
    Example,
    adaptation_curves,
    frontier_figure,
    frontier_table,
    grid_figure,
    metric_curves,
    roc_curve,
    score_histogram,
    side_by_side_figure,
    training_curves,
)
from experiments.model import Data
from experiments.plan import SETTINGS
from experiments.report import Alarms, Report, write_report
from experiments.selected import load_selected
from experiments.side_by_side import gather
from experiments.tables import format_table, read_jsonl, write_csv, write_jsonl, write_text

METRICS = ("image_auroc", "pixel_auroc", "aupro_30", "aupro_05", "image_ap", "image_f1_max", "pixel_ap")
ALWAYS = ("w", "t_prime", "steps", "eta", "v", "layers")
"""Settings in the printed table; others only where a sweep tries several of their values."""


CHOSEN_BY = {
    "contrast": ("chosen on held-out normal pictures", "contrast"),
    "synthetic": ("chosen on synthetic defects", "synthetic_image_auroc"),
    "last": ("as configured", "contrast"),
}
"""``adapt.choose`` -> how the kept epoch was come by, and the column of adapt.jsonl that is drawn with it."""


def write(c: ConfigDict, workdir: Path, data: Data, rows: list[dict[str, Any]], epoch: int, *, selection: str) -> None:
    """Every file of a run that is made from its rows, report.html last; prints a short table.

    selection: how the selected point was come by.
    """
    write_jsonl(workdir / "results.jsonl", rows)
    others = sorted({name for row in rows for name in row} - {*SETTINGS, *METRICS})
    write_csv(workdir / "results.csv", rows, columns=[*SETTINGS, *METRICS, *others])
    chosen = load_selected(workdir)
    threshold = float(chosen["normal_scores"].max())
    write_text(workdir / "calibration.json", json.dumps(_calibration(c, data, rows, chosen, threshold), indent=1))
    write_csv(workdir / "scores.csv", _scores(data, chosen["scores"], threshold))
    if c.output.maps:
        _write_maps(c, workdir, data, chosen["maps"])
    report = _report(c, workdir, data, rows, chosen, threshold, epoch, selection)
    write_report(workdir / "report.html", report)
    ranked = sorted(rows, key=lambda row: not row["selected"])
    settings = [name for name in SETTINGS if name in ALWAYS or len({str(row[name]) for row in rows}) > 1]
    print(format_table(ranked, [*settings, *METRICS[:4], "ms_per_image", "selected"], max_rows=12))
    print(f"\nThe first row is the selected point, {selection}.\nreport: {workdir / 'report.html'}")


def _calibration(
    c: ConfigDict, data: Data, rows: list[dict[str, Any]], chosen: dict[str, np.ndarray], threshold: float
) -> dict[str, Any]:
    """What a verdict needs besides the networks; every number from held-out normal images.

    With normalise = "batch", as published, there is no ratio to keep: every test batch makes its own.
    """
    selected = next(row for row in rows if row["selected"])
    kept = (*SETTINGS, "crop", "clip", "normalise", "adapt_epoch")
    return {
        **{name: selected[name] for name in kept},
        # Rows of before there were optimised grids visit what their grid says.
        **({"times": selected["times"]} if "times" in selected else {}),
        **({"ratio": selected["ratio"]} if c.score.normalise == "held_out" else {}),
        "threshold": threshold,
        "threshold_rule": "largest score of the held-out normal images",
        "held_out_images": len(chosen["normal_scores"]),
        "normal_scores": [float(s) for s in chosen["normal_scores"]],
    }


def _scores(data: Data, scores: np.ndarray, threshold: float) -> list[dict[str, Any]]:
    test = data.test
    return [
        {
            "name": name,
            "defect": defect,
            "label": int(label),
            "score": float(score),
            "threshold": threshold,
            "verdict": "anomalous" if score > threshold else "normal",
        }
        for name, defect, label, score in zip(test.names, test.defects, test.labels, scores, strict=True)
    ]


def _write_maps(c: ConfigDict, workdir: Path, data: Data, maps: np.ndarray) -> None:
    """float32 .tiff maps at the original pictures' size, in MVTec's result layout; cropped maps keep their size."""
    for name, anomaly in zip(data.test.names, maps, strict=True):
        picture = Path(c.data.root) / name
        size = anomaly.shape
        if c.data.root and picture.is_file() and not c.score.crop:
            size = image_size(picture, orient=c.data.kind == "folder")
        target = workdir / "anomaly_maps" / Path(name).with_suffix(".tiff")
        target.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(target, resize(anomaly, size, order=1, mode="edge").astype(np.float32))


def _examples(c: ConfigDict, data: Data, chosen: dict[str, np.ndarray], threshold: float) -> list[Example]:
    """A few of every kind, evenly over its ranks of the score: the easy, the middling and the missed."""
    kinds = sorted(set(data.test.defects), key=lambda kind: (kind == "good", kind))
    each = max(1, c.output.examples // len(kinds))
    picked: list[int] = []
    for kind in kinds:
        of_kind = np.array([i for i, d in enumerate(data.test.defects) if d == kind])
        ranked = of_kind[np.argsort(-chosen["scores"][of_kind], kind="stable")]
        picked += [int(i) for i in ranked[np.unique(np.linspace(0, len(ranked) - 1, each).round().astype(int))]]
    crop = c.score.crop
    edge = (c.data.size - crop) // 2 if crop else 0
    inner = slice(edge, edge + (crop or c.data.size))
    return [
        Example(
            name=data.test.names[i],
            defect=data.test.defects[i],
            label=int(data.test.labels[i]),
            score=float(chosen["scores"][i]),
            image=data.test.images[i, inner, inner],
            reconstruction=chosen["x0"][i, inner, inner],
            pixel_distance=chosen["pixel"][i, inner, inner].astype(np.float32),
            feature_distance=chosen["feature"][i, inner, inner].astype(np.float32),
            anomaly_map=chosen["maps"][i],
            mask=data.test.masks[i, inner, inner] if data.test.has_mask[i] else None,
            threshold=threshold,
        )
        for i in picked
    ]


def _report(
    c: ConfigDict,
    workdir: Path,
    data: Data,
    rows: list[dict[str, Any]],
    chosen: dict[str, np.ndarray],
    threshold: float,
    epoch: int,
    selection: str,
) -> Report:
    drawn = workdir / "figures"
    drawn.mkdir(exist_ok=True)
    test, scores = data.test, chosen["scores"]
    alarms = confusion(scores, test.labels, np.nextafter(threshold, np.inf))
    both = 0 < test.labels.sum() < len(test.labels)
    environment = json.loads((workdir / "environment.json").read_text())
    notes = [
        f"Noise predictor: U-Net of base width {c.model.base}, trained {rows[0]['train_steps']} steps. "
        f"Features: {c.backbone.name}, "
        + (f"adapted for {epoch} epochs ({CHOSEN_BY[c.adapt.choose][0]})." if epoch else "not adapted."),
    ]
    if len(data.held_out.labels) > len(data.calibration.labels):
        notes.append(
            f"Of {len(data.held_out.labels)} held-out good pictures {len(data.calibration.labels)} set the scale."
        )
    if c.data.kind == "cans":
        notes.append("The pictures are rendered: simulated cans on a rotating disk, with exact masks.")
    return Report(
        title=f"DDAD on {data.name}",
        subject=data.name,
        n_train=len(data.fit.labels),
        n_held_out=len(data.calibration.labels),
        n_good=int((test.labels == 0).sum()),
        n_defective=int(test.labels.sum()),
        image_size=c.data.size,
        rows=rows,
        notes=notes,
        intervals={"image_auroc": auroc_interval(scores, test.labels, seed=c.seed)} if both else {},
        alarms=Alarms(threshold, alarms.hits, alarms.false_alarms, "the largest score of a held-out normal picture"),
        warnings=missing(test.labels, test.masks, test.has_mask),
        examples=grid_figure(_examples(c, data, chosen, threshold), drawn / "examples.png"),
        scores=score_histogram(
            scores,
            test.labels,
            test.defects,
            drawn / "scores.png",
            held_out=chosen["normal_scores"],
            threshold=threshold,
        ),
        roc=roc_curve(scores, test.labels, drawn / "roc.png"),
        curves={m: metric_curves(rows, drawn / f"{m}.png", metric=m) for m in METRICS[:4]},
        frontier=frontier_figure(rows, drawn / "frontier.png"),
        frontier_rows=frontier_table(rows),
        side_by_side=side_by_side_figure(*gather(c, workdir, data.test, rows), drawn / "side_by_side.png"),
        training=training_curves(read_jsonl(workdir / "train.jsonl"), drawn / "training.png"),
        adaptation=adaptation_curves(
            read_jsonl(workdir / "adapt.jsonl"),
            drawn / "adaptation.png",
            chosen=epoch,
            metric=CHOSEN_BY[c.adapt.choose][1],
        ),
        config=c.to_dict(),
        environment=environment,
        selection=selection,
        command=f"python -m {environment['command']}",
    )
