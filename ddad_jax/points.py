"""L5. The points of a grid: what decides a reconstruction, what decides a score, and their checked product."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ddad_jax.errors import InputError
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS, TimeGrid, stretched, trailing

OPTIMISED = "optimised"
"""The grid that is no formula: its times are found for a trained model (``optimised_grid.optimise_grid``)."""

MODELS = ("teacher", "student")
"""The noise predictor as it was trained, and the one distilled from it for one call or two (``distilled``)."""


class ReconPoint(NamedTuple):
    """What decides a reconstruction.

    w >= 0; t_prime 1..999; steps 1..t_prime; eta 0..1; grid a name of ``timesteps.GRIDS`` or "optimised"; seed of
    the noise (points of equal seed share each image's noise); solver a name of ``solvers.SOLVERS``; start_noise >= 0,
    fade and blend_max as in ``sampler.reconstruct``, blend_max = 0 for no limit; model: which network is sampled,
    one of MODELS. rise >= 0: T' of a picture is up to (1 + rise) times as late, the more unusual a first pass finds it
    (``first_pass``); 0: T' for all. reuse 1..steps: of so many steps one computes the network's deep layers
    (``reuse.reusing``); 1: every step does. mask_before: what the view's mask leaves out is put out of sight in
    picture and reconstruction before their distances are taken (``vision.view_mask.masked``).
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
    model: str = "teacher"
    rise: float = 0.0
    reuse: int = 1
    mask_before: bool = False

    @property
    def calls(self) -> int:
        """Of the network, for one image, the first pass included."""
        return self.steps * SOLVERS[self.solver].calls + (self.rise > 0)

    @property
    def whole_calls(self) -> int:
        """Those of the calls that compute the deep layers, too."""
        return self.calls if self.reuse == 1 else -(-self.steps // self.reuse) + (self.rise > 0)


class ScorePoint(NamedTuple):
    """What decides a score, given the distances. v >= 0; layers of the backbone; sigma in pixels; standardise:
    by each pixel's normal spread (``score.standardise``); mask_after: what the view's mask leaves out is silenced in
    the map (``vision.view_mask.silenced``); feature_weight >= 0: of the feature term, 0 leaves pixels alone
    (``score.combine``)."""

    v: float
    layers: tuple[str, ...]
    sigma: float
    standardise: bool = False
    mask_after: bool = False
    feature_weight: float = 1.0


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
    model: Sequence[str] = ("teacher",),
    rise: Sequence[float] = (0.0,),
    reuse: Sequence[int] = (1,),
    mask_before: Sequence[bool] = (False,),
) -> list[ReconPoint]:
    """The product of all values, checked and without repeats, ordered so that points of one compilation follow
    each other. A solver without noise of its own has eta = 0, whatever ``eta`` says for the others; so has a student,
    which learnt from a teacher without, and reuses nothing. Where nothing is random (eta = 0, start_noise = 0) the
    first seed stands for all of them.

    Raises:
      InputError: a value out of range or not a number, an unknown name, or an empty list.

    >>> others = {"t_prime": (250,), "eta": (1.0,), "grid": ("trailing",), "seed": (0,)}
    >>> points = recon_grid(w=(0.0, 3.0), steps=(5, 10), **others)
    >>> [(point.steps, point.w) for point in points]
    [(5, 0.0), (5, 3.0), (10, 0.0), (10, 3.0)]
    """
    axes: dict[str, Sequence[Any]] = {
        "model": model, "solver": solver, "steps": steps, "reuse": reuse, "grid": grid, "t_prime": t_prime, "eta": eta,
        "start_noise": start_noise, "fade": fade, "blend_max": blend_max, "w": w, "rise": rise, "seed": seed,
        "mask_before": mask_before,
    }  # fmt: skip
    for name, values in axes.items():
        if isinstance(values, str) or not len(values):
            raise InputError(f"{name} = {values!r}: expected a tuple of at least one value")
    for name, values, table in (
        ("grid", grid, (*GRIDS, OPTIMISED)),
        ("solver", solver, SOLVERS),
        ("model", model, MODELS),
    ):
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
        "rise": "0 (one T' for all pictures) or more",
    }.items():
        for number in axes[name]:
            if not (math.isfinite(number) and number >= 0):
                raise InputError(f"{name} = {number}: expected a finite number, {says}")
    for number in reuse:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError(f"reuse = {number}: expected a whole number of steps, 1 to compute every layer at each")
    points = []
    for values in itertools.product(*axes.values()):
        at = dict(zip(axes, values, strict=True))
        if not SOLVERS[at["solver"]].stochastic or at["model"] == "student":
            at["eta"] = 0.0
        if at["eta"] == 0 and at["start_noise"] == 0:
            at["seed"] = seed[0]
        # Features of the first step for all the others: no larger number says more.
        at["reuse"] = 1 if at["model"] == "student" else min(at["reuse"], at["steps"])
        kinds = ReconPoint.__annotations__
        points.append(ReconPoint(**{name: kinds[name](at[name]) for name in ReconPoint._fields}))
    points = list(dict.fromkeys(points))
    for point in points:
        if point.rise and point.grid == "reference":
            raise InputError(
                f"rise = {point.rise:g} with grid = reference: that grid needs a T' divisible by the steps, and every "
                "picture has a T' of its own; expected another grid, such as trailing"
            )
        # T' and steps are bound for an optimised grid as for the trailing one, whatever its times will be.
        GRIDS.get(point.grid, trailing)(point.t_prime, point.steps)
    return points


class GridKey(NamedTuple):
    """Which optimised grid a point visits. Its w, start and blend are not part of it: one grid, found at one
    setting of these, serves all, as the formulas do."""

    t_prime: int
    steps: int
    solver: str


def grid_key(point: ReconPoint) -> GridKey:
    return GridKey(point.t_prime, point.steps, point.solver)


def time_grid(
    point: ReconPoint, optimised: Mapping[GridKey, TimeGrid] | None = None, *, start: int | None = None
) -> TimeGrid:
    """The times ``point`` visits; raises InputError as its grid does.

    Args:
      optimised: grids found for the model at hand.
      start: T' of the picture at hand, where it has one of its own; an optimised grid is stretched to it.

    Raises:
      InputError: an optimised grid that is not among them.

    >>> point = recon_grid(w=(3.0,), t_prime=(250,), steps=(5,), eta=(1.0,), grid=("trailing",), seed=(0,))[0]
    >>> time_grid(point).t.tolist()
    [250, 200, 150, 100, 50]
    """
    if point.grid != OPTIMISED:
        return GRIDS[point.grid](point.t_prime if start is None else start, point.steps)
    key = grid_key(point)
    if key not in (optimised or {}):
        raise InputError(
            f"grid = 'optimised': none was found for {key.steps} steps of {key.solver} from T' = {key.t_prime}; "
            f"expected one of {', '.join(sorted(GRIDS))} where no trained model is at hand"
        )
    found = (optimised or {})[key]
    return found if start is None else stretched(found, start)
