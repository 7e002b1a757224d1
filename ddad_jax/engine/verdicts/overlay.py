"""What was found, drawn on the picture itself: heat above the threshold, contours of it and of the true defect."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ddad_jax.engine.figures.grid import MAPS
from ddad_jax.errors import InputError
from ddad_jax.vision.regions import Region, regions

FOUND, TRUTH = (0, 114, 178), (240, 228, 66)
"""RGB of the contours: what was found, and the true mask; of the palette of Okabe and Ito."""


def overlay(
    picture: np.ndarray,
    anomaly_map: Any,
    threshold: float,
    found: Sequence[Region],
    mask: Any = None,
    *,
    top: float | None = None,
    opacity: float = 0.45,
) -> np.ndarray:
    """The picture with the map's colours where it exceeds the threshold, and contours over them.

    Args:
        picture: uint8 [H, W, 3], RGB, at any size; it is not changed.
        anomaly_map: [h, w], stretched over the picture; finite, or -inf where nothing was judged.
        threshold: of pixels; nothing is coloured below it.
        found: ``regions(anomaly_map, threshold, size=(H, W))``, in pixels of the picture.
        mask: bool [h, w], the true defect, stretched likewise; None: not known.
        top: value with the hottest colour; None: the map's largest.
        opacity: of the colours, in [0, 1].

    Returns uint8 [H, W, 3].
    Raises InputError for a picture that is not uint8 RGB.
    """
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise InputError(f"picture is {picture.dtype} {picture.shape}: expected uint8 [H, W, 3]")
    height, width = picture.shape[:2]
    drawn = _heated(picture, np.asarray(anomaly_map, np.float32), threshold, top, opacity)
    thick = max(2, round(max(height, width) / 300))
    if mask is not None and np.any(mask):
        true = regions(np.asarray(mask, np.float32), 0.5, size=(height, width))
        _outline(drawn, true, TRUTH, thick)
    _outline(drawn, found, FOUND, thick)
    return drawn


def _heated(
    picture: np.ndarray, anomaly_map: np.ndarray, threshold: float, top: float | None, opacity: float
) -> np.ndarray:
    height, width = picture.shape[:2]
    if not (anomaly_map > threshold).any():
        return picture.copy()
    low = threshold if np.isfinite(threshold) else float(anomaly_map[np.isfinite(anomaly_map)].min())
    hottest = float(anomaly_map.max())
    # What was not judged is as far below the threshold as the hottest pixel is above it, so that the edge lies between.
    least = low - max(hottest - low, 1e-6)
    wide = cv2.resize(np.maximum(anomaly_map, least), (width, height), interpolation=cv2.INTER_LINEAR)
    hot, high = wide > threshold, hottest if top is None else top
    level = np.clip((wide[hot] - low) / max(high - low, 1e-12), 0, 1)
    # The dark end of the colours would look like a shadow.
    colours = 255 * np.asarray(MAPS(0.35 + 0.6 * level))[:, :3]
    drawn = picture.copy()
    drawn[hot] = np.rint((1 - opacity) * picture[hot] + opacity * colours)
    return drawn


def _outline(drawn: np.ndarray, found: Sequence[Region], colour: tuple[int, int, int], thick: int) -> None:
    # Fractions of a pixel as OpenCV takes them: fixed point with four bits.
    lines = [np.rint(16 * line).astype(np.int32)[:, None] for r in found for line in (r.contour, *r.holes)]
    for ink, width in (((255, 255, 255), thick + 2), (colour, thick)):
        cv2.polylines(drawn, lines, True, ink, width, cv2.LINE_AA, 4)
