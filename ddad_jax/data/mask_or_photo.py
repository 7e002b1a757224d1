"""L1. Whether the pixels of a file are a mask's or a photograph's: for files whose names leave it open.

A mask has few levels, black among them, in areas without texture; what is not flat lies at their edges. A photograph
has noise and shades, and its dark background, however black, holds an object that has them.
"""

from pathlib import Path

import numpy as np

from ddad_jax.data.mask_values import STEP, shades_and_texture
from ddad_jax.data.read import LOSSY_SUFFIXES, Source, read_full

LEVELS = 24
"""That the flat areas of a mask have at most: black, up to 16 classes, and what compression adds to each."""
COLOURS = 64
"""Different ones that a colour mask has at most, where it is not compressed."""


def looks_like_mask(source: Source) -> bool:
    """Whether the file could be a mask.

    Raises:
      InputError: it cannot be read.
    """
    pixels = read_full(source)
    brightest = pixels.max(-1)
    shades, texture = shades_and_texture(brightest)
    coloured = int((brightest - pixels.min(-1)).max()) > STEP
    if coloured and Path(str(source)).suffix.lower() not in LOSSY_SUFFIXES:
        packed = pixels.reshape(-1, 3).astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
        shades += LEVELS * (len(np.unique(packed)) > COLOURS)
    thin = (brightest >= STEP).mean() < 0.05  # a scratch has hardly anything flat
    return bool(brightest.min() < STEP) and shades <= LEVELS and (texture <= 0.5 or bool(thin))
