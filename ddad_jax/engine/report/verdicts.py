"""The sections of a report on verdicts: what got through first, then by kind of defect, then the thresholds."""

from ddad_jax.engine.report.content import Report
from ddad_jax.engine.report.parts import picture, plain_table
from ddad_jax.engine.report.table import escape

MOST = 200
"""Rows of a list of pictures; scores.csv has them all."""
PICTURES = {
    "name": "picture",
    "defect": "defect",
    "score": "score",
    "margin": "score − threshold",
    "regions": "regions",
    "largest_region": "largest region (px)",
}
DEFECTS = {
    "defect": "defect",
    "images": "pictures",
    "missed": "missed",
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "accuracy": "accuracy",
    "iou": "IoU",
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "aupro_30": "AUPRO@0.3",
}
RULES = {
    "rule": "rule",
    "threshold": "threshold",
    "n": "rests on",
    "missed": "missed",
    "false_alarms": "false alarms",
    "false_alarm_rate": "of good pictures",
    "false_alarm_rate_low": "95 % interval from",
    "false_alarm_rate_high": "to",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "pixel_threshold": "pixel threshold",
    "iou": "IoU",
}
CONTOURS = (
    "Drawn on the picture as it was taken, or as the model saw it where it has no file or was registered: "
    "blue, what exceeds the pixel threshold; yellow, the true defect where its "
    "mask is known."
)


def errors(report: Report) -> str:
    """Missed defects with their pictures, then false alarms; "" where no verdict was kept."""
    if not report.verdicts:
        return ""
    parts = []
    for outcome, of, path, title in (
        ("missed", report.n_defective, report.missed, "defective pictures got through"),
        ("false alarm", report.n_good, report.false_alarms, "good pictures were stopped"),
    ):
        rows = [row for row in report.verdicts if row["outcome"] == outcome]
        if not of:
            continue
        said = f"{len(rows) or 'None'} of {of} {title}"
        parts.append(f"<h3>{escape(said)}.</h3>")
        order = f"the {'lowest' if outcome == 'missed' else 'highest'} score first."
        parts.append(picture(path, f"{said}, {order}", f"{order.capitalize()} {CONTOURS}", least=820))
        table = plain_table(rows[:MOST], PICTURES, label=said)
        if len(rows) > MOST:
            table += f'<p class="soft">{MOST} of {len(rows)} are listed; scores.csv has them all.</p>'
        parts.append(table and f"<details><summary>List of {len(rows)}</summary>{table}</details>")
    return "".join(parts)


def by_defect(report: Report) -> str:
    """Each kind against all good pictures, the most missed first."""
    table = plain_table(report.defects, DEFECTS, label="Figures of each kind of defect")
    said = (
        "Each kind with all good pictures of the test set, the kind most missed first. Accuracy, precision, recall and "
        "F1 are those of the verdict, IoU that of the pixel threshold; the rest does not depend on a threshold."
    )
    return table and f'<p class="soft">{said}</p>{table}'


def thresholds(report: Report) -> str:
    """What every rule would do; thresholds that looked at test labels apart, and marked; the curves."""
    free = [row for row in report.rules if not row["uses_test_labels"]]
    peeked = [row for row in report.rules if row["uses_test_labels"]]
    if not free:
        return ""
    said = (
        "Every threshold here comes from held-out normal pictures alone; the highlighted one is in use. "
        "Misses and false alarms are those of the test set."
    )
    pixel = next((row for row in free if row.get("used_for_pixels")), None)
    if pixel is not None:
        said += f" Pixels count as defective above {pixel['pixel_threshold']:.4g}, by the rule {pixel['rule']}."
    told = [(row["rule"], "; ".join(filter(None, (row["guarantee"], row["warning"])))) for row in free]
    holds = "".join(f"<li><strong>{escape(rule)}</strong>: {escape(what)}.</li>" for rule, what in told)
    if report.alarms is not None:
        said += (
            f" {report.alarms.of_good(report.n_good)} The interval is of independent pictures: of several pictures of "
            "one part or recording it promises too much."
        )
    page = f'<p class="soft">{escape(said)}</p>{plain_table(free, RULES, label="Threshold rules", marked="used")}'
    page += f'<details open><summary>What each rule holds</summary><ul class="soft">{holds}</ul></details>'
    if peeked:
        page += (
            '<div class="peeked"><p><strong>Chosen by test labels: must not be used.</strong> These thresholds have '
            "seen the answers they are judged by. They are listed only to compare with figures that were published "
            "this way.</p>" + plain_table(peeked, RULES, label="Thresholds chosen by test labels") + "</div>"
        )
    recall = picture(
        report.precision_recall, "Precision over recall, of images and of pixels.", "Precision over recall."
    )
    iou = picture(report.iou, "IoU over the pixel threshold.", "IoU of the defective pixels over the pixel threshold.")
    return page + (f'<div class="pair even">{recall}{iou}</div>' if recall and iou else recall or iou)
