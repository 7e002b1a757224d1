"""A method that has its memory: made of normal pictures, kept in the workdir, compared with other pictures."""

import hashlib
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.backbones import feature_fn
from ddad_jax.checkpoint import params_fingerprint
from ddad_jax.data import to_float
from ddad_jax.engine import hosts
from ddad_jax.engine.data.same_pictures import fingerprint_in
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.backbone import backbone_columns, backbone_settings, build_backbone
from ddad_jax.engine.methods.batch_programs import (
    Compiled,
    copied_to_devices,
    in_batches,
    map_detector,
    maps_of_evidence,
    run_timed,
)
from ddad_jax.engine.methods.measured import Constants, Mapped, Measured, MeasuredPictures
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store import kept
from ddad_jax.engine.tracking import Write, silent
from ddad_jax.errors import InputError
from ddad_jax.image import resize
from ddad_jax.mesh import device_mesh
from ddad_jax.picture_program import MapDetector
from ddad_jax.types import Array, Variables

if TYPE_CHECKING:
    from ddad_jax.engine.methods.memory.method import MemoryMethod

log = logging.getLogger(__name__)

POINTS_AT_ONCE = 16
"""Points of one memory that a batch of pictures is measured at, once it was looked at: a kill loses so many."""


class Remembered(NamedTuple):
    """A memory that is kept. fingerprint: of its arrays; shapes: theirs, by name."""

    path: Path
    fingerprint: str
    shapes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class FittedMemory:
    """``method.Fitted``. variables: of the feature network, as published. memories: of the points it is ready for;
    their arrays stay on the disk until they are used, so that a sweep holds one at a time. compiled: so far."""

    method: "MemoryMethod"
    c: Settings
    workdir: Path
    variables: Variables
    mesh: Mesh | None = None
    memories: Mapping[Any, Remembered] = field(default_factory=dict)
    compiled: Compiled = field(default_factory=dict)

    @property
    def weights(self) -> Any:
        return self.variables

    # --- Made, and kept

    def ready(self, points: Sequence[Any], data: Data, write: Write = silent, *, make: bool = True) -> "FittedMemory":
        memories = dict(self.memories)
        for point in dict.fromkeys(map(self.method.memory_point, points)):
            if make:
                found = hosts.in_turn(f"the memory of {self.method.title}", partial(self._remembered, point, data))
            else:
                found = self._kept(point, self._made_with(point, data))
            if point not in memories or found != memories[point]:
                memories[point] = found
        return replace(self, memories=memories)

    def with_kept(self, point: Any) -> "FittedMemory":
        """The same, ready for a point, without any picture.

        Raises:
          InputError: the workdir does not hold its memory.
        """
        own = self.method.memory_point(point)
        return replace(self, memories={own: self._kept(own)})

    def _found(self, point: Any) -> Remembered:
        return self.memories[self.method.memory_point(point)]

    def _path(self, point: Any) -> Path:
        said = json.dumps(
            [self.method.named(point), backbone_settings(self.c.backbone), self.c.data.size], sort_keys=True
        )
        return self.workdir / self.method.name / f"{hashlib.sha256(said.encode()).hexdigest()[:12]}.npz"

    def _made_with(self, point: Any, data: Data) -> dict[str, Any]:
        return {
            **self.method.named(point),
            **backbone_columns(self.c.backbone),
            "size": self.c.data.size,
            "weights": params_fingerprint(self.variables),
            "pictures": fingerprint_in(self.workdir, self.c.data, data.fit),
        }

    def _kept(self, point: Any, made_with: Mapping[str, Any] | None = None) -> Remembered:
        arrays, there = kept.read_content(
            self._path(point), mend="The sweep or the evaluation of this workdir makes it"
        )
        if made_with is not None and (
            differing := kept.provenance_differences(there, json.loads(json.dumps(made_with)))
        ):
            raise InputError(f"{self._path(point)}: was made of something else ({'; '.join(differing[:3])})")
        return _remembered(self._path(point), arrays)

    def _remembered(self, point: Any, data: Data) -> Remembered:
        path, made_with = self._path(point), self._made_with(point, data)
        arrays = kept.load_content(path, made_with)
        if arrays is None:
            started = time.perf_counter()
            arrays = self._made(point, data.fit.images)
            path.parent.mkdir(parents=True, exist_ok=True)
            kept.save_content(path, arrays, made_with)
            told = self.method.described({name: array.shape for name, array in arrays.items()})
            log.info("%s: %s, in %.0f s", path, told, time.perf_counter() - started)
        return _remembered(path, arrays)

    def _made(self, point: Any, images: np.ndarray) -> dict[str, np.ndarray]:
        # The other processes of a run wait meanwhile: these devices are all that can be used.
        mesh = device_mesh(jax.local_devices())
        how: Any = {"batch": self._batch, "mesh": mesh}

        def batches() -> Iterator[tuple[Array, np.ndarray]]:
            see = ("see", self._view(point))
            for part in in_batches(self.compiled, see, self._seen(point), self.variables, images, **how):
                yield part.of, part.valid

        shape = jax.eval_shape(
            self._seen(point), self.variables, jax.ShapeDtypeStruct((1, *images.shape[1:]), np.uint8)
        )
        return self.method.remember(point, (len(images), *shape.shape[1:]), _Repeatable(batches))

    # --- Compared

    @property
    def _batch(self) -> int:
        return int(getattr(self.c, self.method.name).batch_size)

    def _view(self, point: Any) -> tuple[Any, ...]:
        return tuple(getattr(point, name) for name in self.method.view)

    def _seen(self, point: Any) -> Callable[[Any, Array], Array]:
        """(weights, pictures uint8 or in [-1, 1]) -> a vector for each place, [b, h, w, d]."""
        backbone, method = build_backbone(self.c.backbone), self.method

        def seen(variables: Any, images: Array) -> Array:
            x = to_float(images) if images.dtype == jnp.uint8 else images
            return method.embed(
                point, feature_fn(backbone, variables)(resize(x, self.c.backbone.feature_size or x.shape[1]))
            )

        return seen

    def _memory(self, point: Any) -> dict[str, np.ndarray]:
        """Raises InputError where it went, or is not what it was."""
        found = self._found(point)
        arrays, _ = kept.read_content(found.path, mend="The sweep or the evaluation of this workdir makes it")
        if _remembered(found.path, arrays) != found:
            raise InputError(f"{found.path}: was changed by another program; run this again")
        return arrays

    def measure(
        self,
        pictures: MeasuredPictures,
        points: Sequence[Any],
        *,
        progress: Callable[[int], object] = lambda _: None,
        judged: Mapping[Any, Mapping[str, Any]] = {},  # noqa: B006 - never written to
        selected: Point | None = None,
    ) -> Iterator[Measured]:
        for _, alike in itertools.groupby(points, key=self.method.memory_point):
            waiting = [*alike]
            for first in range(0, len(waiting), POINTS_AT_ONCE):
                yield from self._measured(pictures, waiting[first : first + POINTS_AT_ONCE], progress)

    def _measured(
        self, pictures: MeasuredPictures, points: Sequence[Any], progress: Callable[[int], object]
    ) -> Iterator[Measured]:
        """At points of one memory, which see the same of a picture: that is looked at once."""
        memory = copied_to_devices(self._memory(points[0]), self.mesh)
        see, seen = ("see", self._view(points[0])), self._seen(points[0])
        evidence: dict[Any, list[Any]] = {point: [] for point in points}
        seconds: dict[Any, list[np.ndarray]] = {point: [] for point in points}
        how: Any = {"batch": self._batch, "mesh": self.mesh}
        for part in in_batches(self.compiled, see, seen, self.variables, pictures.images, **how):
            n = int(part.valid.sum())
            for point in points:
                compare = partial(self.method.compare, point)
                rows, own = run_timed(
                    self.compiled, ("compare", point), compare, memory, part.of, part.seeds, mesh=self.mesh
                )
                evidence[point].append(jax.tree.map(lambda a, valid=part.valid: np.asarray(a)[valid], rows))
                # As if it were measured alone.
                seconds[point].append(np.full(n, (part.seconds + own) / n))
                progress(n)
        for point in points:
            whole = jax.tree.map(lambda *rows: np.concatenate(rows), *evidence.pop(point))
            yield Measured(point, whole, np.concatenate(seconds[point]), {})

    # --- Judged

    def maps(self, evidence: Any, points: Sequence[Any], pictures: MeasuredPictures) -> Iterator[Mapped]:
        size = (self.c.data.size, self.c.data.size)
        return maps_of_evidence(
            self.compiled, self.method.judge, evidence, points, pictures, size=size, folder=self.workdir
        )

    def shown(self, evidence: Any, point: Point, pictures: MeasuredPictures) -> dict[str, np.ndarray]:
        return {}

    def program(
        self, point: Point
    ) -> tuple[Callable[[Any, Array, Array], Any], tuple[Variables, dict[str, np.ndarray]]]:
        """((weights, memory), images [b, h, w, 3] in [-1, 1], seeds of their noise) -> maps [b, h, w], or (maps, image
        scores [b]); and these weights."""
        size, seen = (self.c.data.size, self.c.data.size), self._seen(point.costly)

        def maps(weights: Any, images: Array, seeds: Array) -> Any:
            evidence = self.method.compare(point.costly, weights[1], seen(weights[0], images), seeds)
            made, own = self.method.judge(evidence, cheap=point.cheap, size=size)
            return made if own is None else (made, own)

        return maps, (self.variables, self._memory(point.costly))

    def detector(self, point: Point, numbers: Mapping[str, Any], constants: Constants, *, crop: int) -> MapDetector:
        return map_detector(*self.program(point), point, constants, crop)

    # --- Told

    @property
    def columns(self) -> dict[str, Any]:
        return backbone_columns(self.c.backbone)

    def columns_at(self, costly: Any) -> dict[str, Any]:
        return self.asks(costly)

    def asks(self, costly: Any) -> dict[str, Any]:
        return {"memory": self._found(costly).fingerprint}

    def told(self, data: Data, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        words = self.described(self.method.point_of(row).costly)
        return [f"Features: {self.c.backbone.name} as it came, {row['layers']}. Remembered: {words}."], []

    def described(self, costly: Any) -> str:
        """What is remembered for a point, in words."""
        return self.method.described(self._found(costly).shapes)

    def figures(self, data: Data, rows: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
        return {}

    def keep_steps(self, data: Data, point: Point) -> None:
        """There are none."""

    @property
    def compilations(self) -> int:
        return len(self.compiled)

    @property
    def identity(self) -> dict[str, Any]:
        return {"method": self.method.name, "backbone": backbone_settings(self.c.backbone)}

    @property
    def networks(self) -> dict[str, Any]:
        return {"size": self.c.data.size, "method": self.method.name, "backbone": backbone_settings(self.c.backbone)}


@dataclass(frozen=True)
class _Repeatable:
    """What can be gone through again. begin: -> its first."""

    begin: Callable[[], Iterator[Any]]

    def __iter__(self) -> Iterator[Any]:
        return self.begin()


def _remembered(path: Path, arrays: Mapping[str, np.ndarray]) -> Remembered:
    in_order = {name: np.asarray(arrays[name]) for name in sorted(arrays)}
    return Remembered(path, params_fingerprint(in_order), {name: array.shape for name, array in in_order.items()})
