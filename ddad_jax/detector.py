"""L5. A detector in use: one point, its calibration, and one compiled program from pictures to maps and scores."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.data.batches import image_seed
from ddad_jax.distance import feature_distance
from ddad_jax.errors import InputError
from ddad_jax.image import centre_crop
from ddad_jax.mesh import copied, jit_rows, own_rows, rounded_up
from ddad_jax.points import GridKey, ReconPoint, ScorePoint, time_grid
from ddad_jax.score import Spread, anomaly_map, image_score, in_spreads
from ddad_jax.sweep import PairInput, PairProgram, pair_input
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array


class Detection(NamedTuple):
    """Of b pictures. maps: float32 [b, h, w], cropped as asked for. scores: float32 [b], each map's largest value."""

    maps: Array
    scores: Array


class Calibration(NamedTuple):
    """What a score needs from held-out normal images, for the caller to keep with the model. ratio: r of
    ``score.combine``, > 0. spread: of their maps before the crop, for points that standardise; None for others."""

    ratio: float = 1.0
    spread: Spread | None = None


def detection(d_p: Array, d_f: Array, calibration: Calibration, *, score: ScorePoint, crop: int = 0) -> Detection:
    """From both distances [b, h, w] at the pictures' size to maps and scores: combined, blurred once, standardised
    where ``score`` says so, cropped."""
    maps = anomaly_map(d_p, d_f, v=score.v, ratio=calibration.ratio, sigma=score.sigma)
    if score.standardise and calibration.spread is not None:
        maps = in_spreads(maps, calibration.spread)
    if crop:
        maps = centre_crop(maps, crop)
    return Detection(maps, image_score(maps))


class Detector:
    """Pictures -> anomaly maps and image scores; nothing else leaves the device.

    The maps are those of a sweep at this point (``sweep_distances``, ``blurred``, ``combine``, ``standardise``) within
    rounding. Distances are blurred once, behind their sum, and features that no layer of the score needs are not
    computed. Compiled once a batch size.

    Args:
      program: networks, weights, clip and devices, as for a sweep.
      point: how pictures are reconstructed. score: how maps are made of the distances.
      calibration: of this point, from held-out normal images.
      crop: side of the centre that is kept and scored, in pixels; 0 for everything.
      optimised: the grids found for the model, where the point visits one.

    Raises:
      InputError: a point that standardises without a spread, or an optimised grid that is not among ``optimised``.
    """

    def __init__(
        self,
        program: PairProgram,
        point: ReconPoint,
        score: ScorePoint,
        calibration: Calibration,
        *,
        crop: int = 0,
        optimised: Mapping[GridKey, TimeGrid] | None = None,
    ) -> None:
        if score.standardise and calibration.spread is None:
            raise InputError(
                "standardise = True: expected the spread of held-out normal maps in the calibration "
                "(score.normal_spread), got none"
            )
        self.program, self.point, self.score, self.crop = program, point, score, crop
        self._optimised, self._grid = optimised, time_grid(point, optimised)
        self.constants = copied(jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), calibration), program.mesh)

        def detect(weights: object, pairs: PairInput, calibration: Calibration) -> Detection:
            _, pixel, layers = program.function(weights, pairs, point.solver, point.reuse)
            d_f = feature_distance(layers, score.layers, pixel.shape[1])
            return detection(pixel, d_f, calibration, score=score, crop=crop)

        self._detect = jit_rows(detect, program.mesh)
        self._compiled: dict[tuple[int, ...], Callable[..., Detection]] = {}

    def __call__(self, images: np.ndarray, starts: np.ndarray | None = None) -> Detection:
        """Maps and scores, on the devices.

        Args:
          images: uint8 [b, h, w, c], all of the batch in every process; another b is another compilation, so pad the
            last batch.
          starts: T' of each picture, int [b], for a point with ``rise`` (``first_pass.start_times``).

        Raises:
          InputError: not uint8, a batch that cannot be cut over the devices, or a point with ``rise`` without starts.
        """
        pairs = self.place(images, starts)
        return self.compiled(pairs)(pairs)

    def place(self, images: np.ndarray, starts: np.ndarray | None = None) -> PairInput:
        """The pictures of ``__call__``, with the noise seed of each, on the devices."""
        images, mesh = np.asarray(images), self.program.mesh
        if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
            raise InputError(f"pictures are {images.dtype} {images.shape}: expected uint8 [b, h, w, c], b above 0")
        if len(images) != rounded_up(len(images), mesh):
            devices = rounded_up(1, mesh)
            raise InputError(f"{len(images)} pictures in a batch: expected a multiple of the {devices} devices")
        if (starts is None) == (self.point.rise > 0):
            said = f"rise = {self.point.rise}: expected starts"
            raise InputError(f"{said}, a T' for each picture" if starts is None else f"{said} = None, one T' for all")
        own = own_rows(len(images), mesh)
        if starts is None:
            grids = [self._grid] * len(images[own])
        else:
            if len(starts) != len(images):
                raise InputError(f"starts of {len(starts)} pictures: expected {len(images)}, one T' each")
            grids = [time_grid(self.point, self._optimised, start=int(start)) for start in starts[own]]
        seeds = np.array([image_seed(image) for image in images[own]], np.uint32)
        return self.program.place(pair_input([self.point] * len(grids), grids, images[own], seeds))

    def compiled(self, pairs: PairInput) -> Callable[[PairInput], Detection]:
        """The program for the shapes of placed ``pairs``, compiled if it was not before."""
        shape = pairs.images.shape
        if shape not in self._compiled:
            run = self.lowered(pairs).compile()
            self._compiled[shape] = lambda pairs: run(self.program.weights, pairs, self.constants)
        return self._compiled[shape]

    def lowered(self, pairs: PairInput) -> Any:
        """The program for the shapes of placed ``pairs`` before it is compiled, as ``jax.jit(...).lower`` gives it."""
        return self._detect.lower(self.program.weights, pairs, self.constants)
