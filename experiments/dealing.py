"""Which points of a grid a shard computes: runs of neighbours in the plan's order, about equally many network calls."""

from collections.abc import Callable, Sequence

from ddad_jax.errors import InputError
from ddad_jax.first_pass import first_pass
from ddad_jax.points import ReconPoint
from experiments.teacher import teacher_of

Cost = Callable[[Sequence[ReconPoint]], int]


def network_calls(*, images: int, teacher: int = 0, compared: int = 0) -> Cost:
    """points -> calls of the network that a shard of them makes: those of the points, and once each first pass and each
    fine teacher that any of them asks for.

    Args:
      images: that every point reconstructs; teacher: its steps, 0 for none; compared: images that it reconstructs.
    """

    def cost(points: Sequence[ReconPoint]) -> int:
        own = sum(point.calls - (point.rise > 0) for point in points)
        firsts = {first_pass(point) for point in points if point.rise}
        fine = {teacher_of(point, teacher) for point in points} if teacher else set()
        return images * (own + len(firsts)) + compared * sum(point.calls for point in fine)

    return cost


def dealt(points: Sequence[ReconPoint], count: int, cost: Cost, *, teacher: int = 0) -> list[list[ReconPoint]]:
    """All points in ``count`` shards, none empty; a function of its arguments alone, so that shards need not talk.

    A shard is a run of neighbours, so it has few compiled programs; the dearest shard is as cheap as it can be with
    shards of that kind. Neighbours are those of ``points``, or where fine teachers cost more than that, points that
    share theirs.

    Args:
      points: in the order of the plan, those of one compilation together.
      cost: rises with every point that is added; in whole numbers.
      teacher: steps of the fine teacher, 0 for none.

    Raises:
      InputError: more shards than points.
    """
    if not 1 <= count <= len(points):
        raise InputError(
            f"{count} shards for {len(points)} points to reconstruct: expected at most {len(points)}, a point for each"
        )
    orders = [list(points)]
    if teacher:
        orders.append(sorted(points, key=lambda point: teacher_of(point, teacher)))  # stable
    found = [_evened(_runs(order, count, cost), cost) for order in orders]
    return min(found, key=lambda shards: max(map(cost, shards)))


def _runs(points: list[ReconPoint], count: int, cost: Cost) -> list[list[ReconPoint]]:
    """``points`` cut into ``count`` runs whose dearest is the cheapest possible: by halving what one may cost."""
    low, high = max(cost([point]) for point in points), cost(points)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_filled(points, count, cost, middle)) <= count else (middle + 1, high)
    return _filled(points, count, cost, high)


def _filled(points: list[ReconPoint], count: int, cost: Cost, most: int) -> list[list[ReconPoint]]:
    """Runs filled one after another up to ``most`` each, none so long that fewer than ``count`` come of it."""
    runs: list[list[ReconPoint]] = [[]]
    for at, point in enumerate(points):
        needed = len(points) - at <= count - len(runs)
        if runs[-1] and (needed or cost([*runs[-1], point]) > most):
            runs.append([])
        runs[-1].append(point)
    return runs


def _evened(runs: list[list[ReconPoint]], cost: Cost) -> list[list[ReconPoint]]:
    """Points moved over a border while the dearer of its two sides becomes cheaper: the last runs come out short."""
    moved = True
    while moved:
        moved = False
        for left, right in zip(runs, runs[1:], strict=False):
            dearer = max(cost(left), cost(right))
            if len(left) > 1 and max(cost(left[:-1]), cost([left[-1], *right])) < dearer:
                right.insert(0, left.pop())
                moved = True
            elif len(right) > 1 and max(cost([*left, right[0]]), cost(right[1:])) < dearer:
                left.append(right.pop(0))
                moved = True
    return runs
