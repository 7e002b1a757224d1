"""Shards of a sweep: several runs that share a grid and a workdir, each with a journal that it alone writes.

    WORKDIR/shards/K-of-N.lock              held for as long as shard K of N lives
    WORKDIR/shards/WEIGHTS/K-of-N.jsonl     its rows, made with parameters of that fingerprint

The plain sweep takes the rows of all shards of its own parameters into journal.jsonl. Rows of others stay where they
are, and are taken when their parameters are back.
"""

import contextlib
import fcntl
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.checkpoint import fingerprint
from ddad_jax.engine.methods.ddad.evidence import teacher_of
from ddad_jax.engine.store.lock import NO_LOCKS, holder, locked, sign
from ddad_jax.engine.store.tables import read_jsonl, write_jsonl
from ddad_jax.errors import InputError
from ddad_jax.first_pass import first_pass
from ddad_jax.points import ReconPoint

log = logging.getLogger(__name__)

FOLDER = "shards"


class Shard(NamedTuple):
    """Number k, from 0, of n."""

    k: int
    n: int

    def __str__(self) -> str:
        return f"{self.k}/{self.n}"


def parse(text: str) -> Shard:
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
    return workdir / FOLDER / fingerprint(weights) / f"{shard.k}-of-{shard.n}.jsonl"


def journals(workdir: Path, weights: Any) -> list[Path]:
    """Of all shards, whatever their number, that were made with these parameters."""
    return sorted((workdir / FOLDER / fingerprint(weights)).glob("*-of-*.jsonl"))


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
def held(workdir: Path, shard: Shard) -> Iterator[None]:
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


class Asked(NamedTuple):
    """What one point costs. own: calls of its own; shared: what others may ask for, too, and its calls, made once."""

    own: int
    shared: tuple[tuple[tuple[str, ReconPoint], int], ...]


class Cost(NamedTuple):
    """points -> calls of the network that a shard of them makes: those of the points, and once each first pass and each
    fine teacher that any of them asks for.

    images: that every point reconstructs; teacher: its steps, 0 for none; compared: images that it reconstructs.
    """

    images: int
    teacher: int = 0
    compared: int = 0

    def of(self, point: ReconPoint) -> Asked:
        # A fine teacher may look like a first pass: whose it is tells them apart.
        firsts = ((("first", first_pass(point)), self.images),) if point.rise else ()
        fine = teacher_of(point, self.teacher) if self.teacher else None
        teachers = ((("fine", fine), self.compared * fine.calls),) if fine else ()
        return Asked(self.images * (point.calls - (point.rise > 0)), (*firsts, *teachers))

    def __call__(self, points: Sequence[ReconPoint]) -> int:
        bill = Bill()
        for point in points:
            bill.add(self.of(point))
        return bill.total


class Bill:
    """What points cost together, as some are added and others taken away: a step costs the same however many."""

    def __init__(self) -> None:
        self.total = 0
        self._users: Counter[object] = Counter()

    def more(self, asked: Asked) -> int:
        """The total with one more."""
        return self.total + asked.own + sum(calls for key, calls in asked.shared if not self._users[key])

    def less(self, asked: Asked) -> int:
        """The total without one that was added."""
        return self.total - asked.own - sum(calls for key, calls in asked.shared if self._users[key] == 1)

    def add(self, asked: Asked) -> None:
        self.total = self.more(asked)
        self._users.update(key for key, _ in asked.shared)

    def take(self, asked: Asked) -> None:
        self.total = self.less(asked)
        self._users.subtract(key for key, _ in asked.shared)


def dealt(points: Sequence[ReconPoint], count: int, cost: Cost) -> list[list[ReconPoint]]:
    """All points in ``count`` shards, none empty; a function of its arguments alone, so that shards need not talk.

    A shard is a run of neighbours, so it has few compiled programs; the dearest shard is as cheap as it can be with
    shards of that kind. Neighbours are those of ``points``, or where fine teachers cost more than that, points that
    share theirs.

    Args:
      points: in the order of the plan, those of one compilation together; at least ``count`` of them.
    """
    orders = [list(points)]
    if cost.teacher:
        orders.append(sorted(points, key=lambda point: teacher_of(point, cost.teacher)))  # stable
    found = [_evened(order, [cost.of(point) for point in order], count) for order in orders]
    _, shards = min(found, key=lambda dearest_and_shards: dearest_and_shards[0])
    return shards


def _evened(points: list[ReconPoint], asked: list[Asked], count: int) -> tuple[int, list[list[ReconPoint]]]:
    """(cost of the dearest run, runs): the best cut, then points moved over a border while the dearer of its two sides
    becomes cheaper, as the last runs come out short."""
    ends = _cut(asked, count)
    starts, bills = [0, *ends[:-1]], []
    for start, end in zip(starts, ends, strict=True):
        bill = Bill()
        for one in asked[start:end]:
            bill.add(one)
        bills.append(bill)
    moved = True
    while moved:
        moved = False
        for k in range(count - 1):
            left, right, border = bills[k], bills[k + 1], ends[k]
            dearer = max(left.total, right.total)
            last, first = asked[border - 1], asked[border]
            if border - starts[k] > 1 and max(left.less(last), right.more(last)) < dearer:
                left.take(last)
                right.add(last)
                border -= 1
            elif ends[k + 1] - border > 1 and max(left.more(first), right.less(first)) < dearer:
                left.add(first)
                right.take(first)
                border += 1
            moved = moved or border != ends[k]
            ends[k] = starts[k + 1] = border
    return max(bill.total for bill in bills), [points[a:b] for a, b in zip(starts, ends, strict=True)]


def _cut(asked: list[Asked], count: int) -> list[int]:
    """Ends of ``count`` runs whose dearest is the cheapest possible: by halving what one may cost."""
    whole = Bill()
    for one in asked:
        whole.add(one)
    low, high = max(Bill().more(one) for one in asked), whole.total
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_filled(asked, count, middle)) <= count else (middle + 1, high)
    return _filled(asked, count, high)


def _filled(asked: list[Asked], count: int, most: int) -> list[int]:
    """Ends of runs filled one after another up to ``most`` each, none so long that fewer than ``count`` come of it."""
    ends: list[int] = []
    bill, start = Bill(), 0
    for at, one in enumerate(asked):
        needed = len(asked) - at <= count - len(ends) - 1
        if at > start and (needed or bill.more(one) > most):
            ends.append(at)
            bill, start = Bill(), at
        bill.add(one)
    return [*ends, len(asked)]
