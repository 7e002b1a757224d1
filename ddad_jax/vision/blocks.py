"""L1. Whether two pictures show the same in the same place, block by block; *host*.

Keypoints propose how a picture lies; blocks of its texture, which had no part in the proposal, judge it and make it
exact. Pictures are levelled first (each pixel in local standard deviations from its local mean), so that a change of
exposure or a slow change of light says nothing.
"""

from typing import NamedTuple

import cv2
import numpy as np

SIDE, STEP = 48, 32
"""Of blocks in pixels, and from one to the next."""
_NOISE = 2.0
"""Grey levels of local spread, after blur, below which texture and noise of a sensor are not told apart."""
_AREA = 20.0
"""Pixels that share their error (blur and interpolation): so many fewer count as independent."""


class Blocks(NamedTuple):
    """Textured blocks of a picture."""

    level: np.ndarray
    """float32 [h, w], the levelled picture."""
    origins: np.ndarray
    """int [n, 2], (x, y) of the first pixel of each block that has texture."""
    gradients: np.ndarray
    """float64 [n, 2, 2], sum over the block of g g^T: along an edge a place is not known, and says so."""

    @property
    def centres(self) -> np.ndarray:
        """float64 [n, 2], (x, y)."""
        return self.origins + (SIDE - 1) / 2


class Agreement(NamedTuple):
    """Of each block with the other picture."""

    offset: np.ndarray
    """float64 [n, 2], (x, y) from the block to where the other picture resembles it most."""
    best: np.ndarray
    """float64 [n], the correlation there, -1 .. 1."""
    here: np.ndarray
    """float64 [n], the correlation in the same place."""
    shown: np.ndarray
    """bool [n], whether the other picture shows the block's place; without it the rest means nothing."""


def levelled(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 [h, w] in local spreads about its local mean, and that spread in grey levels; float32 [h, w]."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5)
    mean = cv2.GaussianBlur(smooth, (0, 0), 12)
    spread = np.sqrt(np.maximum(cv2.GaussianBlur(smooth * smooth, (0, 0), 12) - mean * mean, 0))
    return (smooth - mean) / (spread + _NOISE), spread


def blocks_of(grey: np.ndarray) -> Blocks:
    """The blocks of a picture uint8 [h, w] whose spread is above that of noise."""
    level, spread = levelled(grey)
    across, down = (cv2.Sobel(level, cv2.CV_32F, *axes, scale=1 / 8) for axes in ((1, 0), (0, 1)))
    origins, gradients = [], []
    for y in _places(grey.shape[0]):
        for x in _places(grey.shape[1]):
            block = np.s_[y : y + SIDE, x : x + SIDE]
            if spread[block].mean() >= 0.75 * _NOISE:
                g = np.stack([across[block].ravel(), down[block].ravel()]).astype(np.float64)
                origins.append((x, y))
                gradients.append(g @ g.T)
    return Blocks(level, np.array(origins, int).reshape(-1, 2), np.array(gradients).reshape(-1, 2, 2))


def agreement(blocks: Blocks, other: np.ndarray, shown: np.ndarray, reach: int) -> Agreement:
    """Each block is looked for in another levelled picture within ``reach`` pixels of its place.

    Args:
      other: float32 [h, w]; shown: float32 [h, w], 1 where it has a picture.
      reach: in pixels, at least 1.
    """
    n = len(blocks.origins)
    found = Agreement(np.zeros((n, 2)), np.full(n, -1.0), np.full(n, -1.0), np.zeros(n, bool))
    wide = cv2.copyMakeBorder(other, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    for i, (x, y) in enumerate(blocks.origins):
        if shown[y : y + SIDE, x : x + SIDE].mean() < 0.9:
            continue
        field = wide[y : y + SIDE + 2 * reach, x : x + SIDE + 2 * reach]
        alike = cv2.matchTemplate(field, blocks.level[y : y + SIDE, x : x + SIDE], cv2.TM_CCOEFF_NORMED)
        _, found.best[i], _, (column, row) = cv2.minMaxLoc(alike)
        found.here[i], found.shown[i] = alike[reach, reach], True
        found.offset[i] = column - reach + _top(alike[row], column), row - reach + _top(alike[:, column], row)
    return found


def weight(blocks: Blocks, best: np.ndarray) -> np.ndarray:
    """The inverse covariance of each block's offset, [n, 2, 2]: G / (1 - r^2), less for errors that pixels share.

    Source: Lucas and Kanade, 1981 (how a patch's gradients determine its displacement).
    """
    noise = np.maximum(1 - np.clip(best, 0, 1) ** 2, 0.01) * _AREA
    return blocks.gradients / noise[:, None, None]


def seen_from(back: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A levelled picture in the reference's frame, and 1 where it shows something; float32 [h, w]."""
    size, flags = moved.shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    there = cv2.warpPerspective(np.ones_like(moved), back, size, flags=flags)
    return cv2.warpPerspective(moved, back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), there


def _places(length: int) -> range:
    return range(0, length - SIDE + 1, STEP)


def _top(values: np.ndarray, at: int) -> float:
    """How far the top of a parabola through three values lies from the middle one; 0 at an end."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, here, after = (float(v) for v in values[at - 1 : at + 2])
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
