"""L8. A plan as text: tables of what is done and how long it takes, a mark at every estimate, what decides the time."""

from typing import Any

from ddad_jax.engine.cost import planning
from ddad_jax.engine.cost.work import ON_HOST, Costs, Work, is_estimate, spent
from ddad_jax.engine.store.tables import format_table
from launch import accelerators
from launch.prospect import Prospect, RunEstimate, costs_on, courses, estimate_all_devices, estimate_one_device, rate_on

MARK = "~"
KINDS = {
    "unet": "U-Net calls",
    "shallow": "U-Net calls with deep layers reused",
    "beside": "features and distances",
    "feature": "features",
    "update": "updates of the U-Net",
    "feature_update": "updates of the feature network",
    "program": "compilation",
    "row": "metrics",
    "side": "blurring maps",
}


def plan_report(p: Prospect) -> str:
    return "\n\n".join([_asked(p), _stages(p), *_times(p), _accelerators(p), _memory(p), *_why(p)])


def duration(seconds: float, estimate: bool = False) -> str:
    """Such as "42 s", "5.6 min", "2.1 h", with the mark before an estimate."""
    unit, name = next(((u, n) for u, n in ((3600, "h"), (60, "min")) if seconds >= 1.5 * u), (1, "s"))
    value = seconds / unit
    return f"{MARK if estimate else ''}{value:.{0 if value >= 99.5 else 1 if value >= 0.995 else 2}f} {name}"


def _asked(p: Prospect) -> str:
    have, todo = p.have, p.todo
    lines = [f"{p.program}, {p.data}: {have.fit} pictures to train on, {have.test} to test"]
    if "sweep" in p.stages:
        n, of_tiles = have.reconstructed, f", {have.tiles} tiles of each" if have.tiles > 1 else ""
        synthetic = f", {have.synthetic} with or beside synthetic defects" if have.synthetic else ""
        share = planning.useful(p.c, have, todo, p.devices)
        lines += [
            f"at every point: {n} ({have.test} to test, {have.calibration} to calibrate{synthetic}{of_tiles})",
            f"{len(todo.costly)} reconstruction points x {len(todo.cheap)} score points = "
            f"{len(todo.costly) * len(todo.cheap)} rows",
            f"{len(todo.costly)} points x {n} = {len(todo.costly) * n} reconstructions, {p.chunk} at a time "
            f"({100 * share:.1f} % of what is computed, the rest fills up last chunks)",
        ]
    return "\n".join(lines)


def _stages(p: Prospect) -> str:
    """Counts of each stage, and its time on one device where that is known."""
    times: dict[str, str] = {}
    if p.found:
        times = {
            w.name: duration(s, is_estimate(w, p.found.costs)) for w, s in estimate_one_device(p, p.found.costs).of
        }
    rows: list[dict[str, Any]] = []
    for work in [*planning.works(p.c, p.have, p.todo, p.stages), Work("start, data, report")]:
        counts = {
            "U-Net calls": work.unet, "deep reused": work.shallow, "feature calls": work.features,
            "in updates": work.update + work.feature_update, "programs": work.programs, "rows": work.rows,
        }  # fmt: skip
        limit = f"at most about {work.limit / 60:g} min" if work.limit else ""
        rows.append({"stage": work.name, **{k: v or None for k, v in counts.items()}, "limit": limit})
        rows[-1]["time"] = times.get(work.name)
    shown = [name for name in rows[0] if any(row[name] for row in rows)]
    return format_table(rows, shown) + "\n(calls and updates of single pictures; a run from nothing)"


def _times(p: Prospect) -> list[str]:
    """What one point takes, and all of it on the devices."""
    if not p.found:
        return [f"No time of a point is known, so all times below are estimates ({MARK}): --measure times one here."]
    costs = p.found.costs

    def ms(name: str) -> str:
        return f"{MARK if name in costs.estimated else ''}{1e3 * getattr(costs, name):.3g} ms"

    lines = [f"On {p.found.device}, {p.found.source}:"]
    lines.append(f"a U-Net call {ms('unet')}; features of both pictures and distances {ms('beside')}, for one picture")
    if p.on_host:
        lines.append(
            f"on this host, a row {ms('row')} of metrics, and {ms('side')} for each of a point's layers and blur"
        )
    rows = []
    for course in courses(p, costs):
        row = {"how": course.name, "time": duration(course.seconds, course.estimate), **_hours(course)}
        rows.append({**row, "devices at work": f"{100 * course.busy:.0f} %", **_price(course, p)})
    return ["\n".join(lines), format_table(rows, list(rows[0]))]


def _hours(course: RunEstimate) -> dict[str, str]:
    return {"device-hours": f"{MARK if course.estimate else ''}{course.device_hours:.3g}"}


def _price(course: RunEstimate, p: Prospect) -> dict[str, str]:
    return {"price": f"{MARK}{p.price * course.device_hours:.2f}"} if p.price else {}


def _accelerators(p: Prospect) -> str:
    """Every one asked for, all of it estimated."""
    rows, priced = [], len(p.asked) == 1
    for name in p.asked:
        entry, costs = accelerators.named(name), costs_on(p, name)
        course = estimate_all_devices(p, costs, p.devices)._replace(estimate=True)
        gib = p.memory_gib or entry.memory * 1e9 / 2**30
        row = {"accelerator": f"{p.devices} x {name}", "time": duration(course.seconds, True), **_hours(course)}
        row |= {"pairs that fit": f"{MARK}{p.known.memory.fits(gib)} in {gib:.0f} GiB"}
        rows.append({**row, **(_price(course, p) if priced else {}), "peak": entry.source})
    why = rate_on(p, p.asked[0])[1]
    head = f"Estimates ({MARK}), nothing here was measured: the networks at {why}; scoring as fast as on this host."
    return f"{head}\n{format_table(rows, list(rows[0]))}"


def _memory(p: Prospect) -> str:
    memory = (p.found.memory if p.found else None) or p.known.memory
    mark, each = MARK if memory.counted else "", -(-p.c.sample.batch_size // p.devices)
    sentences = [
        f"Memory of a device, sampling: {mark}{memory.of(each) / 2**30:.2f} GiB for {each} pairs "
        f"({memory.fixed / 2**20:.0f} MiB of parameters, {mark}{memory.pair / 2**20:.0f} MiB a pair; {memory.how})."
    ]
    if p.memory_gib:
        sentences.append(
            f"In {p.memory_gib:g} GiB fit {mark}{memory.fits(p.memory_gib)} pairs (--config.sample.batch_size)."
        )
    return " ".join([*sentences, "A training step is not in this."])


def _why(p: Prospect) -> list[str]:
    """What decides the time, and what another setting would cost."""
    costs: Costs = p.found.costs if p.found else costs_on(p, p.asked[0])
    course = estimate_all_devices(p, costs, p.devices)
    work, longest = max(course.of, key=lambda pair: pair[1])
    by_cost = spent(work, costs)
    where = "" if p.found else f" on {p.asked[0]}"
    sentences = [f"Most of the time{where} goes into {work.name} ({100 * longest / course.seconds:.0f} %"]
    if by_cost:
        part = max(by_cost, key=lambda name: by_cost[name])
        sentences[0] += f", {100 * by_cost[part] / sum(by_cost.values()):.0f} % of that {KINDS[part]}"
    sentences[0] += ")."
    if "sweep" in p.stages and p.todo.costly:
        sweep = planning.sweep(p.c, p.have, p.todo, p.devices)
        device = sum(s for name, s in spent(sweep, costs).items() if name not in ON_HOST)
        more = duration(device / len(p.todo.costly), True)
        row = duration(len(p.todo.costly) * costs.row, True)
        sentences.append(f"Another reconstruction point takes {more} more, another value of v {row} for all points.")
        if p.devices > 1 and p.c.sample.batch_size < 8 * p.devices:
            few = f"One run cuts {p.c.sample.batch_size} pairs over {p.devices} devices"
            sentences.append(f"{few}: raise --config.sample.batch_size.")
    return [" ".join(sentences)]
