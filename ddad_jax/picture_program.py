"""L5. One program from pictures to anomaly maps and image scores, whatever the method: compiled, called, exported."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.data import to_float
from ddad_jax.data.batches import image_seed
from ddad_jax.errors import InputError
from ddad_jax.mesh import copied, jit_rows, own_rows, rounded_up, shard_rows
from ddad_jax.score import Spread, maps_and_scores
from ddad_jax.types import Array


class Detection(NamedTuple):
    """Of b pictures. maps: float32 [b, h, w], cropped as asked for. scores: float32 [b], each map's largest value."""

    maps: Array
    scores: Array


def on_device(value: Any) -> Array:
    """Numbers in float32; what is watched is no number."""
    return jnp.asarray(value, bool if np.asarray(value).dtype == bool else jnp.float32)


class PictureProgram(ABC):
    """Pictures -> anomaly maps and image scores as one program, compiled once a shape; nothing else leaves the device.

    What every detector shares: a method's own says what its inputs are and what becomes of them.

    Attributes:
      weights: a tree of arrays. constants: of the calibration, alike; both are handed to every call.
      mesh: the devices a batch is cut over; None for the default device alone.
      rounding: of a map, in absolute terms: what two compilations of the program may differ by.
    """

    weights: Any
    constants: Any
    mesh: Mesh | None
    rounding: float = 0.0

    def __init__(self, weights: Any, constants: Any, mesh: Mesh | None) -> None:
        self.weights, self.constants, self.mesh = weights, constants, mesh
        self._detect = jit_rows(self.function, mesh)
        self._compiled: dict[tuple[int, ...], Callable[..., Detection]] = {}

    @abstractmethod
    def function(self, weights: Any, inputs: Any, constants: Any) -> Detection:
        """The program itself, not compiled, for a caller that compiles or exports it; inputs: what ``place`` gives."""

    @abstractmethod
    def pairs(self, images: np.ndarray, *, watched: np.ndarray | None = None) -> Any:
        """The inputs of pictures, uint8 [b, h, w, 3], on the host: those of this process, ``images`` among them."""

    @abstractmethod
    def place(self, images: np.ndarray, *, watched: np.ndarray | None = None) -> Any:
        """The same on the devices."""

    def __call__(self, images: np.ndarray, *, watched: np.ndarray | None = None) -> Detection:
        """Maps and scores, on the devices, of uint8 [b, h, w, 3]; another b is another compilation: pad the last batch.

        Args:
          watched: what of each picture may be seen, bool [b, h, w], where the method asks.

        Raises:
          InputError: as ``require_batch``.
        """
        inputs = self.place(images, watched=watched)
        return self.compiled(inputs)(inputs)

    @abstractmethod
    def repeated(self, one: Any, pictures: Array, seeds: Array) -> Any:
        """The inputs of ``pictures`` in a program of any batch, in everything but these as ``pairs`` of one picture.

        Args:
          seeds: of each picture's noise, uint32 [b] (``data.batches.image_seed``).
        """

    def compiled(self, inputs: Any) -> Callable[[Any], Detection]:
        """The program for the shapes of placed inputs, compiled if it was not before."""
        shape = inputs.images.shape
        if shape not in self._compiled:
            run = self.lowered(inputs).compile()
            self._compiled[shape] = lambda inputs: run(self.weights, inputs, self.constants)
        return self._compiled[shape]

    def lowered(self, inputs: Any) -> Any:
        """The program for the shapes of placed inputs before it is compiled, as ``jax.jit(...).lower`` gives it."""
        return self._detect.lower(self.weights, inputs, self.constants)


class PictureBatch(NamedTuple):
    """Pictures and nothing else. images: uint8 [b, h, w, 3]. seeds: of each picture's noise, of its own content, uint32
    [b]."""

    images: Any
    seeds: Any


class Held(NamedTuple):
    """What ``MapDetector`` judges maps by."""

    spread: Spread | None
    watched: Any


class MapDetector(PictureProgram):
    """The program of a method that has one map function.

    Args:
      maps: (weights, images [b, h, w, 3] in [-1, 1], seeds of their noise) -> maps [b, h, w], or (maps, image scores
        [b]).
      weights: a tree of arrays.
      spread: of held-out normal maps before the crop, where maps are measured in it. watched: bool [h, w], where they
        are silent elsewhere. Where there is one of them, or a crop, a picture's score is the largest value of its map.
      crop: side of the centre that is kept and scored, in pixels; 0 for everything.
    """

    def __init__(
        self,
        maps: Callable[[Any, Array, Array], Any],
        weights: Any,
        *,
        spread: Spread | None = None,
        watched: np.ndarray | None = None,
        crop: int = 0,
        mesh: Mesh | None = None,
    ) -> None:
        self._maps, self._crop = maps, crop
        super().__init__(copied(weights, mesh), copied(jax.tree.map(on_device, Held(spread, watched)), mesh), mesh)

    def function(self, weights: Any, inputs: PictureBatch, constants: Held) -> Detection:
        made = self._maps(weights, to_float(inputs.images), inputs.seeds)
        maps, own = made if isinstance(made, tuple) else (made, None)
        judged = constants.spread is not None or constants.watched is not None or self._crop
        maps, scores = maps_and_scores(maps, spread=constants.spread, watched=constants.watched, crop=self._crop)
        return Detection(maps, scores if own is None or judged else own)

    def pairs(self, images: np.ndarray, *, watched: np.ndarray | None = None) -> PictureBatch:
        require_batch(images, self.mesh)
        own = images[own_rows(len(images), self.mesh)]
        return PictureBatch(own, np.array([image_seed(image) for image in own], np.uint32))

    def place(self, images: np.ndarray, *, watched: np.ndarray | None = None) -> PictureBatch:
        return shard_rows(self.pairs(images), self.mesh)

    def repeated(self, one: PictureBatch, pictures: Array, seeds: Array) -> PictureBatch:
        return PictureBatch(pictures, seeds)


def require_batch(images: np.ndarray, mesh: Mesh | None) -> None:
    """Raises InputError where pictures are not uint8 [b, h, w, c] with b above 0, or cannot be cut over the devices."""
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise InputError(f"pictures are {images.dtype} {images.shape}: expected uint8 [b, h, w, c], b above 0")
    if len(images) != rounded_up(len(images), mesh):
        devices = rounded_up(1, mesh)
        raise InputError(f"{len(images)} pictures in a batch: expected a multiple of the {devices} devices")
