"""From a finished run to its report: what the page says, its figures, and the pictures of its browser."""

from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax import metrics
from ddad_jax.data.json_file import read_object
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.data.view import view_notes
from ddad_jax.engine.figures import (
    Example,
    grid_figure,
    iou_curve,
    metric_curves,
    precision_recall,
    roc_curve,
    score_histogram,
    verdict_figure,
)
from ddad_jax.engine.figures.curves import PARAMETERS
from ddad_jax.engine.methods.method import Fitted, Method, key_columns
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.report.browser import Browser, BrowserPicture
from ddad_jax.engine.report.hindsight import hindsight
from ddad_jax.engine.report.protocol_check import protocol_check_of, protocol_verdict
from ddad_jax.engine.report.run import Alarms, Report, write_report
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store.tables import format_table, write_csv, write_jsonl
from ddad_jax.engine.sweep.selected import load_selected
from ddad_jax.engine.verdicts import shown as verdicts_shown
from ddad_jax.engine.verdicts import verdicts
from ddad_jax.engine.verdicts.shown import thinned
from ddad_jax.engine.verdicts.verdicts import RunVerdicts, found_of
from ddad_jax.metrics import auroc_interval, label_regions, undefined_metrics
from ddad_jax.metrics.at_threshold import curves

CURVES = ("image_auroc", "pixel_auroc", "aupro_30", "aupro_05")
"""Metrics that are drawn against each setting."""

RULES = {
    "max": "the largest score of a held-out normal picture",
    "quantile": "a quantile of the scores of held-out normal pictures",
    "sigma": "mean and spread of the scores of held-out normal pictures",
    "conformal": "conformal, of held-out normal pictures",
    "conformal_pac": "conformal with confidence, of held-out normal pictures",
}
"""``threshold.rule`` -> where the threshold comes from, as the report says it."""


def report_of(
    c: Settings,
    workdir: Path,
    data: Data,
    rows: list[dict[str, Any]],
    chosen: dict[str, np.ndarray],
    run_verdicts: RunVerdicts,
    fitted: Fitted,
    selection: str,
) -> Report:
    drawn = workdir / "figures"
    drawn.mkdir(exist_ok=True)
    test, scores, n_bad = data.test, chosen["scores"], int(data.test.labels.sum())
    threshold, of_pixels = run_verdicts.thresholds.score.value, run_verdicts.thresholds.of_pixels.value
    counts = next(row for row in run_verdicts.rules if row["used"])
    used = run_verdicts.thresholds.score
    alarms = Alarms(threshold, n_bad - counts["missed"], counts["false_alarms"], RULES[used.rule], used.guarantee)
    drawing = label_regions(run_verdicts.judged.masks, test.has_mask)
    drawn_curves = curves(run_verdicts.judged.maps, scores, test.labels, drawing)
    wrong = {
        outcome: verdict_figure(
            verdicts.cards(run_verdicts.judged, run_verdicts.verdicts, outcome, of_pixels, c.output.examples),
            drawn / f"{name}.png",
        )
        for outcome, name in (("missed", "missed"), ("false alarm", "false_alarms"))
    }
    both = 0 < test.labels.sum() < len(test.labels)
    again = "The next evaluation of this workdir writes it anew"
    environment = read_object(workdir / "environment.json", mend=again, constants=True)
    row, method = next(row for row in rows if row["selected"]), method_of(c)
    notes, warnings = fitted.told(data, row)
    notes += view_notes(data.view, row)
    n_held_out, n_tuning = len(data.calibration.labels), 0 if data.tuning is None else len(data.tuning.labels)
    if data.n_held_out > n_held_out + n_tuning:
        notes.append(f"Of {data.n_held_out} held-out good pictures {n_held_out + n_tuning} were used.")
    if c.data.kind == "cans":
        notes.append("The pictures are rendered: simulated cans on a rotating disk, with exact masks.")
    return Report(
        title=f"{method.title} on {data.name}",
        explanation=method.explained(data.n_fit, data.name, row),
        subject=data.name,
        n_held_out=n_held_out,
        n_tuning=n_tuning,
        n_good=int((test.labels == 0).sum()),
        n_defective=n_bad,
        image_size=c.data.size,
        rows=rows,
        notes=notes,
        intervals={"image_auroc": auroc_interval(scores, test.labels, seed=c.seed)} if both else {},
        alarms=alarms,
        protocol=protocol_check_of(c, workdir, data),
        warnings=[
            *data.notes,
            *run_verdicts.warnings,
            *warnings,
            *undefined_metrics(test.labels, test.masks, test.has_mask),
        ],
        verdicts=[run_verdicts.verdicts[i] for i in verdicts.worst_first(run_verdicts.verdicts)],
        missed=wrong["missed"],
        false_alarms=wrong["false alarm"],
        defects=run_verdicts.defects,
        rules=run_verdicts.rules,
        precision_recall=precision_recall(
            drawn_curves, drawn / "precision_recall.png", at=(counts["recall"], counts["precision"])
        ),
        iou=iou_curve(
            drawn_curves,
            drawn / "iou.png",
            thresholds={rule: one.value for rule, one in run_verdicts.thresholds.pixel.items()},
        ),
        browser=browser_of(c, workdir, data, chosen, run_verdicts),
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
        curves={m: metric_curves(rows, drawn / f"{m}.png", metric=m, parameters=_drawn(method)) for m in CURVES},
        config=c.to_dict(),
        environment=environment,
        selection=selection,
        command=f"python -m {environment['command']}",
        **fitted.figures(data, rows, drawn),
    )


def _drawn(method: Method) -> list[str]:
    """Settings that metrics are drawn against, those that all methods know of first."""
    names = [name for name in key_columns(method) if name != "seed"]
    return [*(name for name in PARAMETERS if name in names), *(name for name in names if name not in PARAMETERS)]


def _examples(c: Settings, data: Data, chosen: dict[str, np.ndarray], threshold: float) -> list[Example]:
    """A few of every kind, evenly over its ranks of the score: the easy, the middling and the missed."""
    kinds = sorted(set(data.test.defects), key=lambda kind: (kind == "good", kind))
    each = max(1, c.output.examples // len(kinds))
    picked: list[int] = []
    for kind in kinds:
        of_kind = np.array([i for i, d in enumerate(data.test.defects) if d == kind])
        ranked = of_kind[np.argsort(-chosen["scores"][of_kind], kind="stable")]
        picked += [int(i) for i in ranked[np.unique(np.linspace(0, len(ranked) - 1, each).round().astype(int))]]
    return [_example(c, data, chosen, i, threshold) for i in picked]


def browser_of(
    c: Settings, workdir: Path, data: Data, chosen: dict[str, np.ndarray], run_verdicts: RunVerdicts
) -> Browser | None:
    """The pictures of the report's browser, with what each visited time predicts where that was kept."""
    if not c.output.browser:
        return None
    kept_steps = method_of(c).steps(workdir)
    at = (
        verdicts_shown.report_rows(data.test, chosen["scores"], c.output.browser)
        if kept_steps is None
        else kept_steps.at
    )
    steps: list[list[tuple[int, np.ndarray]]] = [[] for _ in at]
    inner = _inner(c)
    if kept_steps is not None:
        whole = [[thinned(x0_hat[inner, inner], np.mean) for x0_hat in one] for one in kept_steps.x0_hat]
        steps = [
            list(zip(times.tolist(), one, strict=True)) for times, one in zip(kept_steps.times, whole, strict=True)
        ]
    pictures = []
    for i, visited in zip(at.tolist(), steps, strict=True):
        one, row = _example(c, data, chosen, i), run_verdicts.verdicts[i]
        height, width = verdicts.drawn_size(run_verdicts.judged, i)
        largest = row["largest_region"] / (height * width)
        pictures.append(
            BrowserPicture(
                one.name, one.defect, one.label, one.score, row["outcome"], row["regions"], largest,
                one.image, one.reconstruction, visited, one.pixel_distance, one.feature_distance, one.anomaly_map,
                one.mask,
            )
        )  # fmt: skip
    threshold = run_verdicts.thresholds.score.value
    # Where not all fit into the page it is the surest verdicts that are left out.
    pictures.sort(key=lambda one: verdicts_shown.ease(one.score, one.label, threshold))
    return Browser(pictures, len(data.test.labels), threshold, run_verdicts.thresholds.of_pixels.value)


def _inner(c: Settings) -> slice:
    """Rows, and columns, that the crop leaves."""
    edge = (c.data.size - c.score.crop) // 2
    return slice(edge, edge + c.score.crop) if c.score.crop else slice(None)


def _example(c: Settings, data: Data, chosen: dict[str, np.ndarray], i: int, threshold: float | None = None) -> Example:
    """Test picture i with all that was computed of it, as large as a page needs it."""
    inner = _inner(c)

    def distance(name: str) -> np.ndarray | None:
        return thinned(chosen[name][i, inner, inner].astype(np.float32)) if name in chosen else None

    return Example(
        name=data.test.names[i],
        defect=data.test.defects[i],
        label=int(data.test.labels[i]),
        score=float(chosen["scores"][i]),
        image=thinned(data.test.images[i, inner, inner], np.mean),
        reconstruction=thinned(chosen["x0"][i, inner, inner], np.mean) if "x0" in chosen else None,
        pixel_distance=distance("pixel"),
        feature_distance=distance("feature"),
        anomaly_map=thinned(chosen["maps"][i]),
        mask=thinned(data.test.masks[i, inner, inner]) if data.test.has_mask[i] else None,
        threshold=threshold,
    )


# --- What a run leaves beside its journal: tables, per-image scores, calibration, figures and the report page.

FIRST = ("image_auroc", "pixel_auroc", "aupro_30", "aupro_05")
"""Metrics in the printed table, and in front of the others in results.csv."""
METRICS = (*FIRST, *(name for name in metrics.METRICS if name not in FIRST))


def write_results(
    c: Settings, workdir: Path, data: Data, rows: list[dict[str, Any]], fitted: Fitted, *, selection: str
) -> None:
    """Every file of a run that is made from its rows, report.html last; prints a short table.

    selection: how the selected point was come by.
    """
    method = method_of(c)
    columns = key_columns(method)
    write_jsonl(workdir / "results.jsonl", rows)
    others = sorted({name for row in rows for name in row} - {*columns, *METRICS})
    write_csv(workdir / "results.csv", rows, columns=[*columns, *METRICS, *others])
    chosen = load_selected(workdir)
    row = next(row for row in rows if row["selected"])
    made = {**{name: row[name] for name in (*columns, "crop")}, **method.numbers(row)}
    masked = method.point_of(row).masks
    run_verdicts = found_of(c, workdir, data, chosen, made, masked=masked)
    write_csv(workdir / "scores.csv", run_verdicts.verdicts)
    write_csv(workdir / "per_defect.csv", run_verdicts.defects)
    write_csv(workdir / "thresholds.csv", run_verdicts.rules)
    if c.output.maps:
        verdicts.write_maps(workdir / verdicts.MAPS, run_verdicts.judged)
    if c.output.overlays:
        verdicts.write_overlays(
            workdir / verdicts.OVERLAYS, run_verdicts.judged, run_verdicts.thresholds.of_pixels.value
        )
    report = report_of(c, workdir, data, rows, chosen, run_verdicts, fitted, selection)
    write_report(workdir / "report.html", report)
    ranked = sorted(rows, key=lambda row: not row["selected"])
    # Settings of the method's own choice, and those of which a sweep tries several values.
    settings = [name for name in columns if name in method.printed or len({str(row[name]) for row in rows}) > 1]
    print(format_table(ranked, [*settings, *FIRST, "ms_per_image", "selected"], max_rows=12))
    looking_back = hindsight(rows)
    by_labels = f"By test labels, which chose nothing, it has {looking_back.sentence()}.\n" if looking_back else ""
    print(f"\nThe first row is the selected point, {selection}.\n{by_labels}{_told(report)}")
    print(f"report: {workdir / 'report.html'}")


def _told(report: Report) -> str:
    """What the threshold in use does, in a line for the terminal."""
    assert report.alarms is not None
    found, of = report.alarms.found, report.n_defective
    told = f"\n{protocol_verdict(report.protocol)}" if report.protocol else ""
    return (
        f"At the threshold {report.alarms.threshold:.4g} ({report.alarms.origin}): {found} of {of} defects found, "
        f"{of - found} got through. {report.alarms.of_good(report.n_good)}{told}"
    )
