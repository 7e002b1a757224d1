"""Points of a run: one setting of a method, whole, as values; many of them; and their settings as a row has them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ddad_jax.engine.settings.sections import Settings

Own = Any
"""The settings of a run of the method: ``settings.sections.Settings`` and its own sections."""


Costly = Any
"""A NamedTuple of plain values, hashable, with ``seed``. ``mask_before``, where it has that: what the view's mask
leaves out is put out of sight before anything is measured. ``scored_by``, where it has that: the cheap point that
stands for another one at it, as some of its settings decide nothing there."""


Cheap = Any
"""Alike, with ``standardise`` (maps are measured in the normal spread of each pixel) and ``mask_after`` (they are
silent where the view's mask leaves out), which the engine does."""


class Point(NamedTuple):
    """One setting of a method, whole."""

    costly: Costly
    cheap: Cheap

    @property
    def masks(self) -> bool:
        """Whether it needs the view's mask."""
        return bool(self.masks_before or self.cheap.mask_after)

    @property
    def masks_before(self) -> bool:
        return bool(getattr(self.costly, "mask_before", False))


class Plan(NamedTuple):
    """Every point of a run, those of one compilation together. The selected one comes from the config, or from
    synthetic defects (``choice.best_on_synthetic``), never from labels; None while it is not known."""

    costly: list[Costly]
    cheap: list[Cheap]
    selected: Point | None

    def cheap_at(self, costly: Costly) -> list[Cheap]:
        """Those that tell maps of a costly point from each other."""
        stands = getattr(costly, "scored_by", None)
        return list(dict.fromkeys(map(stands, self.cheap))) if stands else self.cheap

    @property
    def points(self) -> list[Point]:
        """All of them, each a row."""
        return [Point(costly, cheap) for costly in self.costly for cheap in self.cheap_at(costly)]


class SearchableSetting(NamedTuple):
    """A setting that a search may vary. flag: of it, dotted. low, high: where it is looked for unless the user says.
    step: between values; 0 for any. whole: whether they are whole numbers. costly: whether another value is another
    pass over the pictures."""

    flag: str
    low: float
    high: float
    step: float = 0.0
    whole: bool = False
    costly: bool = False


SIGMA_STEP = 0.5
"""Of a search of the blur, in pixels of a 256 px image: every width is a compiled program, so there are few."""


def sigma_scale(c: Settings) -> float:
    """Pixels of the run's pictures for one of a 256 px image, to which sigma of a config belongs.

    Deviation: the papers' sigma belongs to the size of theirs; here it scales with the picture.
    """
    return c.data.size / 256.0


def point_settings(*parts: Any) -> dict[str, Any]:
    """Of a point's parts, as a row has them: names of several layers are joined by +."""
    values = {name: value for part in parts for name, value in part._asdict().items()}
    return {name: "+".join(value) if isinstance(value, tuple) else value for name, value in values.items()}


def key_of(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    return json.dumps([row[name] for name in columns])
