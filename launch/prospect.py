"""L8. What a planned run looks like on some devices: its time, how well they are used, its price. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ddad_jax.engine.cost import planning
from ddad_jax.engine.cost.costs import MeasuredCosts, Networks, costs_at_rate
from ddad_jax.engine.cost.planning import PictureCounts, shards, works
from ddad_jax.engine.cost.work import ON_HOST, Costs, Work, is_estimate, seconds, spent
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.point import Plan
from launch import accelerators
from launch.accelerators import ASSUMED_SHARE


class Prospect(NamedTuple):
    """What is asked for and what is known of it. data: its name. devices: how many. found: what a call takes; None
    where no source was named. on_host: of scoring. around: seconds of the rest on the host. asked: names of
    accelerators. price: an hour of a device, 0 for none; memory_gib: of a device, 0 for not asked."""

    c: DDADSettings
    program: str
    data: str
    have: PictureCounts
    todo: Plan
    stages: Sequence[str]
    devices: int
    known: Networks
    found: MeasuredCosts | None
    on_host: dict[str, Any]
    around: float
    asked: Sequence[str]
    price: float
    memory_gib: float

    @property
    def chunk(self) -> int:
        """Pairs of a chunk over all devices of one run."""
        return -(-self.c.sample.batch_size // self.devices) * self.devices


class RunEstimate(NamedTuple):
    """A way to run all of it. seconds: from start to report. of: each stage's work and seconds. paid: device-seconds,
    and busy: the share of them that devices are at work. estimate: whether it rests on one."""

    name: str
    seconds: float
    of: list[tuple[Work, float]]
    paid: float
    busy: float
    estimate: bool

    @property
    def device_hours(self) -> float:
        return self.paid / 3600


def estimate_one_device(p: Prospect, costs: Costs) -> RunEstimate:
    return estimate_all_devices(p, costs, 1)


def estimate_all_devices(p: Prospect, costs: Costs, devices: int) -> RunEstimate:
    """One run over all devices: training and reconstruction are cut over them, the rest is done by the first."""
    todo = works(p.c, p.have, p.todo, p.stages, devices)
    of = [(work, seconds(work, costs)) for work in [*todo, Work("start, data, report", fixed=p.around)]]
    whole = sum(s for _, s in of)
    at_work, paid = sum(_on_devices(work, costs) for work, _ in of), whole * devices
    name = "one run" if devices > 1 else "one device"
    return RunEstimate(name, whole, of, paid, at_work / paid, any(_unsure(w, costs, whole) for w, _ in of))


def estimate_shards(p: Prospect, costs: Costs, devices: int) -> RunEstimate:
    """Models first, on one device; then a run for each part of the grid, and the report once all have ended."""
    *first, _ = works(p.c, p.have, p.todo, p.stages)
    parts = [planning.sweep(p.c, p.have, part) for part in shards(p.c, p.have, p.todo, devices)]
    longest = max(parts, key=lambda work: seconds(work, costs))
    of = [(w, seconds(w, costs)) for w in [*first, longest, Work("start, data, report", fixed=2 * p.around)]]
    whole = sum(s for _, s in of)
    # The models are made before the other devices are paid for, and each of these is until its own shard ends.
    paid = sum(s for w, s in of if w is not longest) + sum(seconds(part, costs) + p.around for part in parts[1:])
    paid += seconds(parts[0], costs)
    at_work = sum(_on_devices(work, costs) for work in [*first, *parts])
    estimate = any(_unsure(w, costs, whole) for w, _ in of)
    return RunEstimate(f"{len(parts)} shards", whole, of, paid, at_work / paid, estimate)


def _on_devices(work: Work, costs: Costs) -> float:
    """Device-seconds."""
    on_host = sum(s for cost, s in spent(work, costs).items() if cost in ON_HOST)
    return work.cut * (seconds(work, costs) - work.fixed - on_host)


def _unsure(work: Work, costs: Costs, whole: float) -> bool:
    return is_estimate(work, costs) and seconds(work, costs) > 0.1 * whole


def rate_on(p: Prospect, name: str) -> tuple[float, str]:
    """(multiply-adds a second on an accelerator, why): its published peak times the share of it that was reached on a
    measured accelerator, or the assumed one."""
    peak = accelerators.named(name).rate(p.c.model.dtype)
    measured_on = p.found and accelerators.of_device(p.found.device)
    if measured_on and p.found:
        share = p.known.unet / p.found.costs.unet / accelerators.TABLE[measured_on].rate(p.c.model.dtype)
        return share * peak, f"{100 * share:.0f} % of the published peak, as reached on {measured_on}"
    return ASSUMED_SHARE * peak, f"{100 * ASSUMED_SHARE:.0f} % of the published peak, assumed"


def costs_on(p: Prospect, name: str) -> Costs:
    """Of an accelerator, estimated from what was measured by the ratio of rates, or from multiply-adds alone."""
    rate, _ = rate_on(p, name)
    if p.found:
        return p.found.costs.scaled(p.known.unet / p.found.costs.unet / rate)
    return costs_at_rate(p.known, rate)._replace(**p.on_host)


def courses(p: Prospect, costs: Costs) -> list[RunEstimate]:
    if p.devices == 1:
        return [estimate_one_device(p, costs)]
    estimates = [estimate_one_device(p, costs), estimate_all_devices(p, costs, p.devices)]
    return [*estimates, estimate_shards(p, costs, p.devices)] if "sweep" in p.stages else estimates


def plan_figures(p: Prospect) -> dict[str, Any]:
    """Everything counted and estimated, for a file."""
    memory = (p.found.memory if p.found else None) or p.known.memory

    def said(course: RunEstimate) -> dict[str, Any]:
        stages = {work.name: {**work._asdict(), "seconds": s} for work, s in course.of}
        values = {name: getattr(course, name) for name in ("seconds", "device_hours", "busy", "estimate")}
        return {**values, "stages": stages}

    return {
        "program": p.program,
        "pictures": p.have._asdict(),
        "reconstruction_points": len(p.todo.costly),
        "score_points": len(p.todo.cheap),
        "rows": len(p.todo.points),
        "reconstructions": len(p.todo.costly) * p.have.reconstructed,
        "work": [work._asdict() for work in works(p.c, p.have, p.todo, p.stages)],
        "device": p.found.device if p.found else None,
        "source": p.found.source if p.found else None,
        "costs": p.found.costs._asdict() if p.found else None,
        "courses": {course.name: said(course) for course in courses(p, p.found.costs)} if p.found else {},
        "estimated": {name: said(estimate_all_devices(p, costs_on(p, name), p.devices)) for name in p.asked},
        "memory": {**memory._asdict(), "chunk": p.chunk, "bytes": memory.of(p.c.sample.batch_size)},
    }
