"""What a search may vary, between which values, and the point of a config at values of these."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ddad_jax.engine.methods.ddad.points import config_point
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.settings import trained_for
from ddad_jax.engine.methods.method import Point, settings_of
from ddad_jax.engine.setting_checks import check
from ddad_jax.engine.settings.section import changed
from ddad_jax.errors import InputError
from ddad_jax.points import OPTIMISED, ReconPoint

SIGMA_STEP = 0.5
"""In pixels of a 256 px image: every width of the blur is a compiled program, so there are few of them."""

RANGES = {
    "w": (0.0, 6.0),
    "t_prime": (50, 500),
    "eta": (0.0, 1.0),
    "start_noise": (0.0, 1.0),
    "fade": (0.0, 2.0),
    "rise": (0.0, 1.0),
    "v": (0.0, 20.0),
    "sigma": (0.0, 12.0),
}
"""Name -> where it is looked for unless ``--over`` says: all of them are traced, so a trial compiles nothing but the
first blur of its sigma. T' ends where the training's times do."""


class Axis(NamedTuple):
    """One name of a search and its range, both ends included; sigma in pixels of a 256 px image, as in the config."""

    name: str
    low: float
    high: float

    @property
    def of_reconstruction(self) -> bool:
        """Whether another value of it is another reconstruction."""
        return self.name in ReconPoint._fields

    def holds(self, value: float) -> bool:
        steps = (value - self.low) / SIGMA_STEP
        return self.low <= value <= self.high and (self.name != "sigma" or abs(steps - round(steps)) < 1e-9)


def parse(c: DDADSettings, asked: Sequence[str]) -> list[Axis]:
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
        raise InputError(f"--over=: expected one or more of {', '.join(RANGES)}, as in --over=w,t_prime,v:0:10")
    # What a T' may be is judged by itself, what goes with it at the earliest.
    earliest = {axis.name: axis.low for axis in axes if axis.name == "t_prime"}
    for axis in axes:
        _require_use(c, axis, earliest)
    try:
        check(_config_at(c, {axis.name: axis.high for axis in axes}))
    except InputError as error:
        raise InputError(f"--over={','.join(asked)}: at their largest values together: {error}") from None
    return axes


def point_at(c: DDADSettings, values: Mapping[str, float]) -> Point:
    """The point of ``sample`` and ``score`` with ``values`` in the place of the config's.

    Raises:
      InputError: a value out of range.
    """
    return config_point(_config_at(c, values))


def values_of(c: DDADSettings, axes: Sequence[Axis], point: Point) -> dict[str, float] | None:
    """The inverse of ``point_at`` on ``axes``; None for a point that the search cannot reach."""
    scale = 256.0 / c.data.size
    row = settings_of(*point)
    values = {a.name: row[a.name] * scale if a.name == "sigma" else row[a.name] for a in axes}
    within = all(axis.holds(values[axis.name]) for axis in axes)
    return values if within and point_at(c, values) == point else None


def _config_at(c: DDADSettings, values: Mapping[str, float]) -> DDADSettings:
    section = {name: "sample" if name in ReconPoint._fields else "score" for name in values}
    return changed(
        c, {f"{section[name]}.{name}": int(v) if name == "t_prime" else float(v) for name, v in values.items()}
    )


def _axis(c: DDADSettings, text: str, names: Sequence[str]) -> Axis:
    name, *ends = text.split(":")
    if name not in RANGES:
        raise InputError(
            f"--over={text}: {name or 'nothing'} cannot be searched; expected some of {', '.join(RANGES)}. A sweep "
            "(--config.sweep) tries values of the other settings"
        )
    low, high = _usual(c, name, names)
    if ends:
        try:
            low, high = (int(end) if name == "t_prime" else float(end) for end in ends)
        except ValueError:
            numbers = "whole numbers" if name == "t_prime" else "numbers"
            raise InputError(f"--over={text}: expected {name}:LOW:HIGH with two {numbers}") from None
    if not low < high:
        raise InputError(f"--over={text}: the range {low:g} to {high:g} is empty; expected LOW below HIGH")
    return Axis(name, low, high)


def _usual(c: DDADSettings, name: str, names: Sequence[str]) -> tuple[float, float]:
    """The range of a name; names: all that are searched. T' (1 + rise) stays below the training's times."""
    low, high = RANGES[name]
    if c.sample.model == "student" and name in ("w", "t_prime"):
        learnt = trained_for(c.student, t_max=c.train.t_max)
        return learnt.w if name == "w" else learnt.t_prime
    last = c.train.t_max - 1
    if name == "t_prime":
        high = min(high, int(last / (1.5 if "rise" in names else 1.0 + c.sample.rise)))
        return max(c.sample.steps, min(low, high - 1)), high
    if name == "rise":
        latest = _usual(c, "t_prime", names)[1] if "t_prime" in names else c.sample.t_prime
        return low, min(high, int(100 * (last / latest - 1.0)) / 100)
    return low, high


def _require_use(c: DDADSettings, axis: Axis, others: Mapping[str, float]) -> None:
    """Raises InputError where the axis reaches values that the config refuses, or makes no difference to it; others:
    values of other axes."""
    if axis.name == "t_prime" and c.sample.grid in ("reference", OPTIMISED):
        why = "takes T' divisible by the steps" if c.sample.grid == "reference" else "is found anew for every T'"
        raise InputError(
            f"--over={axis.name}: --config.sample.grid={c.sample.grid} {why}; search the others, or take another grid"
        )
    ends = []
    for value in (axis.low, axis.high):
        try:
            ends.append(
                getattr(_side(config_point(check(_config_at(c, {**others, axis.name: value}))), axis), axis.name)
            )
        except InputError as error:
            raise InputError(f"--over={axis.name}:{axis.low:g}:{axis.high:g}: {error}") from None
    if ends[0] == ends[1]:
        how = f"model = {c.sample.model}, solver = {c.sample.solver}"
        raise InputError(f"--over={axis.name}: makes no difference with {how}; leave it out")


def _side(point: Point, axis: Axis) -> object:
    return point[0] if axis.of_reconstruction else point[1]
