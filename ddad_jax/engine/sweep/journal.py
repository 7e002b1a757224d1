"""journal.jsonl: the finished rows of a workdir, which of them are of this run, and where the next one goes."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddad_jax.checkpoint import params_fingerprint
from ddad_jax.data.split import images_fingerprint
from ddad_jax.engine.data.same_pictures import fingerprint_in
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.data.view import made_of as view_made_of
from ddad_jax.engine.methods.method import Fitted, Method, defaults_of, key_columns
from ddad_jax.engine.methods.point import Costly, key_of, point_settings
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store import kept
from ddad_jax.engine.store.file_contents import checksum
from ddad_jax.engine.store.tables import append_jsonl, plain, read_jsonl
from ddad_jax.engine.sweep import selected
from ddad_jax.errors import InputError
from ddad_jax.metrics import METRICS

log = logging.getLogger(__name__)

OWNER = "journal_of.json"
"""Beside a journal: whose it is."""
BESIDE = "side_by_side"
"""Folder of pictures that belong to rows."""


def measured_with(c: Settings, workdir: Path, data: Data, fitted: Fitted) -> dict[str, Any]:
    """What the scores of a point depend on besides its own settings, whatever they are taken of."""
    return {
        "method": c.method,
        "trained_on": fingerprint_in(workdir, c.data, data.fit)[:16],
        "held_out": fingerprint_in(workdir, c.data, data.calibration)[:16],
        **({} if data.tuning is None else {"tuning": fingerprint_in(workdir, c.data, data.tuning)[:16]}),
        **fitted.columns,
        "backbone_weights": checksum(c.backbone.weights),
        "crop": c.score.crop,
        **({"synthetic": images_fingerprint(data.choice.defects)[:16]} if data.choice else {}),
        **view_made_of(data.view),
    }


def made_with(
    c: Settings, workdir: Path, data: Data, fitted: Fitted, points: Sequence[Costly]
) -> dict[Costly, dict[str, Any]]:
    """What the rows of each point, for which ``fitted`` is ready, say of how they were made.

    Raises:
      InputError: as ``Fitted.columns_at``.
    """
    every = {
        **measured_with(c, workdir, data, fitted),
        "test_set": fingerprint_in(workdir, c.data, data.test)[:16],
        **({f"threshold_{name}": value for name, value in c.threshold.items()} if c.at_threshold else {}),
    }
    return {point: {**every, **fitted.columns_at(point)} for point in points}


def claim_journal(journal: Path, weights: Any) -> None:
    """From here on the journal is of these parameters: one that others made, as before a second training here, is set
    aside, and what was kept beside it goes.

    Raises:
      InputError: journal_of.json does not say whose the journal is.
    """
    own, said = params_fingerprint(weights), journal.with_name(OWNER)
    before = _owner(journal) if said.exists() else own
    if before != own and journal.exists():
        aside = journal.with_name(f"journal-{before}.jsonl")
        log.warning("%s was made with other parameters than those here: kept as %s, begun anew", journal, aside.name)
        journal.replace(aside)
        selected.remove_selected(journal.parent)
        kept.remove_paths(journal.with_name(BESIDE))
    if before != own and (own_aside := journal.with_name(f"journal-{own}.jsonl")).exists():
        log.info("%s was made with the parameters here: taken up again", own_aside)
        own_aside.replace(journal)
    kept.save_content(said, {"weights": own}, {})


def require_own(journal: Path, weights: Any) -> None:
    """The journal must be of these parameters, for a process that may not ``claim_journal`` it.

    Raises:
      InputError: it is of others, or nobody has claimed it yet.
    """
    if not journal.with_name(OWNER).exists() or _owner(journal) != params_fingerprint(weights):
        raise InputError(f"{journal.with_name(OWNER)}: does not say that {journal.name} is of the parameters here")


def _owner(journal: Path) -> str:
    """Fingerprint of the parameters that the journal is of.

    Raises:
      InputError: the file beside it does not say.
    """
    path = journal.with_name(OWNER)
    mend = (
        f"Delete it to take the rows of {journal.name} as made with the parameters here, or delete both to begin anew"
    )
    owner = str(kept.read_content(path, {"weights": str}, mend=mend)[0]["weights"])
    if not re.fullmatch("[0-9a-f]+", owner):  # part of a file's name
        raise InputError(f"{path}: weights = {owner!r}: expected the fingerprint of parameters. {mend}")
    return owner


def finished_rows(
    journal: Path, method: Method, made: Mapping[Costly, Mapping[str, Any]], *more: Path
) -> dict[str, dict[str, Any]]:
    """``point.key_of`` -> row, of all rows of the journal, and of ``more`` of them, that this run would make again.

    Raises:
      InputError: as ``tables.read_jsonl``.
    """
    columns, own = key_columns(method), method.costly._fields
    usual = {"method": "ddad", **defaults_of(method)}
    of = {key_of(point_settings(point), own): columns_ for point, columns_ in made.items()}
    rows = {}
    for row in ({**usual, **row} for path in (*more, journal) for row in read_jsonl(path)):
        if not set(columns) <= row.keys() or (asked := of.get(key_of(row, own))) is None:
            continue
        # Rows of before there were optimised grids visit what their grid says.
        if asked.items() <= {"times": asked.get("times"), **row}.items():
            rows[key_of(row, columns)] = row
    return rows


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
