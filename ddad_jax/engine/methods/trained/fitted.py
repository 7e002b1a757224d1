"""A method whose networks are trained: from pictures to evidence, to maps, and one program."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.data import to_float
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.batch_programs import Compiled, in_batches, map_detector, maps_of_evidence
from ddad_jax.engine.methods.loop import trained_steps
from ddad_jax.engine.methods.measured import Constants, Mapped, Measured, MeasuredPictures
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.tracking import Write, silent
from ddad_jax.picture_program import MapDetector
from ddad_jax.spilled import Spilled
from ddad_jax.types import Array, Variables

if TYPE_CHECKING:
    from ddad_jax.engine.methods.trained.method import TrainedMethod

ENOUGH = 20
"""Times that each picture is met by a training whose results may be quoted."""


@dataclass(frozen=True)
class FittedNetworks:
    """``method.Fitted``. variables: of the networks, by stage, on the host. compiled: so far."""

    method: "TrainedMethod"
    c: Any
    workdir: Path
    variables: Mapping[str, Variables]
    mesh: Mesh | None = None
    compiled: Compiled = field(default_factory=dict)

    @property
    def weights(self) -> Any:
        return self.variables

    def ready(self, points: Sequence[Any], data: Data, write: Write = silent, *, make: bool = True) -> "FittedNetworks":
        return self

    # --- Measured

    def _compared(self, costly: Any) -> Callable[[Any, Array, Array], Any]:
        """(networks, pictures uint8 or in [-1, 1], seeds) -> evidence."""
        return lambda networks, images, seeds: self.method.compare(
            self.c, costly, networks, to_float(images) if images.dtype == jnp.uint8 else images, seeds
        )

    @property
    def _batch(self) -> int:
        return int(getattr(self.c, self.method.name).batch_size)

    def measure(
        self,
        pictures: MeasuredPictures,
        points: Sequence[Any],
        *,
        progress: Callable[[int], object] = lambda _: None,
        judged: Mapping[Any, Mapping[str, Any]] = {},  # noqa: B006 - never written to
        selected: Point | None = None,
    ) -> Iterator[Measured]:
        for point in points:
            evidence: Any = None
            seconds: list[np.ndarray] = []
            how: Any = {"batch": self._batch, "mesh": self.mesh, "seeded": True}
            traced = {name: np.asarray(getattr(point, name)) for name in self.method.traced}
            what = ("compare", point._replace(**dict.fromkeys(traced)))
            weights, first = (self.variables, traced), 0

            def compare(weights: Any, images: Array, seeds: Array, point: Any = point) -> Any:
                return self._compared(point._replace(**weights[1]))(weights[0], images, seeds)

            for part in in_batches(self.compiled, what, compare, weights, pictures.images, **how):
                rows, n = jax.tree.map(np.asarray, part.of), int(part.valid.sum())
                if evidence is None:
                    evidence = jax.tree.map(partial(self._room, pictures), rows)
                jax.tree.map(partial(_put, first, part.valid), evidence, rows)
                first += n
                seconds.append(np.full(n, part.seconds / n))
                progress(n)
            yield Measured(point, evidence, np.concatenate(seconds), {})

    def _room(self, pictures: MeasuredPictures, rows: np.ndarray) -> Any:
        """For what such rows of all pictures are; that of tiles lies on the disk."""
        shape = (len(pictures.images), *rows.shape[1:])
        return Spilled(shape, rows.dtype, self.workdir) if pictures.tiling else np.empty(shape, rows.dtype)

    # --- Judged

    def maps(self, evidence: Any, points: Sequence[Any], pictures: MeasuredPictures) -> Iterator[Mapped]:
        size = (self.c.data.size, self.c.data.size)
        return maps_of_evidence(
            self.compiled, self.method.judge, evidence, points, pictures, size=size, folder=self.workdir
        )

    def shown(self, evidence: Any, point: Point, pictures: MeasuredPictures) -> dict[str, np.ndarray]:
        if pictures.tiling is not None:
            return {}
        redraw = partial(self.method.reconstruction, self.c, point.costly)
        images = pictures.images[pictures.first_test :]
        like = jax.ShapeDtypeStruct((1, *images.shape[1:]), np.float32)
        if jax.eval_shape(redraw, self.variables, like, jax.ShapeDtypeStruct((1,), np.uint32)) is None:
            return {}

        def redrawn(networks: Any, images: Array, seeds: Array) -> Array:
            x0 = redraw(networks, to_float(images), seeds)
            assert x0 is not None
            return jnp.round((jnp.clip(x0, -1.0, 1.0) + 1.0) * 127.5).astype(jnp.uint8)

        # The first process alone is asked, so the devices of the others cannot help.
        how: Any = {"batch": self._batch, "mesh": None, "seeded": True}
        parts = in_batches(self.compiled, ("redraw", point.costly), redrawn, self.variables, images, **how)
        return {"x0": np.concatenate([np.asarray(part.of)[part.valid] for part in parts])}

    def detector(self, point: Point, numbers: Mapping[str, Any], constants: Constants, *, crop: int) -> MapDetector:
        size, compare = (self.c.data.size, self.c.data.size), self._compared(point.costly)

        def maps(networks: Any, images: Array, seeds: Array) -> Any:
            made, own = self.method.judge(compare(networks, images, seeds), cheap=point.cheap, size=size)
            return made if own is None else (made, own)

        return map_detector(maps, self.variables, point, constants, crop)

    # --- Told

    @property
    def columns(self) -> dict[str, Any]:
        return {"train_steps": trained_steps(self.workdir), **self.method.columns(self.c)}

    def columns_at(self, costly: Any) -> dict[str, Any]:
        return {}

    def asks(self, costly: Any) -> dict[str, Any]:
        return {}

    def told(self, data: Data, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        said, warned = [f"Networks: {self.method.described(self.c, self.variables)}."], []
        for stage in self.method.stages:
            s, history = getattr(self.c, stage), read_jsonl(self.workdir / f"{stage}.jsonl")
            steps = int(history[-1]["step"]) if history else 0
            met = steps * s.batch_size / len(data.fit.labels)
            said.append(f"Stage {stage}: {steps} steps, each picture about {met:.3g} times.")
            if met < ENOUGH:
                warned.append(
                    f"Training ({stage}) was very short: {steps} steps of at most {s.steps}, in which each picture was "
                    f"met {met:.2g} times. Do not judge the method by this run: in a new workdir, raise "
                    f"--config.{stage}.max_minutes (now {s.max_minutes:g}) or --config.{stage}.steps, or train while "
                    "the machine is idle."
                )
        return said, warned

    def figures(self, data: Data, rows: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
        from ddad_jax.engine.figures.curves import training_curves  # which draws, as a run that is only used does not

        history, path = read_jsonl(self.workdir / "train.jsonl"), folder / "training.png"
        return {"training": training_curves(history, path, loss="loss", what="loss")}

    def keep_steps(self, data: Data, point: Point) -> None:
        """There are none."""

    @property
    def compilations(self) -> int:
        return len(self.compiled)

    @property
    def identity(self) -> dict[str, Any]:
        return self.networks

    @property
    def networks(self) -> dict[str, Any]:
        return {"size": self.c.data.size, "method": self.method.name, "model": self.c.model.to_dict()}


def _put(first: int, valid: np.ndarray, whole: Any, rows: np.ndarray) -> None:
    whole[first : first + int(valid.sum())] = rows[valid]
