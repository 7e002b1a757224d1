"""What a stage does, what one call takes, and the time of the stage: counts times costs. Pure."""

import math
from typing import NamedTuple


class Work(NamedTuple):
    """What a stage does. Counts are of single pictures; what a chunk is filled up with counts, for it is computed.

    unet: calls of the noise predictor (a student's too), whole ones; shallow: with deep layers reused. pairs: pictures
    that end in distances. feature: calls of the feature network besides the two of a pair, below 0 where pairs of one
    picture share them. update, feature_update:
    pictures that a gradient is taken of. programs: compiled. rows, sides: points scored, and pairs of layers and blur
    prepared for them. limit: seconds after which the stage ends, 0 for none, looked at ``looks`` times. fixed: seconds.
    cut: over how many devices all of it is.
    """

    name: str
    unet: int = 0
    shallow: int = 0
    pairs: int = 0
    feature: int = 0
    update: int = 0
    feature_update: int = 0
    programs: int = 0
    rows: int = 0
    sides: int = 0
    limit: float = 0.0
    looks: int = 0
    fixed: float = 0.0
    cut: int = 1

    @property
    def features(self) -> int:
        return 2 * self.pairs + self.feature


class Costs(NamedTuple):
    """Seconds of one picture on one device: a whole call of the U-Net, one with deep layers reused, what a pair takes
    beside its calls (two passes of the feature network, distances), a pass of the feature network, an update of either
    network. program: seconds of a compilation. row, side: of scoring, on the host. estimated: names of those that were
    not measured."""

    unet: float
    shallow: float
    beside: float
    feature: float
    update: float
    feature_update: float
    program: float
    row: float = 0.0
    side: float = 0.0
    estimated: frozenset[str] = frozenset()

    def scaled(self, factor: float) -> "Costs":
        """On a device that takes ``factor`` times as long for a multiply-add; all of it an estimate."""
        device = ("unet", "shallow", "beside", "feature", "update", "feature_update")
        slower = {name: factor * getattr(self, name) for name in device}
        return self._replace(**slower, estimated=self.estimated | {*device, "program"})


USES = {
    "unet": "unet", "shallow": "shallow", "beside": "pairs", "feature": "feature", "update": "update",
    "feature_update": "feature_update", "program": "programs", "row": "rows", "side": "sides",
}  # fmt: skip
"""Which count of ``Work`` a cost is multiplied with."""
ON_HOST = ("program", "row", "side")


def spent(work: Work, costs: Costs) -> dict[str, float]:
    """Seconds by cost; what devices share is cut, a limit is not looked at."""
    return {
        cost: getattr(work, count) * getattr(costs, cost) / (1 if cost in ON_HOST else work.cut)
        for cost, count in USES.items()
        if getattr(work, count)
    }


def seconds(work: Work, costs: Costs) -> float:
    """Of the stage, limit included."""
    by_cost = spent(work, costs)
    busy = sum(s for cost, s in by_cost.items() if cost != "program")
    if work.limit and busy > work.limit and work.looks:
        part = busy / work.looks
        busy = min(busy, part * math.ceil(work.limit / part))
    return work.fixed + busy + by_cost.get("program", 0.0)


def is_estimate(work: Work, costs: Costs) -> bool:
    """Whether a cost that was not measured decides more than a tenth of the stage's time."""
    by_cost = spent(work, costs)
    unsure = sum(s for cost, s in by_cost.items() if cost in costs.estimated)
    whole = sum(by_cost.values()) + work.fixed
    return work.fixed > 0.1 * whole or unsure > 0.1 * whole
