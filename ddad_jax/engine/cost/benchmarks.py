"""How long a detector, a network and a sweep take here, with random weights."""

import ast
import functools
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.data import DataSet
from ddad_jax.data.batches import image_seed
from ddad_jax.data.cans import cans
from ddad_jax.engine.cost.macs import counted
from ddad_jax.engine.cost.timing import matmul_peak, peak_memory, program_memory, ratio_of, time_in_turns, timed
from ddad_jax.engine.cost.untrained import parameters, random_params, random_pictures, random_program, untrained
from ddad_jax.engine.data.splits import split_data
from ddad_jax.engine.methods.ddad.fitted import FittedDDAD
from ddad_jax.engine.methods.ddad.networks import build_unet
from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.engine.methods.ddad.sections import DDADSettings, DDADSweepSettings, ModelSettings
from ddad_jax.engine.methods.ddad.settings import adaptation_grid
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.settings.need import value_at
from ddad_jax.engine.settings.section import Section, changed
from ddad_jax.engine.sweep import rows as sweep_rows
from ddad_jax.errors import InputError
from ddad_jax.pair_program import PairProgram, pair_input, way_of
from ddad_jax.points import ReconPoint, time_grid
from ddad_jax.sweep import compiled_alike, sweep_distances


def against(c: DDADSettings, settings: str) -> DDADSettings:
    """``c`` with "name=value name=value" applied, checked.

    Raises:
      InputError: no such setting, or a value it cannot take.
    """
    for part in settings.split():
        name, equals, value = part.partition("=")
        there = value_at(c, name)
        if not equals or there is None or isinstance(there, Section):
            raise InputError(f"--against={part}: expected name=value with the name of a setting")
        try:
            c = changed(c, {name: value if isinstance(there, str) else ast.literal_eval(value)})
        except (ValueError, SyntaxError) as error:
            raise InputError(f"--against={part}: {there!r} cannot become {value!r}") from error
        if type(value_at(c, name)) is not type(there):
            raise InputError(f"--against={part}: {there!r} cannot become {value!r}")
    ddad_plan(check_settings(c), sweep=False)
    return c


def time_detector(
    c: DDADSettings, other: DDADSettings | None, batch: int, repeats: int, workdir: Path = Path()
) -> list[dict[str, Any]]:
    """Milliseconds an image of the whole detector; with ``other``, both in turns and their ratio."""
    made = [untrained(settings, batch, workdir) for settings in ([c, other] if other else [c])]
    seconds = time_in_turns([one.detect for one in made], repeats)
    memory = peak_memory()  # before there are the large matrices of the peak
    peaks = {dtype: matmul_peak(jnp.dtype(dtype)) for dtype in sorted({*made[0].macs, *made[-1].macs})}
    rows = []
    for one, own in zip(made, seconds, strict=True):
        spent = timed(own)
        figures = {"ms_per_image": 1e3 * spent.median / batch, "p95_ms": 1e3 * spent.p95 / batch}
        figures |= {"images_per_s": batch / spent.median, "share_of_peak": one.at_peak(peaks) / spent.median}
        rows.append({**one.known, **figures, **memory})
    if other:
        rows[1]["times_faster"] = ratio_of(*seconds).median
    return rows


def time_unet(m: ModelSettings, size: int, batch: int, repeats: int) -> dict[str, Any]:
    """One call of the noise predictor: milliseconds, multiply-adds, and their rate against a matrix product's."""
    unet = build_unet(m, size)
    params = random_params(unet)
    x, t = random_pictures(batch, size), jnp.full(batch, 100)
    started = time.perf_counter()
    run = jax.jit(unet.apply).lower({"params": params}, x, t).compile()
    compile_s = time.perf_counter() - started
    (seconds,) = time_in_turns([lambda: run({"params": params}, x, t)], repeats)
    spent, macs = timed(seconds), sum(counted(unet.apply, {"params": params}, x, t).values()) / batch
    memory, peak = program_memory(run) | peak_memory(), matmul_peak(jnp.dtype(m.dtype))
    return {
        "what": f"U-Net, {size} px, base {m.base}",
        "batch": batch,
        "dtype": m.dtype,
        "ms_per_image": 1e3 * spent.median / batch,
        "p95_ms": 1e3 * spent.p95 / batch,
        "compile_s": compile_s,
        "parameters": parameters(params),
        "gmac_per_image": macs / 1e9,
        "gmac_per_s": macs * batch / spent.median / 1e9,
        "matmul_peak_gmac_per_s": peak / 1e9,
        "share_of_peak": macs * batch / spent.median / peak,
        **memory,
    }


def time_sweep(c: DDADSettings, dataset: DataSet | None = None) -> dict[str, Any]:
    """Seconds of w(5) x T'(3) x steps(2) x eta(2) x v(5) = 300 points, against their 60 reconstructions alone, with
    the networks, sizes, start and score of ``c``, on rendered cans where no other pictures are given.

    idle: the share of the sweep's time in which the device has nothing to do, from the time of its chunks alone."""
    sweep = DDADSweepSettings(
        w=(0.0, 1.0, 2.0, 3.0, 5.0), t_prime=(100, 150, 250), steps=(2, 5), eta=(0.0, 1.0), seed=c.sweep.seed[:1],
        v=(0.0, 0.5, 1.0, 2.0, 4.0),
    )  # fmt: skip
    # The warm-up knows of no first pass, and there is no model that times could be found for.
    sample = replace(
        c.sample, w=3.0, t_prime=250, steps=5, eta=1.0, solver="ddim", model="teacher", rise=0.0, reuse=1,
        grid=adaptation_grid(c.sample.grid),
    )  # fmt: skip
    c = replace(c, select="", teacher=0, sweep=sweep, sample=sample, score=replace(c.score, v=1.0))
    data = split_data(c, dataset or cans(c.data.size, n_train=60, n_test_good=20, n_defect=20))
    params = random_params(build_unet(c.model, c.data.size))
    todo = ddad_plan(c, sweep=True)
    images = data.shown
    program = random_program(c, params)
    # One point of each compilation, so that the sweep itself finds everything compiled.
    first = list({(p.solver, p.steps): p for p in todo.costly}.values())
    for _ in sweep_distances(program, images, first, chunk=c.sample.batch_size, timer=time.perf_counter):
        pass
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        fitted = FittedDDAD(c, Path(folder), params, program.weights[1], 0, program)
        rows = sweep_rows.compute_rows(c, Path(folder), data, fitted, todo)
        whole = time.perf_counter() - started
    # Each reconstruction's own time, measured in that same pass: a machine that is busy for a while slows both.
    spent = sum({row_point(row): row["ms_per_image"] for row in rows}.values()) * len(images) / 1e3
    busy = device_seconds(program, images, todo.costly, c.sample.batch_size)
    return {
        "what": f"sweep, {c.data.size} px, {len(images)} images",
        "points": len(rows),
        "reconstructions": len(todo.costly),
        "compilations": program.compilations,
        "ratio": whole / spent,
        "reconstructions_s": spent,
        "sweep_s": whole,
        "device_s": busy,
        "idle": max(1.0 - busy / whole, 0.0),
        "batch": c.sample.batch_size,
        "dtype": c.model.dtype,
        **peak_memory(),
    }


def device_seconds(
    program: PairProgram, images: np.ndarray, points: Sequence[ReconPoint], chunk: int, repeats: int = 3
) -> float:
    """Of the chunks that ``sweep_distances`` cuts these points and pictures into, were none waited for: as many times
    the median of one as there are; the features of the pictures, asked for once, are left out."""
    total, at = 0.0, np.arange(chunk) % len(images)
    some, features = images[at], program.features(images, batch=chunk)
    seeds = np.array([image_seed(image) for image in some], np.uint32)
    for alike in compiled_alike(points):
        point = alike[0]
        placed = program.place(pair_input([point] * chunk, [time_grid(point)] * chunk, some, seeds))
        placed = program.with_features(placed, features, at)
        run = program.compiled(placed, **way_of(point))
        (seconds,) = time_in_turns([functools.partial(run, placed)], repeats)
        total += -(-len(alike) * len(images) // chunk) * timed(seconds).median
    return total


def row_point(row: dict[str, Any]) -> tuple:
    """The reconstruction that a row is of."""
    return tuple(row[name] for name in ReconPoint._fields)
