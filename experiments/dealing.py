"""Which points of a grid a shard computes: runs of neighbours in the plan's order, about equally many network calls."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ddad_jax.first_pass import first_pass
from ddad_jax.points import ReconPoint
from experiments.teacher import teacher_of


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
