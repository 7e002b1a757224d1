"""Shards of a sweep: several runs that share a grid and a workdir, each with a journal that it alone writes.

    WORKDIR/shards/K-of-N.lock              held for as long as shard K of N lives
    WORKDIR/shards/WEIGHTS/K-of-N.jsonl     its rows, made with parameters of that fingerprint

The plain sweep takes the rows of all shards of its own parameters into journal.jsonl. Rows of others stay where they
are, and are taken when their parameters are back.
"""

import bisect
import contextlib
import fcntl
import itertools
import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.checkpoint import params_fingerprint
from ddad_jax.engine.methods.method import Cost
from ddad_jax.engine.methods.point import Costly
from ddad_jax.engine.store.lock import NO_LOCKS, holder, locked, sign
from ddad_jax.engine.store.tables import read_jsonl, write_jsonl
from ddad_jax.errors import InputError

log = logging.getLogger(__name__)

FOLDER = "shards"


class Shard(NamedTuple):
    """Number k, from 0, of n."""

    k: int
    n: int

    def __str__(self) -> str:
        return f"{self.k}/{self.n}"


def parse_shard(text: str) -> Shard:
    """Of the flag.

    Raises:
      InputError: not K/N with 0 <= K < N.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not found or int(found[1]) >= int(found[2]):
        raise InputError(f"--shard={text}: expected K/N, number K of N shards from 0, such as 0/4 to 3/4")
    return Shard(int(found[1]), int(found[2]))


def journal_of(workdir: Path, weights: Any, shard: Shard) -> Path:
    """Where the rows go that ``shard`` makes with these parameters."""
    return workdir / FOLDER / params_fingerprint(weights) / f"{shard.k}-of-{shard.n}.jsonl"


def journals(workdir: Path, weights: Any) -> list[Path]:
    """Of all shards, whatever their number, that were made with these parameters."""
    return sorted((workdir / FOLDER / params_fingerprint(weights)).glob("*-of-*.jsonl"))


def take_in(journal: Path, weights: Any) -> None:
    """Rows of the shards that the journal lacks are added to it, all or, if killed, none.

    Raises:
      InputError: as ``tables.read_jsonl``.
    """
    rows = read_jsonl(journal)
    known = {json.dumps(row, sort_keys=True) for row in rows}
    missing = []
    for path in journals(journal.parent, weights):
        for row in read_jsonl(path):
            if (said := json.dumps(row, sort_keys=True)) not in known:
                known.add(said)
                missing.append(row)
    if missing:
        write_jsonl(journal, [*rows, *missing])
        log.info("%s: %d rows of shards taken in", journal, len(missing))


@contextlib.contextmanager
def shard_lock(workdir: Path, shard: Shard) -> Iterator[None]:
    """The lock of a shard for as long as the block lasts; a process that is killed leaves it behind for nobody.

    Raises:
      InputError: another process has it, or shards of another count are being computed.
    """
    folder = workdir / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / f"{shard.k}-of-{shard.n}.lock").open("a+")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); a shard keeps its rows there") from None
    with file:
        if not locked(file):
            raise InputError(
                f"--shard={shard}: {holder(file)} computes this shard already. Wait for it, or end it and start this "
                "one again: no finished point is lost. Other shards have other numbers"
            )
        sign(file)
        for path in sorted(folder.glob("*.lock")):
            if not path.name.endswith(f"-of-{shard.n}.lock") and (said := _held_by(path)):
                raise InputError(
                    f"--shard={shard}: {said} computes {path.stem} at the same time, which shares points with it. "
                    "Expected one number of shards for all; wait for it, or end it"
                )
        yield


def require_idle(workdir: Path) -> None:
    """No shard is being computed: what follows would compute its points a second time.

    Raises:
      InputError: naming one that is.
    """
    for path in sorted((workdir / FOLDER).glob("*.lock")):
        if said := _held_by(path):
            raise InputError(
                f"{workdir}: {said} still computes shard {path.stem}. Run this when all shards have ended, or end "
                "them: no finished point is lost"
            )


def _held_by(path: Path) -> str:
    """Who has the lock; "" where nobody has."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return ""
        except OSError as error:
            return "" if error.errno in NO_LOCKS else holder(file)


# --- Which points of a grid a shard computes: runs of neighbours in the plan's order, about equally many network calls.


def dealt(points: Sequence[Costly], count: int, cost: Cost) -> list[list[Costly]]:
    """All points in ``count`` shards, none empty; a function of its arguments alone, so that shards need not talk.

    A shard is a run of neighbours, so it has few compiled programs. Neighbours are those of ``points``, or of another
    of the cost's orders where more is shared so.

    Args:
      points: in the order of the plan, those of one compilation together; at least ``count`` of them.
    """
    return min(
        (_cut(order, count, cost) for order in cost.orders(points)), key=lambda runs: max(cost(run) for run in runs)
    )


def _cut(points: list[Costly], count: int, cost: Cost) -> list[list[Costly]]:
    """Runs of about equal calls: a point is in the part of all calls that the middle of its own falls into, so where
    nothing is shared no run has more than an equal part and the dearest point."""
    added = cost.added(points)
    ends = list(itertools.accumulate(added))
    # In halves of a call over the count, so that all is whole numbers.
    middles = [count * (2 * end - own) for end, own in zip(ends, added, strict=True)]
    borders = [0]
    for k in range(1, count):
        border = bisect.bisect_left(middles, 2 * k * ends[-1])
        # A point for this run, and one for each after it.
        borders.append(min(max(border, borders[-1] + 1), len(points) - (count - k)))
    return [points[start:end] for start, end in itertools.pairwise([*borders, len(points)])]
