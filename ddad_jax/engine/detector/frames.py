"""A finished run in use: frames of any size in, verdicts and maps out."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ddad_jax.data.batches import padded_batches
from ddad_jax.data.read import resized
from ddad_jax.engine.data.data_sets import picture_size
from ddad_jax.engine.detector.load import DetectorParts, evaluation_command, read_detector_parts
from ddad_jax.engine.methods.measured import Constants
from ddad_jax.engine.sweep.selected import CONSTANTS_FILE
from ddad_jax.errors import InputError
from ddad_jax.pair_program import require_mask
from ddad_jax.score import maps_and_scores
from ddad_jax.vision.regions import Region, regions
from ddad_jax.vision.registration import reference_of, register, warped
from ddad_jax.vision.tiles import cut, stitch, tiling

# --- A map of what the model was shown, laid over the frame it was made of.


def uncropped(anomaly: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The map of the middle of a picture in a map of all of it, of ``size`` (height, width); -inf where nothing was
    judged."""
    if anomaly.shape == tuple(size):
        return anomaly
    whole = np.full(size, -np.inf, np.float32)
    top, left = ((whole_side - side) // 2 for whole_side, side in zip(size, anomaly.shape, strict=True))
    whole[top : top + anomaly.shape[0], left : left + anomaly.shape[1]] = anomaly
    return whole


def in_frame(
    anomaly: np.ndarray, homography: np.ndarray, frame: tuple[int, int], reference: tuple[int, int]
) -> np.ndarray:
    """A map of a registered picture -> of the frame itself, of the same size.

    Args:
      anomaly: float32 [h, w], stretched over the reference; -inf where nothing was judged.
      homography: float64 [3, 3], pixels (x, y) of the frame -> of the reference.
      frame, reference: (height, width) of both in pixels.

    Returns:
      float32 [h, w], to be stretched over the frame; -inf also where the frame shows what the reference does not.
    """
    height, width = anomaly.shape
    to_reference = (
        np.linalg.inv(_stretched((height, width), reference)) @ homography @ _stretched((height, width), frame)
    )
    judged = np.isfinite(anomaly)
    if not judged.any():
        return anomaly
    filled = np.where(judged, anomaly, anomaly[judged].min()).astype(np.float32)
    # The matrix leads from the result to where its pixels come from, which is what the flag says.
    moved = cv2.warpPerspective(
        filled,
        to_reference,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    there = cv2.warpPerspective(
        judged.astype(np.uint8), to_reference, (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    return np.where(there > 0, moved, -np.inf).astype(np.float32)


def _stretched(of: tuple[int, int], over: tuple[int, int]) -> np.ndarray:
    """Pixels (x, y) of a map -> of the picture it is stretched over; centres lie at whole numbers in both."""
    down, right = over[0] / of[0], over[1] / of[1]
    return np.array([[right, 0.0, 0.5 * right - 0.5], [0.0, down, 0.5 * down - 0.5], [0.0, 0.0, 1.0]])


class Judged(NamedTuple):
    """Of one frame.

    score: of the picture; above ``threshold`` it is anomalous. map: float32 [h, w], to be stretched over the whole
    frame, -inf where nothing was judged; pixels above ``pixel_threshold`` are anomalous. registered: whether the frame
    was brought onto the model's reference; None for a model without one. size: (height, width) of the frame in pixels.
    """

    score: float
    threshold: float
    anomalous: bool
    map: np.ndarray
    pixel_threshold: float
    registered: bool | None
    size: tuple[int, int]

    def regions(self, *, min_area: float = 0.0) -> list[Region]:
        """What of the frame is above ``pixel_threshold``, the highest peak first; boxes, contours (x, y) and areas in
        pixels of the frame.

        Args:
          min_area: smaller regions are left out, in pixels of the frame.
        """
        return regions(self.shown.map, self.pixel_threshold, min_area=min_area, size=self.size)

    @property
    def shown(self) -> "Judged":
        """The same with a map that can be drawn: one that is no number has no places to show, and its frame counts as
        anomalous all the same."""
        return self._replace(map=np.nan_to_num(self.map, nan=-np.inf, posinf=-np.inf, neginf=-np.inf))


class PreparedFrame(NamedTuple):
    """A frame as the model takes it. picture: uint8 [h, w, 3], of the model's size. back: a map of that picture -> in
    the frame's geometry. registered, size: as of ``Judged``."""

    picture: np.ndarray
    back: Callable[[np.ndarray], np.ndarray]
    registered: bool | None
    size: tuple[int, int]


class FrameDetector:
    """Frames -> verdicts, those that an evaluation of the run gives the same pictures.

    Args:
      run: the finished run. batch: pictures, or tiles of them, in one call of the compiled program; the last batch is
        padded.

    Attributes:
      model_id: of weights, point and calibration. threshold, pixel_threshold: of ``Judged``. size: side of the
        network's pictures in pixels. batch: as given. detector: the program of the method. tiling: None without tiles.

    Raises:
      InputError: a batch that is no whole number above 0; a model that masks or registers without the mask or the
        reference.
    """

    def __init__(self, run: DetectorParts, *, batch: int) -> None:
        if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
            raise InputError(f"batch = {batch!r}: expected a whole number, at least 1 picture in a call")
        self.run, self.batch, self.size = run, int(batch), int(run.config.data.size)
        self.model_id = run.model_id
        self.threshold = float(run.calibration["threshold"])
        self.pixel_threshold = float(run.calibration["pixel_threshold"])
        point, c, kept = run.point, run.config, run.constants
        if point.masks:
            require_mask(kept.watched)
        self.tiling = tiling(picture_size(c.data), self.size, c.data.overlap) if c.data.picture else None
        self._reference = None
        if kept.reference is not None:
            try:
                self._reference = reference_of(kept.reference)
            except InputError as error:
                again = evaluation_command(run.workdir)
                raise InputError(
                    f"{run.workdir / CONSTANTS_FILE}: {error}; set --config.view.reference and {again}"
                ) from None
        self._tile_masks = None
        if self.tiling:
            # What is measured over whole maps waits until the tiles are put together.
            if point.masks_before and kept.watched is not None:
                self._tile_masks = cut(kept.watched[None], self.tiling)
            point = point._replace(cheap=point.cheap._replace(standardise=False, mask_after=False))
            kept = Constants(own=kept.own)
        crop = int(run.calibration["crop"])
        self.detector = run.fitted.detector(point, run.calibration, kept, crop=crop)

    def warm(self) -> None:
        """Compile, so that the first frame need not wait for it."""
        shape = self.batch, self.size, self.size
        watched = None if self._tile_masks is None else np.ones(shape, bool)
        self.detector.compiled(self.detector.place(np.zeros((*shape, 3), np.uint8), watched=watched))

    def __call__(self, frames: Sequence[np.ndarray]) -> list[Judged]:
        """A verdict a frame, in order.

        Args:
          frames: uint8 [H, W, 3] each, RGB, of any sizes.

        Raises:
          InputError: a frame that is something else.
        """
        seen = [self.seen(require_frame(frame, i)) for i, frame in enumerate(frames)]
        if not seen:
            return []
        found = []
        maps, scores = self._detected(np.stack([one.picture for one in seen]))
        for one, anomaly, score in zip(seen, maps, scores.tolist(), strict=True):
            # A score that is not a number is no reason to let a picture pass.
            anomalous = not score <= self.threshold
            whole = one.back(uncropped(anomaly, one.picture.shape[:2]))
            found.append(
                Judged(score, self.threshold, anomalous, whole, self.pixel_threshold, one.registered, one.size)
            )
        return found

    def seen(self, frame: np.ndarray) -> PreparedFrame:
        """The frame as the data of the run were prepared: brought onto the reference where there is one, resized."""
        size, own = picture_size(self.run.config.data), frame.shape[:2]
        reference = self.run.constants.reference
        if self._reference is None or reference is None:
            return PreparedFrame(resized(frame, size), lambda anomaly: anomaly, None, own)
        registration = register(frame, self._reference)
        if not registration.accepted or registration.homography is None:
            return PreparedFrame(resized(frame, size), lambda anomaly: anomaly, False, own)
        onto, moved = reference.shape[:2], registration.homography

        def back(anomaly: np.ndarray) -> np.ndarray:
            return in_frame(anomaly, moved, own, onto)

        return PreparedFrame(resized(warped(frame, registration, onto), size), back, True, own)

    def _detected(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Maps and scores of pictures [n, h, w, 3] of the model's size."""
        if self.tiling is None:
            return self._computed(pictures)
        score, kept = self.run.point.cheap, self.run.constants
        spread = kept.spread if score.standardise else None
        watched = kept.watched if score.mask_after else None
        found = []
        for picture in pictures:  # one at a time: a large picture has hundreds of tiles
            of_tiles, _ = self._computed(cut(picture[None], self.tiling), self._tile_masks)
            found.append(maps_and_scores(stitch(of_tiles, self.tiling), spread=spread, watched=watched))
        maps, scores = zip(*found, strict=True)
        return np.concatenate(maps), np.concatenate(scores)

    def _computed(self, pictures: np.ndarray, watched: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        maps, scores = [], []
        for at, valid in padded_batches(len(pictures), self.batch):
            found = self.detector(pictures[at], watched=None if watched is None else watched[at])
            maps.append(np.asarray(found.maps)[valid])
            scores.append(np.asarray(found.scores)[valid])
        return np.concatenate(maps), np.concatenate(scores)


def detector_of(workdir: str | os.PathLike[str], *, batch: int) -> FrameDetector:
    """The detector of a finished run.

    Args:
      workdir: of ``experiments.evaluate`` or ``experiments.sweep``; its data set is not needed.
      batch: pictures in one call.

    Raises:
      InputError: as ``load.read_detector_parts`` and ``FrameDetector``.
    """
    if not isinstance(workdir, (str, os.PathLike)):
        raise InputError(f"workdir = {workdir!r}: expected the path of a finished run's folder")
    return FrameDetector(read_detector_parts(Path(workdir)), batch=batch)


def require_frame(frame: np.ndarray, i: int) -> np.ndarray:
    """The frame; InputError where it is no picture."""
    if not (isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3):
        told = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise InputError(f"frame {i} is {told}: expected uint8 [H, W, 3], RGB")
    if not frame.size:
        raise InputError(f"frame {i} is {frame.shape}: expected at least one pixel")
    return frame
