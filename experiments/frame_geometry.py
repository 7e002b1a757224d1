"""A map of what the model was shown, laid over the frame it was made of."""

import cv2
import numpy as np


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
