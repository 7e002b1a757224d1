"""What one call takes: taken from the rows of a run, given, or of a rate; ``measuring`` times it here."""

import json
import os
import re
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.backbones import Backbone, feature_fn
from ddad_jax.engine.cost.macs import counted
from ddad_jax.engine.cost.memory import MemoryUse, live_bytes, tree_bytes
from ddad_jax.engine.cost.work import Costs
from ddad_jax.engine.methods.backbone import build_backbone
from ddad_jax.engine.methods.ddad.networks import build_unet, eps_fn, layered
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.store import kept
from ddad_jax.engine.store.tables import plain, read_jsonl
from ddad_jax.errors import InputError
from ddad_jax.image import resize
from ddad_jax.points import ReconPoint

UPDATE = 3.0
"""Of a call: forward, and back through inputs and parameters, each about as much."""
COMPILE_S = 30.0
"""Assumed of a program where none was compiled here."""
DEVICE_COSTS = ("unet", "shallow", "beside", "feature", "update", "feature_update")
SAME = ("data.size", "data.picture", "data.overlap", "model", "backbone", "sample.batch_size")
"""Settings that the time of a picture depends on, besides those of its point."""


class Networks(NamedTuple):
    """What is known of the networks of a config without running them, of one picture. unet, shallow, feature:
    multiply-adds of a call. memory: counted."""

    unet: float
    shallow: float
    feature: float
    memory: MemoryUse


class MeasuredCosts(NamedTuple):
    """costs, of one ``device``, as JAX calls its kind or as the user does; source: where they come from, in words.
    memory: by XLA, where a program was compiled."""

    costs: Costs
    device: str
    source: str
    memory: MemoryUse | None = None


def networks(c: DDADSettings) -> Networks:
    """Traced and counted; nothing is computed."""
    size, pairs = c.data.size, c.sample.batch_size
    unet, backbone = build_unet(c.model, size), build_backbone(c.backbone)
    images, side = jax.ShapeDtypeStruct((pairs, size, size, 3), jnp.float32), c.backbone.feature_size or size
    t = jax.ShapeDtypeStruct((pairs,), jnp.int32)
    params = jax.eval_shape(unet.init, jax.random.key(0), images, t)["params"]
    variables = shapes_of(backbone)

    def whole(params: Any, x: Any, t: Any) -> Any:
        return eps_fn(unet, params)(x, t)

    def shallow(params: Any, x: Any, t: Any, deep: Any) -> Any:
        return layered(unet, params, eps_fn(unet, params)).shallow(x, t, deep)

    def features(variables: Any, x: Any) -> Any:
        return feature_fn(backbone, variables)(resize(x, side))

    deep = jax.eval_shape(lambda p, x, t: layered(unet, p, eps_fn(unet, p)).whole(x, t)[1], params, images, t)
    macs = (
        counted(whole, params, images, t),
        counted(shallow, params, images, t, deep),
        counted(features, variables, images),
    )
    # Both networks run one after the other; beside them are the picture, what it is redrawn from, and a step's noise.
    held = max(live_bytes(whole, params, images, t), live_bytes(features, variables, images))
    pair = held / pairs + 4 * tree_bytes(images) / pairs
    how = "counted in the traced U-Net and feature network"
    memory = MemoryUse(tree_bytes((params, variables)), pair, how, counted=True)
    per_call, per_shallow, per_feature = (found.total() / pairs for found in macs)
    return Networks(per_call, per_shallow, per_feature, memory)


def shapes_of(backbone: Backbone) -> Any:
    """Of its variables."""
    least = jax.ShapeDtypeStruct((1, backbone.min_size, backbone.min_size, 3), jnp.float32)
    return jax.eval_shape(backbone.module.init, jax.random.key(0), least)


def costs_at_rate(known: Networks, rate: float) -> Costs:
    """Every multiply-add at ``rate`` a second: an estimate throughout."""
    unet, shallow, feature = (macs / rate for macs in known[:3])
    return Costs(
        unet, shallow, 2 * feature, feature, UPDATE * unet, UPDATE * feature, COMPILE_S,
        estimated=frozenset({*DEVICE_COSTS, "program"}),
    )  # fmt: skip


def of_point(known: Networks, calls: int, *, image: float | None, call: float | None = None) -> Costs:
    """From seconds of a picture at a point of so many calls, of one call of the U-Net, or both.

    What is not given is estimated at the rate, multiply-adds a second, of what is.

    Raises:
      InputError: the calls alone take longer than the picture.
    """
    if call is None:
        assert image is not None
        base = costs_at_rate(known, (calls * known.unet + 2 * known.feature) / image)
        return base._replace(estimated=base.estimated - {"beside"} | {"unet"})
    base = costs_at_rate(known, known.unet / call)
    if image is None:
        return base._replace(estimated=base.estimated - {"unet"})
    beside = image - calls * call
    if beside < 0:
        raise InputError(
            f"--ms_per_image={1e3 * image:g}: less than the {calls} U-Net calls of the config's point at --ms_per_call="
            f"{1e3 * call:g}; expected a picture's whole time, as column ms_per_image of results.csv has it"
        )
    feature = beside / 2
    known_now = base.estimated - {"unet", "beside"}
    return base._replace(beside=beside, feature=feature, feature_update=UPDATE * feature, estimated=known_now)


def device_kind() -> str:
    """Of the default device; CPUs by their number of cores, which is what tells them apart here."""
    device = jax.devices()[0]
    return f"cpu, {os.cpu_count()} cores" if device.platform == "cpu" else device.device_kind


def from_run(c: DDADSettings, workdir: Path, known: Networks, *, tiles: int, measured_on: str = "") -> MeasuredCosts:
    """From ms_per_image in the rows of a run, the median of its points; of points of several numbers of calls the line
    through them tells the calls from the rest.

    Args:
      tiles: of a picture.
      measured_on: part of the name of the run's device, where that is not the one at hand.

    Raises:
      InputError: no run, no rows that can be used, a run of other settings, on another device than was said.
    """
    mend = f"Expected --from_run={workdir} to be the workdir of a sweep"
    said = {name: kept.read_content(workdir / name, mend=mend)[0] for name in ("config.json", "environment.json")}
    here, there = json.loads(json.dumps(plain(c.to_dict()))), said["config.json"]
    other = [
        f"{name}: there {_at(there, name)}, here {_at(here, name)}"
        for name in SAME
        if _at(here, name) != _at(there, name)
    ]
    if other:
        raise InputError(
            f"--from_run={workdir}: a picture takes another time there ({'; '.join(other)}). Name a run with these "
            "settings, or --measure"
        )
    number, kind = _device(said["environment.json"], workdir)
    told = measured_on.lower() in kind.lower() if measured_on else kind == device_kind()
    if not told:
        asked = f"--measured_on={measured_on}" if measured_on else f"the device here, {device_kind()}"
        raise InputError(
            f"--from_run={workdir}: its rows were measured on {kind!r}, not on {asked}; to plan for that device say "
            f"--measured_on='{kind}'"
        )
    by_calls: dict[int, dict[tuple, float]] = {}
    for row in read_jsonl(workdir / "journal.jsonl"):
        plainly = row.get("model", "teacher") == "teacher" and row.get("reuse", 1) == 1 and not row.get("rise")
        if plainly and row.get("ms_per_image") and row.get("unet_calls"):
            point = tuple(row.get(name) for name in ReconPoint._fields)
            by_calls.setdefault(row["unet_calls"] // tiles, {})[point] = row["ms_per_image"] * number / tiles / 1e3
    if not by_calls:
        raise InputError(
            f"--from_run={workdir}: journal.jsonl holds no row of the noise predictor itself with a time "
            "(model = teacher, reuse = 1, rise = 0); name another run, or --measure"
        )
    medians = {calls: statistics.median(points.values()) for calls, points in sorted(by_calls.items())}
    points = sum(map(len, by_calls.values()))
    source = f"from ms_per_image of {points} point{'s' * (points > 1)} of {workdir}"
    if len(medians) > 1:
        call, beside = np.polyfit(list(medians), list(medians.values()), 1)
        if call > 0 and beside >= 0:
            costs = of_point(known, 1, image=float(call + beside), call=float(call))
            return MeasuredCosts(costs, kind, source)
    calls, image = next(iter(medians.items()))
    return MeasuredCosts(of_point(known, calls, image=image), kind, source)


def _device(environment: dict[str, Any], workdir: Path) -> tuple[int, str]:
    """How many, and their kind as ``device_kind`` writes it."""
    found = re.fullmatch(r"(\d+) x (.+) \((\w+)\)", str(environment.get("device")))
    if not found:
        raise InputError(
            f"--from_run={workdir}: environment.json names no device ({environment.get('device')!r}); --measure instead"
        )
    kind = f"cpu, {environment.get('cpu_count')} cores" if found[3] == "cpu" else found[2]
    # Several CPU devices of one process share its cores.
    return (1 if found[3] == "cpu" else int(found[1])), kind


def _at(settings: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings
