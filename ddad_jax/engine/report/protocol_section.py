"""The section of a report on its test set: what is reached there without looking for a defect."""

from collections.abc import Iterator

from ddad_jax.engine.report.content import Report, selected_rows
from ddad_jax.engine.report.parts import plain_table
from ddad_jax.engine.report.protocol_check import protocol_verdict
from ddad_jax.engine.report.table import escape, is_defined
from ddad_jax.protocol_check import DOUBTFUL, LEAKING, SATURATED, ProtocolCheck

COLUMNS = {"what": "what", "value": "here", "means": "how to read it"}
CAUSES = (
    f"0.5 is chance. From {DOUBTFUL} on only methods well above it are told apart, from {SATURATED} on none: defects "
    "change the whole picture, or good parts of the test were trained on"
)
OF_RECORDINGS = f"about 5 % where no part of the test was trained on; from {100 * LEAKING:.0f} % on some were"
OF_PICTURES = (
    "50 % where test pictures were drawn as training pictures were; near 0 % where training pictures have near "
    "relatives (other exposures, next frames) and test pictures have none"
)


def protocol_section(report: Report) -> str:
    """ "" where it was not measured."""
    p = report.protocol
    if p is None:
        return ""
    said = (
        f"{protocol_verdict(p)} Distances are between coarse features of whole pictures, {p.n_train} of them trained "
        "on; labels of test pictures are looked at for these figures alone, and the interval (95 %) is a bootstrap "
        "over test pictures."
    )
    if not is_defined(p.near_recordings):
        said += " Recordings are not known, so nobody can say whether parts of the test were trained on."
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in _rows(report, p)]
    return f'<p class="soft">{escape(said)}</p>{plain_table(rows, COLUMNS, label="What this test set can tell")}'


def _rows(report: Report, p: ProtocolCheck) -> Iterator[tuple[str, str, str]]:
    own = [row["image_auroc"] for row in selected_rows(report) if is_defined(row.get("image_auroc"))]
    if is_defined(p.know_nothing):
        yield "image AUROC without looking for defects", f"{p.know_nothing:.3f} ({p.low:.3f} to {p.high:.3f})", CAUSES
        if own:
            mean = sum(own) / len(own)
            told = "above that interval" if mean > p.high else "not above that interval: it shows no finding of defects"
            yield "image AUROC of the selected point", f"{mean:.3f}", told
    nearer = "good test pictures nearer to training than"
    if is_defined(p.near_recordings):
        what = f"{nearer} all but 5 % of the training pictures are to another recording or part"
        yield what, f"{100 * p.near_recordings:.0f} % of {p.n_good}", OF_RECORDINGS
    if is_defined(p.near_pictures):
        what = f"{nearer} half of the training pictures are to any other"
        yield what, f"{100 * p.near_pictures:.0f} % of {p.n_good}", OF_PICTURES
