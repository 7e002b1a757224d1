"""The points that a config describes, and those that a row does, for methods whose costly settings lie in a section of
the method's name, and whose cheap ones in ``score``."""

import itertools
from collections.abc import Mapping
from typing import Any

from ddad_jax.backbones import BACKBONES
from ddad_jax.engine.methods.method import is_finite_number
from ddad_jax.engine.methods.point import Plan, Point, sigma_scale
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.settings.setting import Range, settings_in
from ddad_jax.errors import InputError


def section_plan(c: Settings, costly: type[Any], cheap: type[Any], *, sweep: bool) -> Plan:
    """The product of ``c.sweep`` (with ``sweep``) and always the point of the config, which is the selected one unless
    ``c.select`` says to choose."""
    own = getattr(c, c.method)
    of = {**{name: (getattr(own, name),) for name in costly._fields if name != "seed"}, "seed": (c.sweep.seed[0],)}
    by = {name: (getattr(c.score, name),) for name in cheap._fields}
    selected = Point(_points(c, costly, of)[0], _points(c, cheap, by)[0])
    costlies, cheaps = [selected.costly], [selected.cheap]
    if sweep:
        costlies = [*_points(c, costly, _tried(c, of)), *costlies]
        cheaps = [*_points(c, cheap, _tried(c, by)), *cheaps]
    return Plan([*dict.fromkeys(costlies)], [*dict.fromkeys(cheaps)], None if c.select else selected)


def _tried(c: Settings, axes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(c.sweep, name) or value for name, value in axes.items()}


def _points(c: Settings, kind: type[Any], axes: Mapping[str, Any]) -> list[Any]:
    scaled = {**axes, "sigma": [value * sigma_scale(c) for value in axes["sigma"]]} if "sigma" in axes else axes
    every = [[_typed(kind, name, value) for value in values] for name, values in scaled.items()]
    return [kind(**dict(zip(scaled, values, strict=True))) for values in itertools.product(*every)]


def _typed(kind: type[Any], name: str, value: Any) -> Any:
    """Of the type that the default has; a tuple of names may be joined by +."""
    default = kind._field_defaults[name]
    if isinstance(default, tuple):
        return tuple(value.split("+")) if isinstance(value, str) else tuple(value)
    return type(default)(value)


def section_point_of(row: Mapping[str, Any], costly: type[Any], cheap: type[Any], settings: type, name: str) -> Point:
    """The point of a row: the inverse of ``point.point_settings``, for rows that come from a file.

    Raises:
      InputError: a value out of range; KeyError, TypeError, ValueError, AttributeError: not a row at all.
    """
    ranges = {each.flag: each.range for each in settings_in(settings)}
    parts = []
    stages = {stage: None for backbone in BACKBONES.values() for stage in backbone.stages}
    for kind, section in ((costly, name), (cheap, "score")):
        row = {**kind._field_defaults, **row}
        values = {field: _typed(kind, field, row[field]) for field in kind._fields}
        for field, value in values.items():
            range_ = Range(_positive, "0 or more pixels") if field == "sigma" else ranges.get(f"{section}.{field}")
            if range_ and not range_.good(value):
                raise InputError(f"{field} = {value!r}: expected {range_.expected}")
            if field == "layers" and not {*value} <= {*stages}:
                raise InputError(f"layers = {value!r}: expected stages of a backbone ({', '.join(stages)})")
        parts.append(kind(**values))
    return Point(*parts)


def _positive(value: Any) -> bool:
    return is_finite_number(value) and value >= 0
