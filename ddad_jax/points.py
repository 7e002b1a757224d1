"""L5. The points of a grid: what decides a reconstruction, what decides a score, and their checked product."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ddad_jax.errors import InputError
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS, TimeGrid


class ReconPoint(NamedTuple):
    """What decides a reconstruction.

    w >= 0; t_prime 1..999; steps 1..t_prime; eta 0..1; grid a name of ``timesteps.GRIDS``; seed of the noise
    (points of equal seed share each image's noise); solver a name of ``solvers.SOLVERS``; start_noise >= 0, fade
    and blend_max as in ``sampler.reconstruct``, blend_max = 0 for no limit.
    """

    w: float
    t_prime: int
    steps: int
    eta: float
    grid: str
    seed: int
    solver: str = "ddim"
    start_noise: float = 1.0
    fade: float = 1.0
    blend_max: float = 0.0

    @property
    def calls(self) -> int:
        """Of the network, for one image."""
        return self.steps * SOLVERS[self.solver].calls


class ScorePoint(NamedTuple):
    """What decides a score, given the distances. v >= 0; layers of the backbone; sigma in pixels; standardise:
    by each pixel's normal spread (``score.standardise``)."""

    v: float
    layers: tuple[str, ...]
    sigma: float
    standardise: bool = False


def recon_grid(
    *,
    w: Sequence[float],
    t_prime: Sequence[int],
    steps: Sequence[int],
    eta: Sequence[float],
    grid: Sequence[str],
    seed: Sequence[int],
    solver: Sequence[str] = ("ddim",),
    start_noise: Sequence[float] = (1.0,),
    fade: Sequence[float] = (1.0,),
    blend_max: Sequence[float] = (0.0,),
) -> list[ReconPoint]:
    """The product of all values, checked and without repeats, ordered so that points of one compilation follow
    each other. A solver without noise of its own has eta = 0, whatever ``eta`` says for the others.

    Raises:
      InputError: a value out of range or not a number, an unknown name, or an empty list.
    """
    axes: dict[str, Sequence[Any]] = {
        "solver": solver, "steps": steps, "grid": grid, "t_prime": t_prime, "eta": eta, "start_noise": start_noise,
        "fade": fade, "blend_max": blend_max, "w": w, "seed": seed,
    }  # fmt: skip
    for name, values in axes.items():
        if isinstance(values, str) or not len(values):
            raise InputError(f"{name} = {values!r}: expected a tuple of at least one value")
    for name, values, table in (("grid", grid, GRIDS), ("solver", solver, SOLVERS)):
        for value in values:
            if value not in table:
                raise InputError(f"{name} = {value!r}: expected one of {', '.join(sorted(table))}")
    for number in eta:
        if not 0 <= number <= 1:
            raise InputError(f"eta = {number}: expected a number from 0 (deterministic) to 1 (DDPM variance)")
    for name, says in {
        "w": "0 (no conditioning) or more",
        "start_noise": "0 (the scaled picture) or more, published 1",
        "fade": "0 (a constant blend) or more, published 1",
        "blend_max": "0 (no limit) or more, 1 to end at the target",
    }.items():
        for number in axes[name]:
            if not (math.isfinite(number) and number >= 0):
                raise InputError(f"{name} = {number}: expected a finite number, {says}")
    points = []
    for values in itertools.product(*axes.values()):
        at = dict(zip(axes, values, strict=True))
        if not SOLVERS[at["solver"]].stochastic:
            at["eta"] = 0.0
        kinds = ReconPoint.__annotations__
        points.append(ReconPoint(**{name: kinds[name](at[name]) for name in ReconPoint._fields}))
    points = list(dict.fromkeys(points))
    for point in points:
        time_grid(point)
    return points


def time_grid(point: ReconPoint) -> TimeGrid:
    """The times ``point`` visits; raises InputError as its grid does."""
    return GRIDS[point.grid](point.t_prime, point.steps)
