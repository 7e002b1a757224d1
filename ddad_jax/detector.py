"""L5. A detector in use: one point, its calibration, and one program from pictures to maps and scores."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.data.batches import image_seed
from ddad_jax.distance import feature_distance
from ddad_jax.errors import InputError
from ddad_jax.first_pass import SIGMA, First, first_pass, start_times
from ddad_jax.mesh import copied, jit_rows, own_rows, rounded_up
from ddad_jax.points import GridKey, ReconPoint, ScorePoint, time_grid
from ddad_jax.score import Spread, anomaly_map, image_score, maps_and_scores
from ddad_jax.sweep import PairInput, PairProgram, pair_input, require_mask
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array


class Detection(NamedTuple):
    """Of b pictures. maps: float32 [b, h, w], cropped as asked for. scores: float32 [b], each map's largest value."""

    maps: Array
    scores: Array


class Calibration(NamedTuple):
    """What a score needs from held-out normal images, for the caller to keep with the model.

    ratio: r of ``score.combine``, > 0. spread: of their maps before the crop, for points that standardise. first: their
    first pass, for points with ``rise``; without it the caller says where each picture starts. watched: bool [h, w],
    what of a picture is judged, for points that mask. None for other points.
    """

    ratio: float = 1.0
    spread: Spread | None = None
    first: First | None = None
    watched: np.ndarray | None = None


def detection(d_p: Array, d_f: Array, calibration: Calibration, *, score: ScorePoint, crop: int = 0) -> Detection:
    """From both distances [b, h, w] at the pictures' size to maps and scores: combined, blurred once, standardised
    and masked where ``score`` says so, cropped."""
    weights: Any = {"v": score.v, "feature_weight": score.feature_weight}
    maps = anomaly_map(d_p, d_f, ratio=calibration.ratio, sigma=score.sigma, **weights)
    spread = calibration.spread if score.standardise else None
    watched = calibration.watched if score.mask_after else None
    return Detection(*maps_and_scores(maps, spread=spread, watched=watched, crop=crop))


def _constant(value: Any) -> Array:
    """Numbers in float32; what is watched is no number."""
    return jnp.asarray(value, bool if np.asarray(value).dtype == bool else jnp.float32)


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
      InputError: a point that standardises without a spread, a first pass of a point that needs none, or an optimised
        grid that is not among ``optimised``.
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
        if calibration.first is not None and not point.rise:
            raise InputError("rise = 0: expected no first pass in the calibration, every picture starts at T'")
        if score.mask_after:
            require_mask(calibration.watched)
        self.program, self.point, self.score, self.crop = program, point, score, crop
        self.calibration = calibration
        self._optimised, self._grid = optimised, time_grid(point, optimised)
        self.constants = copied(jax.tree.map(_constant, calibration), program.mesh)
        self._risen = self._times_by_rank()
        self._detect = jit_rows(self.function, program.mesh)
        self._compiled: dict[tuple[int, ...], Callable[..., Detection]] = {}

    def _times_by_rank(self) -> TimeGrid | None:
        """The times of a picture whose first pass scores above k of the m normal ones, k = 0 .. m: start [m + 1], t and
        s [K, m + 1]."""
        first = self.calibration.first
        if first is None:
            return None
        m = len(first.scores)
        starts = start_times(self.point, np.arange(m + 1) / m)
        grids = [time_grid(self.point, self._optimised, start=int(start)) for start in starts]
        return TimeGrid(*(np.stack(values, -1) for values in zip(*grids, strict=True)))

    def function(self, weights: object, pairs: PairInput, calibration: Calibration) -> Detection:
        """The program itself, not compiled, for a caller that compiles or exports it.

        Args:
          weights: as those of the program it was given. pairs: what ``place`` gives. calibration: as ``constants``.
        """
        if calibration.first is not None:
            pairs = pairs._replace(grid=self._rising(weights, pairs, calibration.first))
        _, pixel, layers = self.program.function(weights, pairs, self.point.solver, self.point.reuse)
        d_f = feature_distance(layers, self.score.layers, pixel.shape[1])
        return detection(pixel, d_f, calibration, score=self.score, crop=self.crop)

    def _rising(self, weights: object, pairs: PairInput, first: First) -> TimeGrid:
        """The times of each of p pictures by a first pass: start [p], t and s [K, p]."""
        once, p = first_pass(self.point), pairs.images.shape[0]
        start: Any = [jnp.broadcast_to(jnp.asarray(a)[..., None], (*a.shape, p)) for a in time_grid(once)]
        called = pairs._replace(grid=TimeGrid(*start), eta=jnp.full_like(pairs.eta, once.eta))
        _, pixel, layers = self.program.function(weights, called, once.solver, once.reuse)
        d_f = feature_distance(layers, tuple(sorted(layers)), pixel.shape[1])
        scores = image_score(anomaly_map(pixel, d_f, v=1.0, ratio=first.ratio, sigma=SIGMA * pixel.shape[1]))
        rank = jnp.searchsorted(jnp.asarray(first.scores), scores, side="left")
        # A score that is no number is not unusual.
        rank = jnp.where(jnp.isfinite(scores), rank, 0)
        assert self._risen is not None
        risen: Any = [jnp.asarray(table)[..., rank] for table in self._risen]
        return TimeGrid(*risen)

    def __call__(
        self, images: np.ndarray, starts: np.ndarray | None = None, watched: np.ndarray | None = None
    ) -> Detection:
        """Maps and scores, on the devices.

        Args:
          images: uint8 [b, h, w, c], all of the batch in every process; another b is another compilation, so pad the
            last batch.
          starts: T' of each picture, int [b], for a point with ``rise`` whose calibration has no first pass
            (``first_pass.start_times``).
          watched: of each picture, bool [b, h, w], for a point that masks before; None: as the calibration says for
            all.

        Raises:
          InputError: not uint8, a batch that cannot be cut over the devices, starts that are missing or not asked for.
        """
        pairs = self.place(images, starts, watched)
        return self.compiled(pairs)(pairs)

    def place(
        self, images: np.ndarray, starts: np.ndarray | None = None, watched: np.ndarray | None = None
    ) -> PairInput:
        """The pictures of ``__call__``, with the noise seed of each, on the devices."""
        return self.program.place(self.pairs(images, starts, watched))

    def pairs(
        self, images: np.ndarray, starts: np.ndarray | None = None, watched: np.ndarray | None = None
    ) -> PairInput:
        """The same on the host: those of this process."""
        images, mesh = np.asarray(images), self.program.mesh
        if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
            raise InputError(f"pictures are {images.dtype} {images.shape}: expected uint8 [b, h, w, c], b above 0")
        if len(images) != rounded_up(len(images), mesh):
            devices = rounded_up(1, mesh)
            raise InputError(f"{len(images)} pictures in a batch: expected a multiple of the {devices} devices")
        told = self.point.rise > 0 and self.calibration.first is None
        if (starts is not None) != told:
            said = f"rise = {self.point.rise}: expected starts"
            found = "the first pass finds them" if self.point.rise else "one T' for all"
            raise InputError(f"{said}, a T' for each picture" if told else f"{said} = None, {found}")
        own = own_rows(len(images), mesh)
        if starts is None:
            grids = [self._grid] * len(images[own])
        else:
            if len(starts) != len(images):
                raise InputError(f"starts of {len(starts)} pictures: expected {len(images)}, one T' each")
            grids = [time_grid(self.point, self._optimised, start=int(start)) for start in starts[own]]
        seeds = np.array([image_seed(image) for image in images[own]], np.uint32)
        if watched is None and self.calibration.watched is not None:
            watched = np.broadcast_to(self.calibration.watched, images.shape[:3])
        seen = None if watched is None else watched[own]
        return pair_input([self.point] * len(grids), grids, images[own], seeds, seen)

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
