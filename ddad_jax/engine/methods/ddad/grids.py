"""Optimised time grids of a trained model: found once on held-out normal pictures, kept in the workdir's grids.json."""

import contextlib
import functools
import itertools
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.checkpoint import params_fingerprint
from ddad_jax.data import to_float
from ddad_jax.data.batches import image_seed
from ddad_jax.data.split import images_fingerprint, spread
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.networks import alpha_bar, build_unet, drawn_noise, eps_fn
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.store import kept
from ddad_jax.errors import InputError
from ddad_jax.grid_teacher import StepCosts, reconstruction_distances, run_teacher, step_costs
from ddad_jax.optimised_grid import grid_of, optimise_grid
from ddad_jax.pair_program import pair_keys
from ddad_jax.points import OPTIMISED, GridKey, ReconPoint, grid_key
from ddad_jax.sampler import noise_of, reconstruct
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import CONTINUOUS, GRIDS, TimeGrid, trailing
from ddad_jax.types import Array

log = logging.getLogger(__name__)

INTERVAL = ("blend_low", "blend_high")
"""Of the times that the blend acts in."""

TRIALS = 8
"""Places tried for a time in one compiled call."""


def optimised_grids(
    c: DDADSettings, workdir: Path, data: Data, params: Any, points: Sequence[ReconPoint], *, find: bool = True
) -> dict[GridKey, TimeGrid]:
    """The grids that those of ``points`` with grid = "optimised" visit, finding and saving the ones that are missing.

    A saved grid is used where everything it depends on is as it was: T', steps, solver, the parameters, and of the
    config w, start, blend and clip of ``sample``, the seed, the section ``grid``, and the pictures where these choose
    apart from those that give thresholds. Others stay in the file.

    Raises:
      InputError: the teacher diverges; a grid is missing and shall not be found here (``find``).
    """
    wanted = list(dict.fromkeys(grid_key(p) for p in points if p.grid == OPTIMISED))
    if not wanted:
        return {}
    path = workdir / "grids.json"
    entries = load_entries(path)
    found_with = {
        **{name: c.sample[name] for name in ("w", "start_noise", "fade", "blend_max", "clip", *INTERVAL)},
        **c.grid.to_dict(),
        "seed": c.seed,
        "parameters": params_fingerprint(params),
        **({} if data.tuning is None else {"tuning": images_fingerprint(data.validation)[:16]}),
    }

    # Of grids from before there was an interval of the blend.
    usual = {name: ReconPoint._field_defaults[name] for name in INTERVAL}

    def saved(key: GridKey) -> TimeGrid | None:
        wanted = {**key._asdict(), **found_with}
        return next((grid_of(e["times"]) for e in entries if wanted.items() <= {**usual, **e}.items()), None)

    missing = sorted(key for key in wanted if saved(key) is None)
    if missing and not find:
        key = missing[0]
        raise InputError(f"{path}: holds no grid for T' = {key.t_prime}, {key.steps} steps of {key.solver}")
    programs = _programs(c, data, params) if missing else None
    for t_prime, keys in itertools.groupby(missing, key=lambda key: key.t_prime):
        assert programs
        started = time.perf_counter()
        candidates = trailing(t_prime, min(c.grid.teacher_steps, t_prime))
        x0, floor, costs = programs.teach(candidates)
        for key in keys:
            try:
                found = optimise_grid(
                    costs,
                    candidates.t,
                    programs.measure(x0, key.solver),
                    key.steps,
                    rounds=c.grid.rounds,
                    trials=TRIALS,
                )
            except InputError as error:
                raise InputError(
                    f"--config.sample.w={c.sample.w}, optimised grid from T' = {t_prime}: {error}"
                ) from None
            seconds, started = time.perf_counter() - started, time.perf_counter()
            times, distance = found.times.tolist(), found.distance
            others = ", ".join(f"{name} {d:.4g}" for name, d in distance.items() if name != "optimised")
            log.info(
                "optimised grid, %d steps of %s from T' = %d: %s, distance to the teacher %.4g (%s; of the teacher to "
                "half its steps %.2g), %.0f s",
                key.steps, key.solver, t_prime, "-".join(map(str, times)), distance["optimised"], others, floor,
                seconds,
            )  # fmt: skip
            entries.append(
                {
                    **key._asdict(),
                    **found_with,
                    "times": times,
                    "distance": distance,
                    "floor": floor,
                    "seconds": seconds,
                }
            )
            kept.save_content(path, {"alpha_bar": _schedule(), "grids": entries}, {})
    return {key: grid for key in wanted if (grid := saved(key))}


def load_entries(path: Path) -> list[dict[str, Any]]:
    """What grids.json holds of this schedule (of another, the times mean other noise); an entry whose times its T' and
    steps do not allow is left out, with a warning."""
    there = kept.load_content(path, {"alpha_bar": _schedule()}, {"grids": list}, otherwise="grids are found anew")
    entries = there["grids"] if there else []
    for entry in entries:
        if not _fits(entry):
            log.warning("%s: %.80s: expected `steps` whole numbers that fall from T': found anew", path, entry)
    return [entry for entry in entries if _fits(entry)]


def _fits(entry: Any) -> bool:
    if not isinstance(entry, dict) or not {*GridKey._fields, "times"} <= entry.keys():
        return False
    key, times = GridKey(*(entry[name] for name in GridKey._fields)), entry["times"]
    if not isinstance(times, list) or len(times) != key.steps or times[:1] != [key.t_prime]:
        return False
    with contextlib.suppress(ValueError):
        grid_of(times)
        return True
    return False


class _Programs(NamedTuple):
    """teach: grid of the candidates -> (x0 of the teacher, its distance to itself with half its steps, costs of the
    steps between the candidates). measure: (x0, solver) -> times [n, K] -> their distances [n]."""

    teach: Callable[[TimeGrid], tuple[Array, float, StepCosts]]
    measure: Callable[[Array, str], Callable[[np.ndarray], Array]]


def _programs(c: DDADSettings, data: Data, params: Any) -> _Programs:
    """Teacher and K-step runs of the pictures grids are found on: one compilation a length of the teacher's grid, and
    one a number of steps and solver. A picture's noise is what a sweep with the config's seed draws for it."""
    unet, table, s = build_unet(c.model, c.data.size, c.device), alpha_bar(), c.sample
    draw = drawn_noise(c.model, c.data.size)
    images = data.validation.images[spread(len(data.validation.labels), c.grid.images)]
    keys = pair_keys(
        jnp.full(len(images), c.seed, jnp.uint32), jnp.asarray([image_seed(image) for image in images], jnp.uint32)
    )
    weights, y = jax.tree.map(jnp.asarray, params), to_float(jnp.asarray(images))
    how = {"w": s.w, "start_noise": s.start_noise, "fade": s.fade, "blend_max": s.blend_max or math.inf}
    how |= {"blend_low": s.blend_low, "blend_high": s.blend_high}

    solver, in_time = SOLVERS[c.grid.teacher_solver], GRIDS[c.grid.teacher_grid]

    @jax.jit
    def fine_run(weights: Any, y: Array, keys: Array, grid: TimeGrid, how: dict[str, Any]) -> Array:
        noise_fn = noise_of(keys, y.shape[1:], draw)
        own: Any = {"alpha_bar": table, "noise_fn": noise_fn, "solver": solver, **how}
        return reconstruct(eps_fn(unet, weights), y, y, grid, eta=0.0, **own)

    @jax.jit
    def costs(weights: Any, y: Array, keys: Array, grid: TimeGrid, x0: Array, how: dict[str, Any]) -> StepCosts:
        own: Any = {"alpha_bar": table, "noise_fn": noise_of(keys, y.shape[1:], draw), "solver": solver, **how}
        # Its times are whole, as those of a grid are; where it ends, the finer run is nearer to the exact flow.
        run = run_teacher(eps_fn(unet, weights), y, grid, **own)._replace(x0=x0)
        return step_costs(run, alpha_bar=table)

    def taught(candidates: TimeGrid) -> tuple[Array, float, StepCosts]:
        t_prime, most = int(candidates.start), c.grid.teacher_steps
        steps = most if c.grid.teacher_grid in CONTINUOUS else len(candidates.t)
        x0, half = (fine_run(weights, y, keys, in_time(t_prime, n), how) for n in (steps, max(steps // 2, 1)))
        floor = float(jnp.sqrt(((shown(x0) - shown(half)) ** 2).mean()))
        return x0, floor, costs(weights, y, keys, candidates, x0, how)

    def shown(x: Array) -> Array:
        return jnp.clip(x, -1.0, 1.0) if s.clip else x

    @functools.partial(jax.jit, static_argnames="solver")
    def of_times(
        weights: Any, y: Array, keys: Array, times: Array, x0: Array, solver: str, how: dict[str, Any]
    ) -> Array:
        noise_fn = noise_of(keys, y.shape[1:], draw)
        network, rule = eps_fn(unet, weights), SOLVERS[solver]
        return reconstruction_distances(
            network, y, times, x0, alpha_bar=table, noise_fn=noise_fn, solver=rule, clip=s.clip, **how
        )

    return _Programs(
        taught,
        lambda x0, solver: lambda times: of_times(weights, y, keys, jnp.asarray(times), x0, solver, how),
    )


def _schedule() -> str:
    return params_fingerprint(alpha_bar())
