"""L1. Whether the pixels of a file are a mask's or a photograph's: for files whose names leave it open.

A mask has few levels, black among them, in areas without texture; what is not flat lies at their edges. A photograph
has noise and shades, and its dark background, however black, holds an object that has them.
"""

from pathlib import Path

import cv2
import numpy as np

from ddad_jax.data.read import LOSSY_SUFFIXES, Source, read_full

LEVELS = 24
"""That the flat areas of a mask have at most: black, up to 16 classes, and what compression adds to each."""
STEP = 8
"""Grey values by which neighbours in a flat area differ at most."""
COLOURS = 64
"""Different ones that a colour mask has at most, where it is not compressed."""


def looks_like_mask(source: Source) -> bool:
    """Whether the file could be a mask.

    Raises:
      InputError: it cannot be read.
    """
    pixels = read_full(source)
    brightest = pixels.max(-1)
    shades, texture = _shades_and_texture(brightest)
    coloured = int((brightest - pixels.min(-1)).max()) > STEP
    if coloured and Path(str(source)).suffix.lower() not in LOSSY_SUFFIXES:
        packed = pixels.reshape(-1, 3).astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
        shades += LEVELS * (len(np.unique(packed)) > COLOURS)
    thin = (brightest >= STEP).mean() < 0.05  # a scratch has hardly anything flat
    return bool(brightest.min() < STEP) and shades <= LEVELS and (texture <= 0.5 or bool(thin))


def is_textured(values: np.ndarray, full_scale: float) -> bool:
    """Whether grey values [h, w] are those of a photograph all over, such as a copy of the picture in the place of its
    mask; a mask that was blurred, resized or compressed is not."""
    grey = np.round(values * (255 / full_scale)).astype(np.uint8)
    return bool((grey >= STEP).mean() > 0.1) and _shades_and_texture(grey)[1] > 0.5


def _shades_and_texture(grey: np.ndarray) -> tuple[int, float]:
    """Of uint8 [h, w]: how many levels its flat areas have, specks left out; and which share of what is not black lies
    far from anything flat."""
    square = np.ones((3, 3), np.uint8)
    flat = (cv2.dilate(grey, square) - cv2.erode(grey, square)) <= STEP
    near = cv2.dilate(flat.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    drawn = grey >= STEP
    texture = float((drawn & ~near).sum() / max(drawn.sum(), 1))
    counts = np.bincount(grey[flat], minlength=1)
    return int((counts > max(2, 0.001 * grey.size)).sum()), texture
