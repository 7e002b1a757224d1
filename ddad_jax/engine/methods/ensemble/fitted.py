"""Several methods that have learnt from the same pictures, and the weighted mean of their maps.

Each map is brought to the same unit by what it does to held-out normal pictures, (map - mean) / deviation, both over
all their pixels: an ordinary pixel is 0 for every method, whatever it measures in. Never by position: few pictures are
held out, and a deviation of a few values is noise.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.backbone import backbone_columns, backbone_settings
from ddad_jax.engine.methods.batch_programs import map_detector
from ddad_jax.engine.methods.ensemble.sections import (
    MEMBERS,
    EnsembleMap,
    EnsembleSettings,
    Members,
    in_own_flags,
)
from ddad_jax.engine.methods.measured import Constants, Mapped, Measured, MeasuredPictures
from ddad_jax.engine.methods.memory.fitted import FittedMemory
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.tracking import Write, silent
from ddad_jax.errors import InputError
from ddad_jax.picture_program import MapDetector
from ddad_jax.types import Array

if TYPE_CHECKING:
    from ddad_jax.engine.methods.ensemble.method import Ensemble


class Unit(NamedTuple):
    """Of a member's maps: mean and deviation of all pixels of held-out normal pictures."""

    mean: float
    deviation: float

    def __call__(self, maps: Any) -> Any:
        return (maps - np.float32(self.mean)) / np.float32(max(self.deviation, 1e-12))

    @classmethod
    def of(cls, normal: np.ndarray) -> "Unit":
        """normal: maps of held-out normal pictures, [n, h, w]."""
        return cls(float(normal.mean(dtype=np.float64)), float(normal.std(dtype=np.float64)))


def unit_columns(name: str) -> tuple[str, str]:
    """Names of a member's ``Unit`` in a row."""
    return f"{name}_mean", f"{name}_deviation"


@dataclass(frozen=True)
class FittedEnsemble:
    """``method.Fitted``. fitted: the members that were asked for so far, by name."""

    method: "Ensemble"
    c: EnsembleSettings
    fitted: Mapping[str, FittedMemory]

    @property
    def weights(self) -> Any:
        """Those of the feature network: of every member the same."""
        return next(iter(self.fitted.values())).weights

    def _points(self, name: str) -> Point:
        return MEMBERS[name].point(self.fitted[name].c)

    def _shares(self, members: Sequence[str]) -> dict[str, float]:
        """Of each in the mean map: its weight, of all of theirs."""
        total = sum(self.c.weight[name] for name in members)
        return {name: self.c.weight[name] / total for name in members}

    def _settings_of(self, members: Iterable[str]) -> dict[str, dict[str, Any]]:
        """What decides the map of each. A weight of 1 goes without saying, as it did when all weighed the same."""
        weights = {name: {"weight": self.c.weight[name]} if self.c.weight[name] != 1 else {} for name in members}
        return {name: {**MEMBERS[name].named(*self._points(name)), **weights[name]} for name in weights}

    def ready(
        self, points: Sequence[Members], data: Data, write: Write = silent, *, make: bool = True
    ) -> "FittedEnsemble":
        ready = dict(self.fitted)
        for name in dict.fromkeys(name for point in points for name in point.members):
            try:
                ready[name] = ready[name].ready([self._points(name).costly], data, write, make=make)
            except InputError as error:
                raise InputError(in_own_flags(name, str(error))) from None
        return replace(self, fitted=ready)

    def with_kept(self, point: Members) -> "FittedEnsemble":
        """The same, ready for a point, without any picture.

        Raises:
          InputError: the workdir does not hold the memory of a member.
        """
        kept = {name: self.fitted[name].with_kept(self._points(name).costly) for name in point.members}
        return replace(self, fitted={**self.fitted, **kept})

    def measure(
        self,
        pictures: MeasuredPictures,
        points: Sequence[Members],
        *,
        progress: Callable[[int], object] = lambda _: None,
        judged: Mapping[Members, Mapping[str, Any]] = {},  # noqa: B006 - never written to
        selected: Point | None = None,
    ) -> Iterator[Measured]:
        measured: dict[str, Measured] = {}
        for point in points:
            for name in point.members:
                if name not in measured:
                    (measured[name],) = self.fitted[name].measure(pictures, [self._points(name).costly])
            evidence = {name: measured[name].evidence for name in point.members}
            progress(len(pictures.images))
            yield Measured(point, evidence, np.sum([measured[name].seconds for name in point.members], axis=0), {})

    def maps(self, evidence: Any, points: Sequence[EnsembleMap], pictures: MeasuredPictures) -> Iterator[Mapped]:
        total: Any = None
        shares = self._shares(tuple(evidence))
        columns = {column: float("nan") for name in MEMBERS for column in unit_columns(name)}
        for name, of_member in evidence.items():
            (mapped,) = self.fitted[name].maps(of_member, [self._points(name).cheap], pictures)
            unit = Unit.of(mapped.maps[: pictures.n_normal])
            columns |= dict(zip(unit_columns(name), unit, strict=True))
            in_unit = unit(mapped.maps) * np.float32(shares[name])
            total = in_unit if total is None else np.add(total, in_unit, out=total)
        for cheap in points:
            yield Mapped(cheap, total, columns)

    def shown(self, evidence: Any, point: Point, pictures: MeasuredPictures) -> dict[str, np.ndarray]:
        return {}

    def detector(self, point: Point, numbers: Mapping[str, Any], constants: Constants, *, crop: int) -> MapDetector:
        members = point.costly.members
        shares = self._shares(members)
        parts = {name: self.fitted[name].program(self._points(name)) for name in members}
        units = {name: Unit(*(numbers[column] for column in unit_columns(name))) for name in members}

        def maps(weights: Any, images: Array, seeds: Array) -> Array:
            total: Any = 0
            for name, (function, _) in parts.items():
                made = function((weights["features"], weights[name]), images, seeds)
                total = total + units[name](made[0] if isinstance(made, tuple) else made) * np.float32(shares[name])
            return total

        memories = {name: memory for name, (_, (_, memory)) in parts.items()}
        weights = {"features": self.weights, **memories}
        return map_detector(maps, weights, point, constants, crop)

    @property
    def columns(self) -> dict[str, Any]:
        return backbone_columns(self.c.backbone)

    def columns_at(self, costly: Members) -> dict[str, Any]:
        return self.asks(costly)

    def asks(self, costly: Members) -> dict[str, Any]:
        memories = [self.fitted[name].asks(self._points(name).costly)["memory"] for name in costly.members]
        # Of a member's settings a memory knows only those that it was made with.
        every = json.dumps(self._settings_of(costly.members), sort_keys=True)
        return {"memory": "+".join(memories), "members_at": hashlib.sha256(every.encode()).hexdigest()[:12]}

    def told(self, data: Data, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        names = self.method.point_of(row).costly.members
        shares = self._shares(names)
        said = [
            f"{MEMBERS[name].title} ({name}, {shares[name]:.0%} of the map): "
            f"{self.fitted[name].described(self._points(name).costly)}"
            for name in names
        ]
        return [f"Features: {self.c.backbone.name} as it came. Remembered: {'; '.join(said)}."], []

    def figures(self, data: Data, rows: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
        return {}

    def keep_steps(self, data: Data, point: Point) -> None:
        """There are none."""

    @property
    def compilations(self) -> int:
        return sum(fitted.compilations for fitted in self.fitted.values())

    @property
    def identity(self) -> dict[str, Any]:
        judging = dict.fromkeys(name for names in (self.c.ensemble.members, *self.c.sweep.members) for name in names)
        of_members = self._settings_of(judging)
        return {"method": self.method.name, "backbone": backbone_settings(self.c.backbone), "members": of_members}

    @property
    def networks(self) -> dict[str, Any]:
        return {"size": self.c.data.size, **self.identity}
