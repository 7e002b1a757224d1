"""L1. Whether a frame is worth keeping: sharp, well exposed, and not the one before once more.

The figures beside the thresholds were measured on what a station may see: 40 frames of a video of bottles on a bench
(one a second), 31 photographed cookies, 300 magnetic tiles, 51 hazelnuts, and the simulated station (three products at
64, 128 and 256 px, in normal and in hard light). Nothing of them was chosen by what a detector makes of a frame.
"""

from typing import NamedTuple

import cv2
import numpy as np

SIDE = 64
"""Longer side of the picture that sharpness is measured on, pixels: the smallest that the networks here see."""
CELLS = 16
"""Cells along each side that two frames are compared in."""
BRIGHT, DARK = 250, 32
"""Grey levels from which, and up to which, a pixel says nothing; with gamma 2.2, 32 is a hundredth of full light."""


class Quality(NamedTuple):
    """What was measured of a frame."""

    sharpness: float
    over: float
    under: float
    difference: float
    """To the frame before; NaN where there is none."""


def sharpness(rgb: np.ndarray, *, side: int | None = SIDE, relative: bool = True) -> float:
    """Variance of the Laplacian over the variance of the picture, both on its grey values at one small size:

    s = Var(Laplace(g)) / (Var(g) + 1e-6), g in [0, 1].

    The size makes pictures of different resolution comparable (the same station at 64, 128 and 256 px: medians 0.70,
    0.57, 0.75), the ratio makes light and contrast cancel. Only blur wider than about a pixel of that size is seen,
    1/64 of the picture; a larger ``side`` sees finer blur, and needs a threshold of its own.

    Args:
      rgb: uint8 [h, w, 3].
      side: longer side of the small picture, pixels; a smaller one is enlarged. None: the picture's own size.
      relative: divide by the variance of the picture.
        Deviation: the published measure is the variance of the Laplacian alone, of the picture as it is (side=None,
        relative=False), which no threshold fits: it grows with contrast and light and falls with resolution.

    Returns:
      At least 0; of noise alone about 20, of a flat picture 0.

    Source: variance of the Laplacian as a measure of focus, Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy" (2000).
    """
    grey = _grey(rgb)
    scale = 1.0 if side is None else side / max(grey.shape)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(grey, size, interpolation=method).astype(np.float64) / 255
    change = float(cv2.Laplacian(small, cv2.CV_64F).var())
    return change / float(small.var() + 1e-6) if relative else change


def over_exposed(rgb: np.ndarray) -> float:
    """Share of pixels, in [0, 1], whose three channels are all at least ``BRIGHT``: white for certain, as a saturated
    colour is not. rgb: uint8 [h, w, 3]."""
    return float(np.mean(rgb.min(axis=2) >= BRIGHT))


def under_exposed(rgb: np.ndarray) -> float:
    """Share of pixels, in [0, 1], whose three channels are all at most ``DARK``. rgb: uint8 [h, w, 3]."""
    return float(np.mean(rgb.max(axis=2) <= DARK))


def difference(rgb: np.ndarray, before: np.ndarray) -> float:
    """The greatest change of mean grey in any of 16 x 16 cells, as a share of full scale.

    d = max over cells |mean(a) - mean(b)| / 255

    Not a perceptual hash: its distance counts signs, knows no unit, and does not see a small new thing, which for a
    detector is all that matters. A mean over the whole picture dilutes it likewise; a maximum over pixels is noise.

    Args:
      rgb, before: uint8 [h, w, 3]; of different sizes they have nothing in common.

    Returns:
      In [0, 1]; 1 for frames of different sizes.
    """
    if rgb.shape != before.shape:
        return 1.0
    return float(np.abs(_cells(rgb) - _cells(before)).max() / 255)


def measured(rgb: np.ndarray, before: np.ndarray | None) -> Quality:
    """All of the above. rgb: uint8 [h, w, 3]; before: the last kept frame, or None."""
    changed = float("nan") if before is None else difference(rgb, before)
    return Quality(sharpness(rgb), over_exposed(rgb), under_exposed(rgb), changed)


def flags(
    quality: Quality,
    *,
    least_sharpness: float = 0.1,
    most_over: float = 0.03,
    most_under: float = 0.5,
    least_difference: float = 0.06,
) -> tuple[str, ...]:
    """What is wrong with a frame: any of "blurred", "over", "under", "duplicate"; none of a good one.

    Args:
      least_sharpness: below is blurred. Sharp: bottles from 0.36, cookies 0.69, station 0.48, tiles 0.118 (hardly any
        texture), hazelnuts 0.112. The same blurred with a standard deviation of 1/64 of their side: at most 0.078,
        0.069, 0.097, and 0.30 for tiles, some of which are all noise.
      most_over: above is over-exposed. Highlights of cans take at most 0.009, in hard light 0.014, elsewhere 0.0004;
        the station at 2, 2.5 and 3 times its light 0.02, 0.04 and 0.06.
      most_under: above is under-exposed. At most 0.19 (a dark tile); a photograph at a fifth of its grey levels 0.64 to
        0.99, the station at 2 % of its light 0.50. Set it to 1 where the background is black.
      least_difference: below is a duplicate. Of a disk that stands still, with the station's shaking and fourfold
        noise, at most 0.059; one that turned by 12 degrees, at least 0.078; a dark spot of 1/32 of the side, 0.18.
        1.2 degrees are mostly a duplicate (0.016 to 0.09).
    """
    found = {
        "blurred": quality.sharpness < least_sharpness,
        "over": quality.over > most_over,
        "under": quality.under > most_under,
        "duplicate": quality.difference < least_difference,  # never of NaN
    }
    return tuple(name for name, true in found.items() if true)


def _grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)


def _cells(rgb: np.ndarray) -> np.ndarray:
    return cv2.resize(_grey(rgb).astype(np.float64), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
