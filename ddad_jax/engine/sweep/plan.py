"""Which points a run computes, and which of them it uses."""

import itertools
from typing import NamedTuple

from ddad_jax.engine.methods.ddad.points import config_point, point_axes, recon_points, sigma_scale
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.method import Point
from ddad_jax.points import ReconPoint, ScorePoint


class Plan(NamedTuple):
    """Every point of a run. The selected one comes from ``sample`` and ``score`` of the config, or from synthetic
    defects (``best_on_synthetic``), never from labels; None while it is not known."""

    recon: list[ReconPoint]
    score: list[ScorePoint]
    selected: Point | None


def plan(c: DDADSettings, *, sweep: bool) -> Plan:
    """The grids of ``c.sweep`` and its parts (with ``sweep``) and always the point of ``c.sample`` and ``c.score``,
    which is the selected one unless ``c.select`` says to choose.

    Raises:
      InputError: a value out of range.
    """
    one = point_axes(c)
    selected = config_point(c)
    recon, score, scaled = [selected[0]], [selected[1]], sigma_scale(c)
    if sweep:
        swept = {name: c.sweep[name] or value for name, value in one.items()}
        recon = recon_points(c, swept, "sweep")
        for name, part in c.sweep.parts.items():
            axes = {**one, "seed": swept["seed"], **{axis: part[axis] or one[axis] for axis in part}}
            recon += recon_points(c, axes, f"sweep.parts.{name}")
        layers = c.sweep.layers or (c.score.layers,)
        score = [
            ScorePoint(float(v), tuple(l), sigma * scaled, bool(standardised), bool(after), float(weight))
            for l, sigma, v, standardised, after, weight in itertools.product(
                layers,
                c.sweep.sigma or (c.score.sigma,),
                c.sweep.v or (c.score.v,),
                c.sweep.standardise or (c.score.standardise,),
                c.sweep.mask_after or (c.score.mask_after,),
                c.sweep.feature_weight or (c.score.feature_weight,),
            )
            if v or weight  # a map of nothing tells nothing
        ]
    # Points of one compilation together.
    by_program = sorted(
        {*recon, selected[0]},
        key=lambda p: (p.model, p.solver, p.steps, p.reuse, p.mask_before, p.t_prime, p.eta, p.w, p),
    )
    return Plan(by_program, list(dict.fromkeys([*score, selected[1]])), None if c.select else selected)
