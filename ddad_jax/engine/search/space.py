"""What a search may vary, between which values, and the point of a config at values of these."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ddad_jax.engine.methods import method as methods
from ddad_jax.engine.methods.point import Point, point_settings
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.errors import InputError


class Axis(NamedTuple):
    """One name of a search and its range, both ends included; sigma in pixels of a 256 px image, as in the config."""

    name: str
    low: float
    high: float
    asked: methods.SearchableSetting

    @property
    def costly(self) -> bool:
        """Whether another value of it is another pass over the pictures."""
        return self.asked.costly

    @property
    def step(self) -> float:
        return self.asked.step

    def holds(self, value: float) -> bool:
        steps = (value - self.low) / self.step if self.step else 0.0
        return self.low <= value <= self.high and abs(steps - round(steps)) < 1e-9


def parse_axes(c: Settings, asked: Sequence[str]) -> list[Axis]:
    """``--over``: names, or name:low:high.

    Raises:
      InputError: a name that cannot be searched, or twice; an empty range, or values that the config cannot take.
    """
    names = [text.strip().partition(":")[0] for text in asked]
    axes = [_axis(c, text.strip(), names) for text in asked]
    for at, axis in enumerate(axes):
        if axis.name in [other.name for other in axes[:at]]:
            raise InputError(f"--over={','.join(asked)}: {axis.name} is named twice")
    if not axes:
        raise InputError(f"--over=: expected one or more of {_listed(c)}, as in --over={_listed(c).partition(',')[0]}")
    # What a whole number may be is judged by itself, what goes with it at the least.
    earliest = {axis.name: axis.low for axis in axes if axis.asked.whole}
    for axis in axes:
        _require_use(c, axis, earliest)
    try:
        check_settings(_config_at(c, {axis.name: axis.high for axis in axes}))
    except InputError as error:
        raise InputError(f"--over={','.join(asked)}: at their largest values together: {error}") from None
    return axes


def point_at(c: Settings, values: Mapping[str, float]) -> Point:
    """The point of ``sample`` and ``score`` with ``values`` in the place of the config's.

    Raises:
      InputError: a value out of range.
    """
    return method_of(c).point(_config_at(c, values))


def values_of(c: Settings, axes: Sequence[Axis], point: Point) -> dict[str, float] | None:
    """The inverse of ``point_at`` on ``axes``; None for a point that the search cannot reach."""
    scale = 256.0 / c.data.size
    row = point_settings(*point)
    values = {a.name: row[a.name] * scale if a.name == "sigma" else row[a.name] for a in axes}
    within = all(axis.holds(values[axis.name]) for axis in axes)
    return values if within and point_at(c, values) == point else None


def _config_at(c: Settings, values: Mapping[str, float]) -> Settings:
    axes = method_of(c).axes
    return changed(c, {axes[name].flag: int(v) if axes[name].whole else float(v) for name, v in values.items()})


def _axis(c: Settings, text: str, names: Sequence[str]) -> Axis:
    name, *ends = text.split(":")
    if name not in method_of(c).axes:
        raise InputError(
            f"--over={text}: {name or 'nothing'} cannot be searched; expected some of {_listed(c)}. A sweep "
            "(--config.sweep) tries values of the other settings"
        )
    method = method_of(c)
    (low, high), whole = method.usual(c, name, names), method.axes[name].whole
    if ends:
        try:
            low, high = (int(end) if whole else float(end) for end in ends)
        except ValueError:
            numbers = "whole numbers" if whole else "numbers"
            raise InputError(f"--over={text}: expected {name}:LOW:HIGH with two {numbers}") from None
    if not low < high:
        raise InputError(f"--over={text}: the range {low:g} to {high:g} is empty; expected LOW below HIGH")
    return Axis(name, low, high, method.axes[name])


def _require_use(c: Settings, axis: Axis, others: Mapping[str, float]) -> None:
    """Raises InputError where the axis reaches values that the config refuses, or makes no difference to it; others:
    values of other axes."""
    method = method_of(c)
    if why := method.refused(c, axis.name):
        raise InputError(f"--over={axis.name}: {why}")
    ends = []
    for value in (axis.low, axis.high):
        try:
            point = method.point(check_settings(_config_at(c, {**others, axis.name: value})))
            ends.append(point_settings(*point)[axis.name])
        except InputError as error:
            raise InputError(f"--over={axis.name}:{axis.low:g}:{axis.high:g}: {error}") from None
    if ends[0] == ends[1]:
        raise InputError(f"--over={axis.name}: makes no difference {method.beside(c)}; leave it out")


def _listed(c: Settings) -> str:
    return ", ".join(method_of(c).axes)
