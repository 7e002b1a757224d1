"""What a run leaves beside its journal: tables, per-image scores, calibration, figures and the report page."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ddad_jax import metrics
from experiments import verdicts
from experiments.findings import found_of
from experiments.model import Data
from experiments.plan import SETTINGS
from experiments.report.run import Report, write_report
from experiments.reporting import report_of
from experiments.selected import load_selected
from experiments.tables import format_table, write_csv, write_jsonl

FIRST = ("image_auroc", "pixel_auroc", "aupro_30", "aupro_05")
"""Metrics in the printed table, and in front of the others in results.csv."""
METRICS = (*FIRST, *(name for name in metrics.METRICS if name not in FIRST))
ALWAYS = ("w", "t_prime", "steps", "eta", "v", "layers")
"""Settings in the printed table; others only where a sweep tries several of their values."""


def write(c: ConfigDict, workdir: Path, data: Data, rows: list[dict[str, Any]], epoch: int, *, selection: str) -> None:
    """Every file of a run that is made from its rows, report.html last; prints a short table.

    selection: how the selected point was come by.
    """
    write_jsonl(workdir / "results.jsonl", rows)
    others = sorted({name for row in rows for name in row} - {*SETTINGS, *METRICS})
    write_csv(workdir / "results.csv", rows, columns=[*SETTINGS, *METRICS, *others])
    chosen = load_selected(workdir)
    found = found_of(c, workdir, data, rows, chosen)
    write_csv(workdir / "scores.csv", found.verdicts)
    write_csv(workdir / "per_defect.csv", found.defects)
    write_csv(workdir / "thresholds.csv", found.rules)
    if c.output.maps:
        verdicts.write_maps(c, workdir / verdicts.MAPS, found.judged)
    if c.output.overlays:
        verdicts.write_overlays(c, workdir / verdicts.OVERLAYS, found.judged, found.thresholds.of_pixels.value)
    report = report_of(c, workdir, data, rows, chosen, found, epoch, selection)
    write_report(workdir / "report.html", report)
    ranked = sorted(rows, key=lambda row: not row["selected"])
    settings = [name for name in SETTINGS if name in ALWAYS or len({str(row[name]) for row in rows}) > 1]
    print(format_table(ranked, [*settings, *FIRST, "ms_per_image", "selected"], max_rows=12))
    print(f"\nThe first row is the selected point, {selection}.\n{_told(report)}\nreport: {workdir / 'report.html'}")


def _told(report: Report) -> str:
    """What the threshold in use does, in a line for the terminal."""
    assert report.alarms is not None
    found, of, alarms = report.alarms.found, report.n_defective, report.alarms.false_alarms
    return (
        f"At the threshold {report.alarms.threshold:.4g} ({report.alarms.origin}): {found} of {of} defects found, "
        f"{of - found} got through, {alarms} of {report.n_good} good pictures raised a false alarm."
    )
