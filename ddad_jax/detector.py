"""L5. A detector in use: one point, its calibration, and one program from pictures to maps and scores."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.data.batches import image_seed
from ddad_jax.distance import feature_distance
from ddad_jax.errors import InputError
from ddad_jax.first_pass import FIRST_PASS_UPSAMPLING, SIGMA, First, first_pass, start_times
from ddad_jax.mesh import copied, own_rows
from ddad_jax.pair_program import PairInput, PairProgram, pair_input, require_mask, way_of
from ddad_jax.picture_program import Detection, PictureProgram, on_device, require_batch
from ddad_jax.points import GridKey, ReconPoint, ScorePoint, time_grid
from ddad_jax.score import Spread, anomaly_map, image_score, maps_and_scores
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array


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


class Detector(PictureProgram):
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
        self._risen = self._times_by_rank()
        # A layer's 1 - cos of features that hardly differ is rounding and nothing else. A model that was hardly trained
        # scored a picture 11 x 2^-24, and in another program 12 x 2^-24.
        self.rounding = 4 * float(np.finfo(np.float32).eps) * len(score.layers)
        super().__init__(program.weights, copied(jax.tree.map(on_device, calibration), program.mesh), program.mesh)

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
        _, pixel, layers = self.program.function(weights, pairs, **way_of(self.point))
        d_f = feature_distance(layers, self.score.layers, pixel.shape[1], upsampling=self.score.upsampling)
        return detection(pixel, d_f, calibration, score=self.score, crop=self.crop)

    def _rising(self, weights: object, pairs: PairInput, first: First) -> TimeGrid:
        """The times of each of p pictures by a first pass: start [p], t and s [K, p]."""
        once, p = first_pass(self.point), pairs.images.shape[0]
        start: Any = [jnp.broadcast_to(jnp.asarray(a)[..., None], (*a.shape, p)) for a in time_grid(once)]
        called = pairs._replace(grid=TimeGrid(*start), eta=jnp.full_like(pairs.eta, once.eta))
        _, pixel, layers = self.program.function(weights, called, **way_of(once))
        d_f = feature_distance(layers, tuple(sorted(layers)), pixel.shape[1], upsampling=FIRST_PASS_UPSAMPLING)
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
        require_batch(images, mesh)
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

    def repeated(self, one: PairInput, pictures: Array, seeds: Array) -> PairInput:
        """The pairs of ``pictures``, in everything else as that one; rows are the last axis of all other arrays."""

        def rows(array: np.ndarray) -> Array:
            return jnp.broadcast_to(jnp.asarray(array), (*array.shape[:-1], pictures.shape[0]))

        watched = one.watched
        if watched is not None:
            watched = jnp.broadcast_to(jnp.asarray(watched), (pictures.shape[0], *watched.shape[1:]))
        others = jax.tree.map(rows, one._replace(images=None, watched=None))  # type: ignore[arg-type]
        return others._replace(images=pictures, image_seed=seeds, watched=watched)
