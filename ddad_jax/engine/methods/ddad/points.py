"""The points of a grid that a config describes."""

from typing import Any

from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.settings import require_point, student_axes, trained_for
from ddad_jax.engine.methods.method import Point
from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint, ScorePoint, recon_grid


def config_point(c: DDADSettings) -> Point:
    """The point of ``sample`` and ``score``, with the first seed of the sweep.

    Raises:
      InputError: a value out of range.
    """
    s = c.score
    flags = bool(s.standardise), bool(s.mask_after)
    score = ScorePoint(float(s.v), tuple(s.layers), s.sigma * sigma_scale(c), *flags, float(s.feature_weight))
    return recon_points(c, point_axes(c), "sample")[0], score


def point_axes(c: DDADSettings) -> dict[str, Any]:
    """The axes of a grid of that point alone."""
    one = {name: (c.sample[name],) for name in ReconPoint._fields if name != "seed"}
    return {**one, "seed": (c.sweep.seed[0],)}


def sigma_scale(c: DDADSettings) -> float:
    """Deviation: the papers' sigma belongs to 256 px; it scales with the picture."""
    return c.data.size / 256.0


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
