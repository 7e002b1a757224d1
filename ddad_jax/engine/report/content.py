"""What a report is made of, and what its reader must be warned of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.engine.figures.parts import NAMES
from ddad_jax.engine.report.browser import Browser
from ddad_jax.engine.report.protocol_check import protocol_verdict
from ddad_jax.engine.report.table import best_by_label, is_defined
from ddad_jax.engine.store.tables import Row
from ddad_jax.metrics.intervals import share_interval
from ddad_jax.metrics.thresholds import minimum_images
from ddad_jax.protocol_check import ProtocolCheck

HEADLINES = {
    "image_auroc": "how often a defective picture scores higher than a good one",
    "pixel_auroc": "how often a defective pixel is brighter on the map than a good one",
    "aupro_30": "how much of each defect the map covers, on average, at up to 30 % false alarms on good pixels",
}
FEW_HELD_OUT, FEW_TEST = minimum_images("conformal", 0.05), 20


class Alarms(NamedTuple):
    """What one threshold on the image score does on the test set."""

    threshold: float
    found: int
    false_alarms: int
    origin: str
    """Where the threshold comes from, as in "99th percentile of held-out normal scores"."""
    guarantee: str = ""
    """What the rule promises of new normal pictures, as of ``metrics.thresholds.Threshold``."""

    def of_good(self, n_good: int) -> str:
        """How many of the good test pictures raised a false alarm, how sure that share is, and what was promised."""
        said = f"{self.false_alarms} of {n_good} good pictures raised a false alarm"
        if n_good:
            low, high = (100 * end for end in share_interval(self.false_alarms, n_good))
            share = 100 * self.false_alarms / n_good
            said += f": {share:.1f} % (95 % interval of Clopper and Pearson {low:.1f} to {high:.1f} %)"
        return said + (f"; promised: {self.guarantee}." if self.guarantee else ".")


@dataclass(frozen=True)
class Report:
    """Everything a page can show. Figures are paths of PNG files; None or a missing file: left out."""

    title: str
    subject: str
    """What is inspected, as in "cans / winter_melon"."""
    n_held_out: int
    """Held-out good pictures that give the thresholds."""
    n_good: int
    """Good pictures in the test set."""
    n_defective: int
    image_size: int
    """Side in pixels."""
    n_tuning: int = 0
    """Other held-out good pictures, by which the run chose; 0: it chose by none."""
    explanation: str = ""
    """What the method does, in a few sentences."""
    rows: Sequence[Row] = ()
    """Result rows; ``selected`` marks the configured point."""
    notes: Sequence[str] = ()
    """Further sentences on the method: networks, sizes, epochs of adaptation."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """metric -> (low, high), 95 % bootstrap interval of the selected point."""
    alarms: Alarms | None = None
    protocol: ProtocolCheck | None = None
    """What the test set can tell at all."""
    warnings: Sequence[str] = ()
    """Besides those that ``found_warnings`` finds itself."""
    verdicts: Sequence[Row] = ()
    """Of ``verdicts.verdict_rows``, the worst first."""
    missed: Path | str | None = None
    false_alarms: Path | str | None = None
    """Figures of pictures that were judged wrongly."""
    defects: Sequence[Row] = ()
    """Of ``per_defect``."""
    rules: Sequence[Row] = ()
    """Of ``verdicts.rule_rows``."""
    precision_recall: Path | str | None = None
    iou: Path | str | None = None
    examples: Path | str | None = None
    browser: Browser | None = None
    scores: Path | str | None = None
    roc: Path | str | None = None
    curves: Mapping[str, Path | str | None] = field(default_factory=dict)
    """metric -> figure of the metric against each setting."""
    frontier: Path | str | None = None
    frontier_rows: Sequence[Row] = ()
    """Speed against accuracy, as a figure and as its numbers."""
    side_by_side: Path | str | None = None
    """A few pictures redrawn by the frontier's best ways."""
    training: Path | str | None = None
    adaptation: Path | str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    selection: str = "fixed without looking at test labels"
    """How the selected point was come by."""
    command: str = ""
    """The shell command that makes this run again."""


def selected_rows(report: Report) -> list[Row]:
    """The rows of the point that the label-free defaults use, one a seed."""
    return [row for row in report.rows if row.get("selected")]


def picked_by_label(report: Report) -> Row | None:
    """The best row by image AUROC where that is another than the selected one; None otherwise."""
    best = best_by_label(report.rows)
    return None if best is None or best.get("selected") or len(report.rows) < 2 else best


def found_warnings(report: Report) -> list[str]:
    """What a reader must know before quoting a figure: undefined metrics, few pictures, peeking at labels."""
    said = list(report.warnings)
    selected = selected_rows(report)
    if report.rows and not selected:
        said.append("No row is marked as selected: there is no result that was fixed without test labels.")
    if selected:
        gone = [name for name in HEADLINES if name in selected[0] and not is_defined(selected[0][name])]
        if gone:
            names = ", ".join(NAMES.get(name, name) for name in gone)
            said.append(f"Undefined on this test set: {names}. It lacks good pictures, defects or masks.")
    if report.protocol is not None and (report.protocol.doubtful or report.protocol.leaking):
        said.append(protocol_verdict(report.protocol))
    if report.n_held_out < FEW_HELD_OUT:
        said.append(
            f"Only {report.n_held_out} held-out normal pictures give the threshold: fewer than {FEW_HELD_OUT} cannot "
            "bound false alarms at 5 %."
        )
    if selected and 0 < min(report.n_good, report.n_defective) < FEW_TEST:
        said.append(
            f"The test set is small ({report.n_good} good, {report.n_defective} defective): "
            "the figures would move with other pictures."
        )
    if any("ms_per_image" in row for row in report.rows):
        # It times the networks of those methods that count their calls.
        by_itself = any("unet_calls" in row for row in report.rows)
        said.append(
            "Times (ms/image) were taken while the sweep ran, in its batches and beside whatever else the machine did"
            + (": python -m experiments.benchmark measures by itself." if by_itself else ".")
        )
    best = picked_by_label(report)
    if best is not None:
        said.append(
            f"The row marked ◆ (image AUROC {best['image_auroc']:.4f}) was chosen by looking at test labels: "
            "do not report it."
        )
    return list(dict.fromkeys(said))
