"""Optimised time grids of a trained model: found once on held-out normal pictures, kept in the workdir's grids.json."""

import functools
import itertools
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.checkpoint import fingerprint
from ddad_jax.data import to_float
from ddad_jax.data.batches import image_seed
from ddad_jax.data.json_file import parsed
from ddad_jax.data.split import spread
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.networks import alpha_bar, build_unet, eps_fn
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.store.tables import plain, write_text
from ddad_jax.errors import InputError
from ddad_jax.grid_teacher import StepCosts, distances, step_costs, teach
from ddad_jax.optimised_grid import grid_of, search
from ddad_jax.points import OPTIMISED, GridKey, ReconPoint, grid_key
from ddad_jax.sampler import noise_of
from ddad_jax.solvers import SOLVERS
from ddad_jax.sweep import pair_keys
from ddad_jax.timesteps import TimeGrid, trailing
from ddad_jax.types import Array

log = logging.getLogger(__name__)

TRIALS = 8
"""Places tried for a time in one compiled call."""


def optimised_grids(
    c: DDADSettings, workdir: Path, data: Data, params: Any, points: Sequence[ReconPoint], *, find: bool = True
) -> dict[GridKey, TimeGrid]:
    """The grids that those of ``points`` with grid = "optimised" visit, finding and saving the ones that are missing.

    A saved grid is used where everything it depends on is as it was: T', steps, solver, the parameters, and of the
    config w, start, blend and clip of ``sample``, the seed and the section ``grid``. Others stay in the file.

    Raises:
      InputError: grids.json is of another schedule, or is not what this function writes; the teacher diverges; a grid
        is missing and shall not be found here (``find``).
    """
    wanted = list(dict.fromkeys(grid_key(p) for p in points if p.grid == OPTIMISED))
    if not wanted:
        return {}
    path = workdir / "grids.json"
    entries = load_entries(path)
    found_with = {
        **{name: c.sample[name] for name in ("w", "start_noise", "fade", "blend_max", "clip")},
        **c.grid.to_dict(),
        "seed": c.seed,
        "parameters": fingerprint(params),
    }

    def saved(key: GridKey) -> TimeGrid | None:
        wanted = {**key._asdict(), **found_with}
        return next((grid_of(e["times"]) for e in entries if wanted.items() <= e.items()), None)

    missing = sorted(key for key in wanted if saved(key) is None)
    if missing and not find:
        key = missing[0]
        raise InputError(f"{path}: holds no grid for T' = {key.t_prime}, {key.steps} steps of {key.solver}")
    programs = _programs(c, data, params) if missing else None
    for t_prime, keys in itertools.groupby(missing, key=lambda key: key.t_prime):
        assert programs
        started = time.perf_counter()
        fine = trailing(t_prime, min(c.grid.teacher_steps, t_prime))
        x0, costs = programs.teach(fine)
        for key in keys:
            try:
                found = search(
                    costs, fine.t, programs.measure(x0, key.solver), key.steps, rounds=c.grid.rounds, trials=TRIALS
                )
            except InputError as error:
                raise InputError(
                    f"--config.sample.w={c.sample.w}, optimised grid from T' = {t_prime}: {error}"
                ) from None
            seconds, started = time.perf_counter() - started, time.perf_counter()
            times, distance = found.times.tolist(), found.distance
            others = ", ".join(f"{name} {d:.4g}" for name, d in distance.items() if name != "optimised")
            log.info(
                "optimised grid, %d steps of %s from T' = %d: %s, distance to the teacher %.4g (%s), %.0f s",
                key.steps, key.solver, t_prime, "-".join(map(str, times)), distance["optimised"], others, seconds,
            )  # fmt: skip
            entries.append({**key._asdict(), **found_with, "times": times, "distance": distance, "seconds": seconds})
            write_text(path, json.dumps(plain({"alpha_bar": _schedule(), "grids": entries}), indent=1))
    return {key: grid for key in wanted if (grid := saved(key))}


def load_entries(path: Path) -> list[dict[str, Any]]:
    """What grids.json holds, each entry checked; nothing where there is no file.

    Raises:
      InputError: it is of another schedule, no JSON of ours, or has times that its T' and steps do not allow.
    """
    if not path.exists():
        return []
    try:
        saved = parsed(path.read_bytes(), constants=True)
        schedule, entries = str(saved["alpha_bar"]), list(saved["grids"])
        keys = [GridKey(*(entry[name] for name in GridKey._fields)) for entry in entries]
        times = [entry["times"] for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); expected the grids that a run saved. Delete it "
            "and they are found again"
        ) from None
    if schedule != _schedule():
        raise InputError(
            f"{path}: a grid saved for another schedule (alpha_bar {schedule}, here {_schedule()}): its times mean "
            "other noise. Delete it and the grids are found again"
        )
    for key, visited in zip(keys, times, strict=True):
        try:
            good = isinstance(visited, list) and len(visited) == key.steps and visited[0] == key.t_prime
            grid_of(visited if good else [])
        except (InputError, IndexError):
            raise InputError(
                f"{path}: times {visited!r}: expected {key.steps} whole numbers that fall from T' = {key.t_prime}, "
                "none below 0. Delete it and the grids are found again"
            ) from None
    return entries


class _Programs(NamedTuple):
    """teach: fine grid -> (x0 of the teacher, costs of its steps). measure: (x0, solver) -> times [n, K] -> their
    distances [n]."""

    teach: Callable[[TimeGrid], tuple[Array, StepCosts]]
    measure: Callable[[Array, str], Callable[[np.ndarray], Array]]


def _programs(c: DDADSettings, data: Data, params: Any) -> _Programs:
    """Teacher and K-step runs of the pictures grids are found on: one compilation a length of the teacher's grid, and
    one a number of steps and solver. A picture's noise is what a sweep with the config's seed draws for it."""
    unet, table, s = build_unet(c.model, c.data.size), alpha_bar(), c.sample
    images = data.validation.images[spread(len(data.validation.labels), c.grid.images)]
    keys = pair_keys(
        jnp.full(len(images), c.seed, jnp.uint32), jnp.asarray([image_seed(image) for image in images], jnp.uint32)
    )
    weights, y = jax.tree.map(jnp.asarray, params), to_float(jnp.asarray(images))
    how = {"w": s.w, "start_noise": s.start_noise, "fade": s.fade, "blend_max": s.blend_max or math.inf}

    @jax.jit
    def fine_run(weights: Any, y: Array, keys: Array, grid: TimeGrid, how: dict[str, Any]) -> tuple[Array, StepCosts]:
        run = teach(
            eps_fn(unet, weights), y, grid, alpha_bar=table, noise_fn=noise_of(keys, y.shape[1:]),
            solver=SOLVERS[c.grid.teacher_solver], **how,
        )  # fmt: skip
        return run.x0, step_costs(run, alpha_bar=table)

    @functools.partial(jax.jit, static_argnames="solver")
    def of_times(
        weights: Any, y: Array, keys: Array, times: Array, x0: Array, solver: str, how: dict[str, Any]
    ) -> Array:
        noise_fn = noise_of(keys, y.shape[1:])
        network, rule = eps_fn(unet, weights), SOLVERS[solver]
        return distances(network, y, times, x0, alpha_bar=table, noise_fn=noise_fn, solver=rule, clip=s.clip, **how)

    return _Programs(
        lambda fine: fine_run(weights, y, keys, fine, how),
        lambda x0, solver: lambda times: of_times(weights, y, keys, jnp.asarray(times), x0, solver, how),
    )


def _schedule() -> str:
    return fingerprint(alpha_bar())
