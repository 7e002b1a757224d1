"""The points of a grid that a config describes, and those that a row does."""

import itertools
from collections.abc import Mapping
from typing import Any

from ddad_jax.backbones import BACKBONES
from ddad_jax.distance import UPSAMPLING
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.settings import adaptation_grid, require_point, student_axes, trained_for
from ddad_jax.engine.methods.point import Plan, Point, sigma_scale
from ddad_jax.errors import InputError
from ddad_jax.pair_program import program_key
from ddad_jax.points import ReconPoint, ScorePoint, recon_grid


def config_point(c: DDADSettings) -> Point:
    """The point of ``sample`` and ``score``, with the first seed of the sweep.

    Raises:
      InputError: a value out of range.
    """
    (recon, *_), score = recon_points(c, point_axes(c), "sample"), _score_point(c)
    return Point(recon, recon.scored_by(score))


def redrawn_point(c: DDADSettings) -> Point:
    """The same, of a reconstruction whatever is scored: what adaptation learns with."""
    axes = {**point_axes(c), "scoring": ("reconstruction",)}
    return Point(recon_points(c, axes, "sample")[0], _score_point(c))


def _score_point(c: DDADSettings) -> ScorePoint:
    s = c.score
    flags = bool(s.standardise), bool(s.mask_after)
    return ScorePoint(
        float(s.v), tuple(s.layers), s.sigma * sigma_scale(c), *flags, float(s.feature_weight), s.upsampling
    )


def adaptation_point(c: DDADSettings) -> ReconPoint:
    """How the pairs of adaptation are reconstructed.

    With ``adapt.pairs`` = self as a picture is when it is scored at the config's point; a student, optimised times, a
    first pass and reused layers come after adaptation, so that their teacher, the trailing grid, T' and whole calls
    stand for them.
    """
    a, s = c.adapt, c.student
    if a.pairs == "other":
        return ReconPoint(a.w, a.t_prime, a.steps, a.eta, adaptation_grid(c.sample.grid), 0)
    point = redrawn_point(c).costly._replace(rise=0.0, reuse=1, seed=0, mask_before=False)
    if point.model == "student":
        taught = {"solver": s.teacher_solver, "steps": s.teacher_steps, "grid": s.teacher_grid}
        point = point._replace(model="teacher", **taught)
    return point._replace(grid=adaptation_grid(point.grid))


def point_axes(c: DDADSettings) -> dict[str, Any]:
    """The axes of a grid of that point alone."""
    one = {name: (c.sample[name],) for name in ReconPoint._fields if name != "seed"}
    return {**one, "seed": (c.sweep.seed[0],)}


def recon_points(c: DDADSettings, axes: dict[str, Any], section: str) -> list[ReconPoint]:
    """The product of ``axes``, where a student takes of them what it was trained for.

    Raises:
      InputError: a value out of range, or a w or T' that the student was not trained for; the section is named.
    """
    try:
        return recon_product(c, axes)
    except InputError as error:
        said = str(error)
        raise InputError(said if said.startswith("--config.") else f"{_flags(c, section, said)}: {said}") from None


def _flags(c: DDADSettings, section: str, said: str) -> str:
    """What a message of ``recon_grid`` speaks of, by its flags: the one that it names first, and T' with the steps."""
    name = said.partition(" ")[0]
    names = ("steps", "t_prime") if name in ("steps", "T'") else (name,)
    if section not in ("sample", "sweep") or not set(names) <= {*ReconPoint._fields}:
        return f"--config.{section}"
    of = {name: section if section == "sample" or c.sweep[name] else "sample" for name in names}
    return " with ".join(f"--config.{part}.{name}={c[part][name]!r}" for name, part in of.items())


def recon_product(c: DDADSettings, axes: dict[str, Any]) -> list[ReconPoint]:
    points = []
    for model in dict.fromkeys(axes["model"]):
        own = student_axes(c.student, axes) if model == "student" else axes
        points += recon_grid(**{**own, "model": (model,)})
    if "student" in axes["model"]:
        trained = trained_for(c.student, t_max=c.train.t_max)
        for point in points:
            if point.model == "student":
                require_point(trained, point)
    return points


def ddad_plan(c: DDADSettings, *, sweep: bool) -> Plan:
    """The grids of ``c.sweep`` and its parts (with ``sweep``) and always the point of ``c.sample`` and ``c.score``,
    which is the selected one unless ``c.select`` says to choose.

    Raises:
      InputError: a value out of range.
    """
    one = point_axes(c)
    selected = config_point(c)
    recon, score, scaled = [selected[0]], [_score_point(c)], sigma_scale(c)
    if sweep:
        swept = {name: c.sweep[name] or value for name, value in one.items()}
        recon = recon_points(c, swept, "sweep")
        for name, part in c.sweep.parts.items():
            axes = {**one, "seed": swept["seed"], **{axis: part[axis] or one[axis] for axis in part}}
            recon += recon_points(c, axes, f"sweep.parts.{name}")
        layers = c.sweep.layers or (c.score.layers,)
        score = [
            ScorePoint(float(v), tuple(l), sigma * scaled, bool(standardised), bool(after), float(weight), kind)
            for l, sigma, v, standardised, after, weight, kind in itertools.product(
                layers,
                c.sweep.sigma or (c.score.sigma,),
                c.sweep.v or (c.score.v,),
                c.sweep.standardise or (c.score.standardise,),
                c.sweep.mask_after or (c.score.mask_after,),
                c.sweep.feature_weight or (c.score.feature_weight,),
                c.sweep.upsampling or (c.score.upsampling,),
            )
            if v or weight  # a map of nothing tells nothing
        ]
    # Points of one compilation together.
    by_program = sorted(
        {*recon, selected[0]},
        key=lambda p: (p.model, *program_key(p), p.t_prime, p.eta, p.w, p),
    )
    return Plan(by_program, list(dict.fromkeys([*score, _score_point(c)])), None if c.select else selected)


SETTINGS = (*ReconPoint._fields, *ScorePoint._fields)
"""The columns that tell one row from another."""

UNSAID = {**ReconPoint._field_defaults, **ScorePoint._field_defaults}
"""What a row of a journal from before a setting existed was made with."""


def ddad_point_of(row: Mapping[str, Any]) -> Point:
    """The point of a row: the inverse of ``point.point_settings``, for rows that come from a file.

    Raises:
      InputError: a value out of range; KeyError, TypeError, ValueError, AttributeError: not a row at all.
    """
    row = {**UNSAID, **row}
    (recon,) = recon_grid(**{name: (row[name],) for name in ReconPoint._fields})
    layers = tuple(row["layers"].split("+")) if recon.reconstructs or row["layers"] else ()
    stages = {stage: None for backbone in BACKBONES.values() for stage in backbone.stages}
    if not set(layers) <= set(stages):
        listed = ", ".join(stages)
        raise InputError(f"layers = {row['layers']!r}: expected stages of a backbone ({listed}), joined by +")
    flags = bool(row["standardise"]), bool(row["mask_after"])
    if row["upsampling"] not in UPSAMPLING:
        raise InputError(f"upsampling = {row['upsampling']!r}: expected {' or '.join(UPSAMPLING)}")
    weights = float(row["feature_weight"]), row["upsampling"]
    score = ScorePoint(float(row["v"]), layers, float(row["sigma"]), *flags, *weights)
    return Point(recon, recon.scored_by(score))
