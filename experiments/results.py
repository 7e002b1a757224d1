"""What a run leaves beside its journal: tables, per-image scores, calibration, figures and the report page."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from skimage.measure import block_reduce

from ddad_jax.metrics import auroc_interval, label_regions, missing
from ddad_jax.metrics.at_threshold import curves, per_defect
from experiments import verdicts
from experiments.calibrating import Normal, Thresholds, calibrate
from experiments.figures import (
    Example,
    adaptation_curves,
    frontier_figure,
    frontier_table,
    grid_figure,
    iou_curve,
    metric_curves,
    precision_recall,
    roc_curve,
    score_histogram,
    side_by_side_figure,
    training_curves,
    verdict_figure,
)
from experiments.model import Data
from experiments.plan import SETTINGS
from experiments.report.run import Alarms, Report, write_report
from experiments.scoring import cropped
from experiments.selected import load_selected
from experiments.side_by_side import gather
from experiments.tables import format_table, read_jsonl, write_csv, write_jsonl
from experiments.view import notes as view_notes

log = logging.getLogger(__name__)

METRICS = ("image_auroc", "pixel_auroc", "aupro_30", "aupro_05", "image_ap", "image_f1_max", "pixel_ap")
ALWAYS = ("w", "t_prime", "steps", "eta", "v", "layers")
"""Settings in the printed table; others only where a sweep tries several of their values."""


CHOSEN_BY = {
    "contrast": ("chosen on held-out normal pictures", "contrast"),
    "synthetic": ("chosen on synthetic defects", "synthetic_image_auroc"),
    "last": ("as configured", "contrast"),
}
"""``adapt.choose`` -> how the kept epoch was come by, and the column of adapt.jsonl that is drawn with it."""


RULES = {
    "max": "the largest score of a held-out normal picture",
    "quantile": "a quantile of the scores of held-out normal pictures",
    "sigma": "mean and spread of the scores of held-out normal pictures",
    "conformal": "conformal, of held-out normal pictures",
    "conformal_pac": "conformal with confidence, of held-out normal pictures",
}
"""``threshold.rule`` -> where the threshold comes from, as the report says it."""


class Found(NamedTuple):
    """What the selected point makes of the test pictures. warnings: on the thresholds. verdicts, defects, rules: rows
    of scores.csv, per_defect.csv and thresholds.csv."""

    judged: verdicts.Judged
    thresholds: Thresholds
    warnings: list[str]
    verdicts: list[dict[str, Any]]
    defects: list[dict[str, Any]]
    rules: list[dict[str, Any]]


def write(c: ConfigDict, workdir: Path, data: Data, rows: list[dict[str, Any]], epoch: int, *, selection: str) -> None:
    """Every file of a run that is made from its rows, report.html last; prints a short table.

    selection: how the selected point was come by.
    """
    write_jsonl(workdir / "results.jsonl", rows)
    others = sorted({name for row in rows for name in row} - {*SETTINGS, *METRICS})
    write_csv(workdir / "results.csv", rows, columns=[*SETTINGS, *METRICS, *others])
    chosen = load_selected(workdir)
    found = _found(c, workdir, data, rows, chosen)
    write_csv(workdir / "scores.csv", found.verdicts)
    write_csv(workdir / "per_defect.csv", found.defects)
    write_csv(workdir / "thresholds.csv", found.rules)
    if c.output.maps:
        verdicts.write_maps(c, workdir / "anomaly_maps", found.judged)
    if c.output.overlays:
        verdicts.write_overlays(c, workdir / "overlays", found.judged, found.thresholds.of_pixels.value)
    report = _report(c, workdir, data, rows, chosen, found, epoch, selection)
    write_report(workdir / "report.html", report)
    ranked = sorted(rows, key=lambda row: not row["selected"])
    settings = [name for name in SETTINGS if name in ALWAYS or len({str(row[name]) for row in rows}) > 1]
    print(format_table(ranked, [*settings, *METRICS[:4], "ms_per_image", "selected"], max_rows=12))
    print(f"\nThe first row is the selected point, {selection}.\n{_told(report)}\nreport: {workdir / 'report.html'}")


def _found(
    c: ConfigDict, workdir: Path, data: Data, rows: list[dict[str, Any]], chosen: dict[str, np.ndarray]
) -> Found:
    """Thresholds first, from normal pictures alone; then what they make of the test pictures."""
    selected = next(row for row in rows if row["selected"])
    made = {name: selected[name] for name in (*SETTINGS, "crop", "clip", "normalise", "adapt_epoch")}
    # Rows of before there were optimised grids visit what their grid says.
    made |= {"times": selected["times"]} if "times" in selected else {}
    # With normalise = "batch", as published, there is no ratio to keep: every test batch makes its own.
    made |= {"ratio": selected["ratio"]} if c.score.normalise == "held_out" else {}
    seen = data.view.watched if selected["mask_before"] or selected["mask_after"] else None
    watched = None if seen is None else cropped(seen[None], c.score.crop)[0]
    scored = chosen["normal_scores"]
    normal = Normal(scored, chosen["normal_maps"], data.n_held_out, watched)
    thresholds, warnings = calibrate(workdir / "calibration.json", made, c.threshold, normal)
    test = data.test
    judged = verdicts.Judged(test, chosen["scores"], chosen["maps"], cropped(test.masks, c.score.crop))
    truth = (test.labels, judged.masks, test.has_mask, test.defects)
    image, pixel = thresholds.score.value, thresholds.of_pixels.value
    unlike = verdicts.unlike(judged, chosen["normal_scores"])
    for sentence in unlike:
        log.warning("%s", sentence)
    return Found(
        judged,
        thresholds,
        [*warnings, *unlike],
        verdicts.verdict_rows(c, judged, thresholds),
        per_defect(judged.maps, judged.scores, *truth, threshold=image, pixel_threshold=pixel),
        verdicts.rule_rows(judged, thresholds),
    )


def _told(report: Report) -> str:
    """What the threshold in use does, in a line for the terminal."""
    assert report.alarms is not None
    found, of, alarms = report.alarms.found, report.n_defective, report.alarms.false_alarms
    return (
        f"At the threshold {report.alarms.threshold:.4g} ({report.alarms.origin}): {found} of {of} defects found, "
        f"{of - found} got through, {alarms} of {report.n_good} good pictures raised a false alarm."
    )


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
    edge = (c.data.size - crop) // 2
    inner = slice(edge, edge + crop) if crop else slice(None)
    return [
        Example(
            name=data.test.names[i],
            defect=data.test.defects[i],
            label=int(data.test.labels[i]),
            score=float(chosen["scores"][i]),
            image=_thinned(data.test.images[i, inner, inner], np.mean),
            reconstruction=_thinned(chosen["x0"][i, inner, inner], np.mean),
            pixel_distance=_thinned(chosen["pixel"][i, inner, inner].astype(np.float32)),
            feature_distance=_thinned(chosen["feature"][i, inner, inner].astype(np.float32)),
            anomaly_map=_thinned(chosen["maps"][i]),
            mask=_thinned(data.test.masks[i, inner, inner]) if data.test.has_mask[i] else None,
            threshold=threshold,
        )
        for i in picked
    ]


def _thinned(array: np.ndarray, of_block: Callable[..., np.ndarray] = np.max, most: int = 512) -> np.ndarray:
    """A picture or map of at most about ``most`` pixels a side, for a page: of each block its largest value, so that a
    small defect stays in sight, or its mean. Figures hold every panel in 32 bytes a pixel."""
    side = -(-max(array.shape[:2]) // most)
    if side == 1:
        return array
    blocks = (side, side, *(1 for _ in array.shape[2:]))
    height, width = (n // side * side for n in array.shape[:2])
    return block_reduce(array[:height, :width], blocks, of_block).astype(array.dtype)


def _report(
    c: ConfigDict,
    workdir: Path,
    data: Data,
    rows: list[dict[str, Any]],
    chosen: dict[str, np.ndarray],
    found: Found,
    epoch: int,
    selection: str,
) -> Report:
    drawn = workdir / "figures"
    drawn.mkdir(exist_ok=True)
    test, scores, n_bad = data.test, chosen["scores"], int(data.test.labels.sum())
    threshold, of_pixels = found.thresholds.score.value, found.thresholds.of_pixels.value
    counts = next(row for row in found.rules if row["used"])
    alarms = Alarms(threshold, n_bad - counts["missed"], counts["false_alarms"], RULES[found.thresholds.score.rule])
    drawing = label_regions(found.judged.masks, test.has_mask)
    drawn_curves = curves(found.judged.maps, scores, test.labels, drawing)
    wrong = {
        outcome: verdict_figure(
            verdicts.cards(c, found.judged, found.verdicts, outcome, of_pixels), drawn / f"{name}.png"
        )
        for outcome, name in (("missed", "missed"), ("false alarm", "false_alarms"))
    }
    both = 0 < test.labels.sum() < len(test.labels)
    environment = json.loads((workdir / "environment.json").read_text())
    notes = [
        f"Noise predictor: U-Net of base width {c.model.base}, trained {rows[0]['train_steps']} steps. "
        f"Features: {c.backbone.name}, "
        + (f"adapted for {epoch} epochs ({CHOSEN_BY[c.adapt.choose][0]})." if epoch else "not adapted."),
    ]
    notes += view_notes(data.view, next(row for row in rows if row["selected"]))
    if data.n_held_out > len(data.calibration.labels):
        notes.append(f"Of {data.n_held_out} held-out good pictures {len(data.calibration.labels)} set the scale.")
    if c.data.kind == "cans":
        notes.append("The pictures are rendered: simulated cans on a rotating disk, with exact masks.")
    return Report(
        title=f"DDAD on {data.name}",
        subject=data.name,
        n_train=data.n_fit,
        n_held_out=len(data.calibration.labels),
        n_good=int((test.labels == 0).sum()),
        n_defective=n_bad,
        image_size=c.data.size,
        rows=rows,
        notes=notes,
        intervals={"image_auroc": auroc_interval(scores, test.labels, seed=c.seed)} if both else {},
        alarms=alarms,
        warnings=[*found.warnings, *missing(test.labels, test.masks, test.has_mask)],
        verdicts=[found.verdicts[i] for i in verdicts.worst_first(found.verdicts)],
        missed=wrong["missed"],
        false_alarms=wrong["false alarm"],
        defects=found.defects,
        rules=found.rules,
        precision_recall=precision_recall(
            drawn_curves, drawn / "precision_recall.png", at=(counts["recall"], counts["precision"])
        ),
        iou=iou_curve(
            drawn_curves,
            drawn / "iou.png",
            thresholds={rule: one.value for rule, one in found.thresholds.pixel.items()},
        ),
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
