"""journal.jsonl: the finished rows of a workdir, which of them are of this run, and where the next one goes."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.checkpoint import fingerprint as weights_fingerprint
from ddad_jax.data.json_file import parsed
from ddad_jax.data.split import fingerprint
from ddad_jax.engine.data.same_pictures import fingerprint_in
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.data.view import made_of as view_made_of
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.side_by_side import FOLDER
from ddad_jax.engine.methods.loop import trained_steps
from ddad_jax.engine.methods.method import UNSAID, key_of
from ddad_jax.engine.store.file_contents import checksum
from ddad_jax.engine.store.tables import append_jsonl, plain, read_jsonl, write_text
from ddad_jax.engine.sweep import selected
from ddad_jax.errors import InputError
from ddad_jax.metrics import METRICS
from ddad_jax.points import GridKey, ReconPoint, time_grid
from ddad_jax.timesteps import TimeGrid

log = logging.getLogger(__name__)


class MadeWith(NamedTuple):
    """What the rows of a run say of how they were made. teacher, student: of the points that name that model. times:
    those that a point visits, such as "250-140-60"; with ``rise`` those of its least unusual picture."""

    teacher: dict[str, Any]
    student: dict[str, Any]
    times: dict[ReconPoint, str]

    def of(self, model: str) -> dict[str, Any]:
        return self.student if model == "student" else self.teacher


def measured_with(c: DDADSettings, workdir: Path, data: Data, epoch: int) -> dict[str, Any]:
    """What the scores of a point depend on besides its own settings, whatever they are taken of."""
    return {
        "trained_on": fingerprint_in(workdir, c.data, data.fit)[:16],
        "train_steps": trained_steps(workdir),
        "held_out": fingerprint_in(workdir, c.data, data.calibration)[:16],
        "adapt_epoch": epoch,
        **{f"backbone_{name}": value for name, value in c.backbone.items() if name != "weights"},
        "backbone_weights": checksum(c.backbone.weights),
        "dtype": c.model.dtype,
        "normalise": c.score.normalise,
        "crop": c.score.crop,
        "clip": c.sample.clip,
        **({"score_batch": c.score.batch} if c.score.normalise == "batch" else {}),
        **({"synthetic": fingerprint(data.choice.defects)[:16]} if data.choice else {}),
        **view_made_of(data.view),
    }


def made_with(
    c: DDADSettings,
    workdir: Path,
    data: Data,
    measured: Mapping[str, Any],
    points: Sequence[ReconPoint],
    grids: Mapping[GridKey, TimeGrid] | None,
    student: Mapping[str, Any],
) -> MadeWith:
    """Of a run over ``points``.

    Args:
      measured: ``measured_with``.
      grids: the optimised ones of the points.
      student: what tells the run's student from others, nothing where it has none.

    Raises:
      InputError: as ``points.time_grid``.
    """
    teacher = {
        **measured,
        "test_set": fingerprint_in(workdir, c.data, data.test)[:16],
        **({"teacher": c.teacher, "teacher_images": c.teacher_images} if c.teacher else {}),
        **({f"threshold_{name}": value for name, value in c.threshold.items()} if c.at_threshold else {}),
    }
    times = {point: "-".join(map(str, time_grid(point, grids).t.tolist())) for point in points}
    return MadeWith(teacher, {**teacher, **student}, times)


def claim(journal: Path, weights: Any) -> None:
    """From here on the journal is of these parameters: one that others made, as before a second training here, is set
    aside, and what was kept beside it goes.

    Raises:
      InputError: journal_of.json does not say whose the journal is.
    """
    own, said = weights_fingerprint(weights), journal.with_name("journal_of.json")
    try:
        before = parsed(said.read_bytes(), constants=True)["weights"] if said.exists() else own
        int(before, 16)  # part of a file's name below
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{said}: does not say which parameters {journal.name} was made with ({error!r}). Delete it to take the "
            f"rows as made with those here, or delete both to begin anew"
        ) from None
    if before != own and journal.exists():
        kept = journal.with_name(f"journal-{before}.jsonl")
        log.warning("%s was made with other parameters than those here: kept as %s, begun anew", journal, kept.name)
        journal.replace(kept)
        journal.with_name("selected.npz").unlink(missing_ok=True)
        selected.forget_constants(journal.parent)
        shutil.rmtree(journal.with_name(FOLDER), ignore_errors=True)
    if before != own and (own_aside := journal.with_name(f"journal-{own}.jsonl")).exists():
        log.info("%s was made with the parameters here: taken up again", own_aside)
        own_aside.replace(journal)
    write_text(said, json.dumps({"weights": own}))


def require_own(journal: Path, weights: Any) -> None:
    """The journal must be of these parameters, for a process that may not ``claim`` it.

    Raises:
      InputError: it is of others, or nobody has claimed it yet.
    """
    said = journal.with_name("journal_of.json")
    try:
        before = parsed(said.read_bytes(), constants=True)["weights"]
    except (OSError, ValueError, KeyError, TypeError):
        before = None
    if before != weights_fingerprint(weights):
        raise InputError(f"{said}: does not say that {journal.name} is of the parameters here")


def finished(journal: Path, made: MadeWith, *more: Path) -> dict[str, dict[str, Any]]:
    """``method.key_of`` -> row, of all rows of the journal, and of ``more`` of them, that this run would make again.

    Raises:
      InputError: as ``tables.read_jsonl``.
    """
    rows = ({**UNSAID, **row} for path in (*more, journal) for row in read_jsonl(path))
    return {key_of(row): row for row in rows if _of_this_run(row, made)}


def warn_of_gaps(rows: Sequence[Mapping[str, Any]]) -> None:
    """Names the metrics that rows made before there were such lack: their points are not computed anew for them."""
    gaps = {name: sum(name not in row for row in rows) for name in METRICS}
    lacking = [f"{name} in {n}" for name, n in gaps.items() if n]
    if lacking:
        log.warning(
            "of the %d rows that this workdir holds, there is no %s: they stay as they are; a new --workdir has "
            "it for all",
            len(rows), ", no ".join(lacking),
        )  # fmt: skip


def append(journal: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Add a row; returned as the journal gives it back, so that a fresh and a resumed run return the same."""
    append_jsonl(journal, row)
    return json.loads(json.dumps(plain(row)))


def _of_this_run(row: dict[str, Any], made: MadeWith) -> bool:
    if not made.of(row["model"]).items() <= row.items():
        return False
    # An optimised grid may have been found anew since.
    times = made.times.get(ReconPoint(**{name: row[name] for name in ReconPoint._fields if name in row}))
    return times is None or row.get("times", times) == times
