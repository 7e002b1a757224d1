"""Which points a run computes, and which of them it uses."""

import itertools
import json
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint, ScorePoint, recon_grid
from experiments.student_settings import require_point, student_axes, trained_for

SETTINGS = (*ReconPoint._fields, *ScorePoint._fields)
"""The columns that tell one row from another."""

UNSAID = {**ReconPoint._field_defaults, **ScorePoint._field_defaults}
"""What a row of a journal from before a setting existed was made with."""


Point = tuple[ReconPoint, ScorePoint]


class Plan(NamedTuple):
    """Every point of a run. The selected one comes from ``sample`` and ``score`` of the config, or from synthetic
    defects (``best_on_synthetic``), never from labels; None while it is not known."""

    recon: list[ReconPoint]
    score: list[ScorePoint]
    selected: Point | None


def plan(c: ConfigDict, *, sweep: bool) -> Plan:
    """The grids of ``c.sweep`` and its parts (with ``sweep``) and always the point of ``c.sample`` and ``c.score``,
    which is the selected one unless ``c.select`` says to choose.

    Raises:
      InputError: a value out of range.
    """
    one = _one(c)
    selected = config_point(c)
    recon, score, scaled = [selected[0]], [selected[1]], _scaled(c)
    if sweep:
        swept = {name: c.sweep[name] or value for name, value in one.items()}
        recon = _recon(c, swept, "sweep")
        for name, part in c.sweep.parts.items():
            axes = {**one, "seed": swept["seed"], **{axis: part[axis] or one[axis] for axis in part}}
            recon += _recon(c, axes, f"sweep.parts.{name}")
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


def config_point(c: ConfigDict) -> Point:
    """The point of ``sample`` and ``score``, with the first seed of the sweep.

    Raises:
      InputError: a value out of range.
    """
    s = c.score
    flags = bool(s.standardise), bool(s.mask_after)
    score = ScorePoint(float(s.v), tuple(s.layers), s.sigma * _scaled(c), *flags, float(s.feature_weight))
    return _recon(c, _one(c), "sample")[0], score


def _one(c: ConfigDict) -> dict[str, Any]:
    """The axes of a grid of that point alone."""
    one = {name: (c.sample[name],) for name in ReconPoint._fields if name != "seed"}
    return {**one, "seed": (c.sweep.seed[0],)}


def _scaled(c: ConfigDict) -> float:
    """Deviation: the papers' sigma belongs to 256 px; it scales with the picture."""
    return c.data.size / 256.0


def _recon(c: ConfigDict, axes: dict[str, Any], section: str) -> list[ReconPoint]:
    """The product of ``axes``, where a student takes of them what it was trained for.

    Raises:
      InputError: a value out of range, or a w or T' that the student was not trained for; the section is named.
    """
    try:
        return _product(c, axes)
    except InputError as error:
        said = str(error)
        raise InputError(said if said.startswith("--config.") else f"{_flags(c, section, said)}: {said}") from None


def _flags(c: ConfigDict, section: str, said: str) -> str:
    """What a message of ``recon_grid`` speaks of, by its flags: the one that it names first, and T' with the steps."""
    name = said.partition(" ")[0]
    names = ("steps", "t_prime") if name in ("steps", "T'") else (name,)
    if section not in ("sample", "sweep") or not set(names) <= {*ReconPoint._fields}:
        return f"--config.{section}"
    of = {name: section if section == "sample" or c.sweep[name] else "sample" for name in names}
    return " with ".join(f"--config.{part}.{name}={c[part][name]!r}" for name, part in of.items())


def _product(c: ConfigDict, axes: dict[str, Any]) -> list[ReconPoint]:
    points = []
    for model in dict.fromkeys(axes["model"]):
        own = student_axes(c, axes) if model == "student" else axes
        points += recon_grid(**{**own, "model": (model,)})
    if "student" in axes["model"]:
        trained = trained_for(c)
        for point in points:
            if point.model == "student":
                require_point(trained, point)
    return points


def settings_of(recon: ReconPoint, score: ScorePoint) -> dict[str, Any]:
    return {**recon._asdict(), **score._asdict(), "layers": "+".join(score.layers)}


def point_of(row: dict[str, Any]) -> Point:
    """The point of a row: the inverse of ``settings_of``, for rows that come from a file.

    Raises:
      InputError: a value out of range; KeyError, TypeError, ValueError, AttributeError: not a row at all.
    """
    row = {**UNSAID, **row}
    (recon,) = recon_grid(**{name: (row[name],) for name in ReconPoint._fields})
    layers = tuple(row["layers"].split("+"))
    if not set(layers) <= {"layer1", "layer2", "layer3"}:
        raise InputError(f"layers = {row['layers']!r}: expected layer1, layer2, layer3, joined by +")
    flags = bool(row["standardise"]), bool(row["mask_after"])
    return recon, ScorePoint(float(row["v"]), layers, float(row["sigma"]), *flags, float(row["feature_weight"]))


def key_of(row: dict[str, Any]) -> str:
    return json.dumps({name: row[name] for name in SETTINGS})


def best_on_synthetic(todo: Plan, rows: list[dict[str, Any]]) -> tuple[Point, float]:
    """The point of the plan that tells the synthetic defects best from normal pictures, and its worth: the greatest
    image AUROC on them, mean of the seeds; of equals the one with the greater AUPRO, then the one with fewest network
    calls, then the first.

    Deviation: the paper gives w and the extractor's epoch a category; they were found with its test set in view.

    Raises:
      InputError: no point has finite metrics for all its seeds.
    """
    worth: dict[Point, list[tuple[float, float]]] = {}
    first_of: dict[ReconPoint, ReconPoint] = {}
    by_key = {key_of(row): row for row in rows}
    for point, score in itertools.product(todo.recon, todo.score):
        row = by_key[key_of(settings_of(point, score))]
        values = (row["synthetic_image_auroc"], row["synthetic_aupro_30"])
        finite = all(isinstance(v, float) and np.isfinite(v) for v in values)
        # A point stands for all its seeds under the first that was computed of it.
        stands = first_of.setdefault(point._replace(seed=0), point)
        worth.setdefault((stands, score), []).append(values if finite else (-np.inf, -np.inf))
    found = {point: np.mean(v, axis=0) for point, v in worth.items() if np.isfinite(v).all()}
    if not found:
        raise InputError("no point of the sweep gave finite maps, so none can be selected: lower --config.sweep.w")
    # Python's max keeps the first of equals. Means over seeds are equal where they agree to rounding.
    best = max(found, key=lambda p: (*np.round(found[p], 9), -p[0].calls))
    return best, float(found[best][0])
