"""A method that trains nothing: it remembers features of normal pictures, and measures how far others are from them.

What PatchCore and PaDiM share behind the seam; ``UntrainedMethod`` is what an ensemble of them shares with them. A
method of this kind is the mathematics below and its settings; when it is made, kept, compared and told is written here
and in ``ddad_jax/engine/methods/memory/fitted.py``, once.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.memory.fitted import FittedMemory
from ddad_jax.engine.methods.memory.sections import check_memory_jointly
from ddad_jax.engine.methods.point import Point, point_settings
from ddad_jax.engine.methods.section_method import SectionMethod
from ddad_jax.engine.settings.need import Need
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.tracking import Write
from ddad_jax.types import Array
from ddad_jax.weights import load_backbone


class UntrainedMethod(SectionMethod):
    """``method.Method`` where nothing is trained; the abstract functions are a method's own."""

    def fit(self, c: Settings, workdir: Path, data: Data, write: Write, mesh: Mesh | None = None) -> Any:
        return self.restored(c, workdir, mesh)

    def restored_at(self, c: Settings, workdir: Path, point: Point, numbers: Mapping[str, Any]) -> Any:
        return self.restored(c, workdir).with_kept(point.costly)

    def needed(self, numbers: Mapping[str, Any]) -> dict[str, tuple[Callable[[Any], bool], str]]:
        return {"memory": (lambda value: isinstance(value, str), "a fingerprint")}

    def numbers(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"memory": row["memory"]}

    def bound(self, workdir: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Nothing: what was made with other settings or of other pictures is made anew."""
        return {}


class MemoryMethod(UntrainedMethod):
    """``method.Method``; the abstract functions are a method's own.

    name: also of its folder in a workdir. view: those fields of a costly point that decide what is seen of a picture.
    newer: those that did not exist when the first workdirs were written.
    """

    view: tuple[str, ...]
    newer: tuple[str, ...] = ()

    def named(self, *parts: Any) -> dict[str, Any]:
        """``point_settings``, without what is newer and at its default: as an older version names the same."""
        usual = {name: part._field_defaults[name] for part in parts for name in part._fields if name in self.newer}
        return {name: value for name, value in point_settings(*parts).items() if usual.get(name, ()) != value}

    # --- The mathematics

    @abstractmethod
    def embed(self, costly: Any, features: Mapping[str, Array]) -> Array:
        """Features of b pictures -> a vector for each of their places, [b, h, w, d]; of ``view`` alone."""

    def memory_point(self, costly: Any) -> Any:
        """The point whose memory it has: the same for all that differ in nothing that ``remember`` looks at."""
        return costly

    @abstractmethod
    def remember(
        self, costly: Any, shape: tuple[int, int, int, int], batches: Iterable[tuple[Array, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Arrays that are made of normal pictures; *host*.

        Args:
          shape: of all their vectors, (n, h, w, d). batches: of these, [b, h, w, d], and which rows count, bool [b];
            whoever needs them once more goes through them again, and pays for it.

        Raises:
          InputError: what is asked for cannot be made of these.
        """

    @abstractmethod
    def compare(self, costly: Any, memory: Mapping[str, Array], vectors: Array, seeds: Array) -> Any:
        """Evidence on b pictures, a tree of arrays [b, ...]; each picture alone.

        Args:
          seeds: of what is drawn for each picture, of its own content, uint32 [b].
        """

    @abstractmethod
    def judge(self, evidence: Any, cheap: Any, size: tuple[int, int]) -> tuple[Array, Array | None]:
        """Maps [b, *size] of the evidence, and image scores [b] where the method has its own."""

    @abstractmethod
    def described(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Of arrays of these shapes, in words."""

    # --- The rest of ``method.Method``

    def together(self, c: Any, need: Need) -> None:
        check_memory_jointly(c, need)

    def beside(self, c: Settings) -> str:
        return f"with {self.name}.layers = {'+'.join(getattr(c, self.name).layers)}"

    def restored(self, c: Settings, workdir: Path, mesh: Mesh | None = None) -> FittedMemory:
        variables = load_backbone(c.backbone.name, c.backbone.weights or None)
        return FittedMemory(self, c, workdir, jax.tree.map(np.asarray, variables), mesh)
