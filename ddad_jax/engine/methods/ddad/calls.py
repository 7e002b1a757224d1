"""What points of DDAD cost: calls of the network, some of which several points share."""

from collections.abc import Sequence
from typing import NamedTuple

from ddad_jax.engine.methods.ddad.evidence import teacher_of, teachers_of
from ddad_jax.first_pass import first_pass
from ddad_jax.points import ReconPoint


class Calls(NamedTuple):
    """points -> calls of the network that a shard of them makes: those of the points, and once each first pass and each
    fine teacher that any of them asks for.

    images: that every point reconstructs; teacher: its steps, 0 for none; compared: images that it reconstructs.
    """

    images: int
    teacher: int = 0
    compared: int = 0

    def __call__(self, points: Sequence[ReconPoint]) -> int:
        return sum(self.added(points))

    def added(self, points: Sequence[ReconPoint]) -> list[int]:
        """Calls that each point adds to those of the points before it."""
        made: set[tuple[str, ReconPoint]] = set()
        calls = []
        for point in points:
            # A fine teacher may look like a first pass: whose it is tells them apart.
            shared = {("first", first_pass(point)): self.images} if point.rise else {}
            if self.teacher and point.reconstructs:
                for fine in teachers_of(point, self.teacher):
                    shared["fine", fine] = self.compared * fine.calls
            new = sum(calls for asked, calls in shared.items() if asked not in made)
            calls.append(self.images * (point.calls - (point.rise > 0)) + new)
            made |= shared.keys()
        return calls

    def orders(self, points: Sequence[ReconPoint]) -> list[list[ReconPoint]]:
        """As of ``method.Cost``; where fine teachers cost more than compiled programs, points that share theirs."""
        by_teacher = (
            [sorted(points, key=lambda point: teacher_of(point, self.teacher))] if self.teacher else []
        )  # stable
        return [list(points), *by_teacher]
