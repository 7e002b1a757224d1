"""L5. The points of a grid: what decides a reconstruction, what decides a score, and their checked product."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.sampler import STARTS
from ddad_jax.schedule import T, alpha_bar_table
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS, TimeGrid, stretched, trailing

OPTIMISED = "optimised"
"""The grid that is no formula: its times are found for a trained model (``optimised_grid.optimise_grid``)."""

MODELS = ("teacher", "student")
"""The noise predictor as it was trained, and the one distilled from it for one call or two (``distilled``)."""


SCORINGS = ("reconstruction", "inversion", "resilience")
"""What is measured of a picture: its distance from its reconstruction; the length of the noise that it is led to
(``inversion.inverted``); how much of a little noise the network does not see in it (``resilience.resilience``)."""

OF_RECONSTRUCTIONS: Mapping[str, Any] = {
    "w": 0.0, "eta": 0.0, "solver": "ddim", "start_noise": 0.0, "fade": 1.0, "blend_max": 0.0, "rise": 0.0, "reuse": 1,
    "mask_before": False, "start": "noise", "blend_low": 0, "blend_high": T - 1, "last_blend": 0.0, "total_blend": 0.0,
    "squared": False,
}  # fmt: skip
"""What a reconstruction alone looks at, and the values that points without one have there."""


class ReconPoint(NamedTuple):
    """What decides a reconstruction, or what is measured in the place of one.

    w >= 0; t_prime 1..999; steps 1..t_prime; eta 0..1; grid a name of ``timesteps.GRIDS`` or "optimised"; seed of
    the noise (points of equal seed share each image's noise); solver a name of ``solvers.SOLVERS``; start_noise >= 0,
    fade and blend_max as in ``sampler.reconstruct``, blend_max = 0 for no limit; model: which network is sampled,
    one of MODELS. rise >= 0: T' of a picture is up to (1 + rise) times as late, the more unusual a first pass finds it
    (``first_pass``); 0: T' for all. reuse 1..steps: of so many steps one computes the network's deep layers
    (``reuse.reusing``); 1: every step does. mask_before: what the view's mask leaves out is put out of sight in
    picture and reconstruction before their distances are taken (``vision.view_mask.masked``). start: one of
    ``sampler.STARTS``. draws >= 1: distances are means over so many draws of the noise, those of the seeds
    seed draws + 0 .. draws - 1, each reconstructed by itself. blend_low, blend_high: times from which to which the
    blend acts (``conditioning.conditioned``). last_blend >= 0: above 0, w is such that the blend at the last visited
    time is this, whatever the number of steps; total_blend in [0, 1): the same of all steps together (``held_w``). 0: w
    as it is. scoring: one of SCORINGS; an inversion visits the times of the grid backwards, from its earliest to
    t_prime; resilience is measured at t_prime, with each of the draws and its negative. squared: the distance of pixels
    is ``distance.squared_distance``.
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
    start: str = "noise"
    draws: int = 1
    blend_low: int = 0
    blend_high: int = T - 1
    last_blend: float = 0.0
    total_blend: float = 0.0
    scoring: str = "reconstruction"
    squared: bool = False

    @property
    def reconstructs(self) -> bool:
        return self.scoring == "reconstruction"

    @property
    def random(self) -> bool:
        """Whether another seed is another result."""
        return self.scoring == "resilience" or (self.reconstructs and not (self.eta == 0 and self.start_noise == 0))

    def scored_by(self, score: "ScorePoint") -> "ScorePoint":
        """``score``, or where nothing is reconstructed the one that stands for all with its blur, spread and mask."""
        if self.reconstructs:
            return score
        return score._replace(v=1.0, layers=(), feature_weight=0.0, upsampling="half_pixel")

    @property
    def calls(self) -> int:
        """Of the network, for one image, first pass, inversion and all draws included."""
        if not self.reconstructs:
            return self.steps if self.scoring == "inversion" else 2 * self.draws
        inversion = self.steps if self.start == "inversion" else 0
        return self.draws * (self.steps * SOLVERS[self.solver].calls + inversion) + (self.rise > 0)

    @property
    def whole_calls(self) -> int:
        """Those of the calls that compute the deep layers, too."""
        if self.reuse == 1:
            return self.calls
        runs = self.draws * (2 if self.start == "inversion" else 1)
        return runs * -(-self.steps // self.reuse) + (self.rise > 0)


class ScorePoint(NamedTuple):
    """What decides a score, given the distances. v >= 0; layers of the backbone, none where nothing is reconstructed;
    sigma in pixels; standardise: by each pixel's normal spread (``score.standardise``); mask_after: what the view's
    mask leaves out is silenced in the map (``vision.view_mask.silenced``); feature_weight >= 0: of the feature term, 0
    leaves pixels alone (``score.combine``); upsampling: of feature distances, a name of ``distance.UPSAMPLING``."""

    v: float
    layers: tuple[str, ...]
    sigma: float
    standardise: bool = False
    mask_after: bool = False
    feature_weight: float = 1.0
    upsampling: str = "align_corners"


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
    start: Sequence[str] = ("noise",),
    draws: Sequence[int] = (1,),
    blend_low: Sequence[int] = (0,),
    blend_high: Sequence[int] = (T - 1,),
    last_blend: Sequence[float] = (0.0,),
    total_blend: Sequence[float] = (0.0,),
    scoring: Sequence[str] = ("reconstruction",),
    squared: Sequence[bool] = (False,),
) -> list[ReconPoint]:
    """The product of all values, checked and without repeats, ordered so that points of one compilation follow
    each other. A solver without noise of its own has eta = 0, whatever ``eta`` says for the others; so has a student,
    which learnt from a teacher without, and reuses nothing. Where nothing is random (eta = 0, start_noise = 0) the
    first seed stands for all of them, and one draw, too. From an inversion nothing is random but eta, and start_noise
    is 0. Where last_blend or total_blend is above 0 it decides w. Without a reconstruction what it alone looks at is as
    OF_RECONSTRUCTIONS says; resilience has no steps and no grid, and an inversion no noise.

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
        "mask_before": mask_before, "start": start, "draws": draws, "blend_low": blend_low, "blend_high": blend_high,
        "last_blend": last_blend, "total_blend": total_blend, "scoring": scoring, "squared": squared,
    }  # fmt: skip
    for name, values in axes.items():
        if isinstance(values, str) or not len(values):
            raise InputError(f"{name} = {values!r}: expected a tuple of at least one value")
    for name, values, table in (
        ("grid", grid, (*GRIDS, OPTIMISED)),
        ("solver", solver, SOLVERS),
        ("model", model, MODELS),
        ("start", start, STARTS),
        ("scoring", scoring, SCORINGS),
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
        "last_blend": "0 (w as it is) or more",
        "total_blend": "0 (w as it is) up to below 1",
    }.items():
        for number in axes[name]:
            if not (math.isfinite(number) and 0 <= number < (1 if name == "total_blend" else math.inf)):
                raise InputError(f"{name} = {number}: expected a finite number, {says}")
    for number in reuse:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError(f"reuse = {number}: expected a whole number of steps, 1 to compute every layer at each")
    for number in draws:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError(f"draws = {number}: expected a whole number, 1 for one reconstruction")
    for name in ("blend_low", "blend_high"):
        for number in axes[name]:
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < T:
                raise InputError(f"{name} = {number}: expected a time from 0 to {T - 1}")
    points = []
    for values in itertools.product(*axes.values()):
        at = dict(zip(axes, values, strict=True))
        if at["scoring"] != "reconstruction":
            at.update(OF_RECONSTRUCTIONS)
        if at["scoring"] == "resilience":
            at.update(steps=1, grid="trailing")
        if not SOLVERS[at["solver"]].stochastic or at["model"] == "student":
            at["eta"] = 0.0
        if at["model"] == "student":
            at.update(start="noise", blend_low=0, blend_high=T - 1, last_blend=0.0, total_blend=0.0)
        if at["start"] == "inversion":
            at["start_noise"] = 0.0
        if at["eta"] == 0 and at["start_noise"] == 0 and at["scoring"] != "resilience":
            at.update(seed=seed[0], draws=1)
        if at["last_blend"] or at["total_blend"]:
            at["w"] = held_w(at)
        # Features of the first step for all the others: no larger number says more.
        at["reuse"] = 1 if at["model"] == "student" else min(at["reuse"], at["steps"])
        kinds = ReconPoint.__annotations__
        points.append(ReconPoint(**{name: kinds[name](at[name]) for name in ReconPoint._fields}))
    points = list(dict.fromkeys(points))
    for point in points:
        if point.model == "student" and not point.reconstructs:
            raise InputError(
                f"scoring = {point.scoring} with model = student: a student redraws pictures and predicts no noise at "
                "other times; expected model = teacher, or scoring = reconstruction"
            )
        inverted = next((name for name in ("scoring", "start") if getattr(point, name) == "inversion"), None)
        if inverted and point.grid == OPTIMISED:
            raise InputError(
                f"{inverted} = inversion with grid = optimised: that grid is found for reconstructions that start by "
                "noise; expected another grid, such as trailing"
            )
        if point.rise and point.grid == "reference":
            raise InputError(
                f"rise = {point.rise:g} with grid = reference: that grid needs a T' divisible by the steps, and every "
                "picture has a T' of its own; expected another grid, such as trailing"
            )
        if point.blend_low > point.blend_high:
            raise InputError(
                f"blend_low = {point.blend_low} with blend_high = {point.blend_high}: expected the smaller time first"
            )
        # T' and steps are bound for an optimised grid as for the trailing one, whatever its times will be.
        GRIDS.get(point.grid, trailing)(point.t_prime, point.steps)
    return points


def held_w(at: Mapping[str, Any]) -> float:
    """w of settings whose ``last_blend`` or ``total_blend`` is above 0: such that ``blend_at_end`` or
    ``blend_in_total`` is that, whatever the number of steps.

    At w = 1 and T' = 250 the last blend is 0.48 with one step and 0.07 with three of the trailing grid, and the total
    one 0.48 and 0.64: with w as it is, an axis of steps is one of strength, too.

    Raises:
      InputError: both are above 0; the visited times differ from model to model or from picture to picture; no w
        leads there.
    """
    last, total = at["last_blend"], at["total_blend"]
    asked = f"last_blend = {last:g}" if last else f"total_blend = {total:g}"
    if last and total:
        raise InputError(f"last_blend = {last:g} with total_blend = {total:g}: expected one of them, as each decides w")
    if at["grid"] == OPTIMISED or at["rise"]:
        raise InputError(
            f"{asked} with grid = {at['grid']} and rise = {at['rise']:g}: expected a grid that is a formula, such as "
            "trailing, and rise = 0, as the visited times decide w"
        )
    grid = GRIDS[at["grid"]](at["t_prime"], at["steps"])
    noise = _noise(grid.t) ** at["fade"]
    if last:
        return float(last / noise[-1])
    point = ReconPoint(**{name: at[name] for name in ReconPoint._fields})
    low, high = 0.0, 1.0 / float(noise.min())
    if blend_in_total(point._replace(w=high), grid) < total:
        raise InputError(f"{asked}: expected less, or a blend that acts at a visited time and may come that far")
    for _ in range(60):
        middle = 0.5 * (low + high)
        short = blend_in_total(point._replace(w=middle), grid) < total
        low, high = (middle, high) if short else (low, middle)
    return high


def blends(point: ReconPoint, grid: TimeGrid) -> np.ndarray:
    """min(w (1 - alpha_bar_t)^fade, blend_max) at each time of ``grid``, 0 where the blend does not act; [K]."""
    found = np.minimum(point.w * _noise(grid.t) ** point.fade, point.blend_max or math.inf)
    return np.asarray(np.where((grid.t >= point.blend_low) & (grid.t <= point.blend_high), found, 0.0))


def blend_at_end(point: ReconPoint, grid: TimeGrid) -> float:
    """That of the last step: the share of the target in x0 where the network forgets what it was shown before."""
    return float(blends(point, grid)[-1])


def blend_in_total(point: ReconPoint, grid: TimeGrid) -> float:
    """1 - prod_k (1 - b_k), each b_k at most 1: the share where the network gives back what it was shown. A network is
    somewhere between this and ``blend_at_end``."""
    return float(1.0 - np.prod(1.0 - np.minimum(blends(point, grid), 1.0)))


def _noise(t: np.ndarray) -> np.ndarray:
    """1 - alpha_bar at times t."""
    return 1.0 - np.interp(t, np.arange(T), alpha_bar_table().astype(np.float64))


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
