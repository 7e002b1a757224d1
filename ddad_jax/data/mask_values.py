"""L1. What the grey values of a mask mean: black and white, classes, or one shape with soft edges.

A mask says which pixels are defective, but files say it in several ways, and one threshold reads some of them wrongly:

- plain: 0 and full scale, nothing between;
- classes: a level a kind of defect (85, 170, 255; 1, 2, 3; or 200 alone), areas with sharp edges. Every level but 0 is
  defective, however dark;
- soft edges: one level, and at its edges the greys of antialiasing, resizing or JPEG. What lies above one half of the
  level is defective;
- soft classes: both, a mask of classes that was resized. What lies above one half of the lowest class is defective.

An edge's grey lies between a darker and a brighter neighbour, and is never as wide as three pixels; the grey of a class
is an area of its own.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np

Rule = Literal["plain", "classes", "soft edges", "soft classes"]

FEW = 16
"""Levels that a mask of classes has at most where some of its greys could be edges."""
NOISE = 1 / 16
"""Of the largest level: levels so near to it or to 0 are what JPEG makes of black and white, not classes."""
SPECK = 1 / 25
"""Of the largest level: levels so near to 0 that fill 4 x 4 pixels nowhere are specks of noise."""
HALF = 128 / 255
STEP = 8
"""Grey values of 255 by which neighbours in a flat area differ at most."""


class MaskValues(NamedTuple):
    """share: float32 [h, w] in [0, 1], defective above one half, with the grey edges of the file where the rule keeps
    them. rule: how the file was understood."""

    share: np.ndarray
    rule: Rule


def understood(values: np.ndarray, full_scale: float, *, indexed: bool = False, lossy: bool = False) -> MaskValues:
    """The values of a mask, read by the first rule of the module's docstring that fits.

    Args:
      values: [h, w], 0 = sound, at most ``full_scale``.
      full_scale: of the file's format: 255, 65535 or 1.
      indexed: the colours of a palette, whose order means nothing: every level but 0 is a class, if no edges are soft.
      lossy: from a JPEG or its like, which speckles black with a few levels above 0: they are no classes.

    Source: ours; MVTec AD and BTAD publish plain masks, MVTec LOCO and VisA classes, and tools that resize leave edges.
    """
    largest = float(values.max(initial=0))
    if lossy and largest > NOISE * full_scale:
        values = np.where(values > NOISE * largest, values, 0)
    levels = np.unique(values[values > 0])
    if len(levels) < 2:
        return MaskValues((values > 0).astype(np.float32), "plain" if largest in (0, full_scale) else "classes")
    edges, areas = _between(values, largest, NOISE if lossy else SPECK)
    numbers = full_scale > 1 and largest <= FEW  # 1, 2, 3, ...: nobody draws soft edges with so few greys
    low = largest <= HALF * full_scale  # class numbers, or a mask that was saved too dark
    if numbers or (not lossy and (edges < 0.02 or (edges < 0.5 and (low or indexed or len(levels) <= FEW)))):
        marked = values > 0
        if not (numbers or indexed or low):
            marked &= ~_specks(values, SPECK * largest)
        return MaskValues(marked.astype(np.float32), "classes")
    if 0 < len(areas) <= FEW:
        return MaskValues(np.minimum(values / areas[0], 1).astype(np.float32), "soft classes")
    return MaskValues((values / largest).astype(np.float32), "soft edges")


def _specks(values: np.ndarray, most: float) -> np.ndarray:
    """bool [h, w]: of a level up to ``most`` that fills 4 x 4 pixels nowhere."""
    specks, square = np.zeros(values.shape, bool), np.ones((4, 4), np.uint8)
    for level in np.unique(values[(values > 0) & (values <= most)]):
        here = values == level
        if not cv2.erode(here.astype(np.uint8), square, borderValue=0).any():
            specks |= here
    return specks


def _between(values: np.ndarray, largest: float, noise: float) -> tuple[float, np.ndarray]:
    """Of the pixels between 0 and ``largest``: the share that lies on a slope, with a darker and a brighter pixel among
    its eight neighbours; and the levels, rising, that fill 3 x 3 pixels somewhere and lie further than ``noise`` (a
    share of ``largest``) from 0 and, by `NOISE`, from ``largest``."""
    rows, columns = (np.flatnonzero((values > 0).any(axis)) for axis in (1, 0))
    part = values[max(rows[0] - 1, 0) : rows[-1] + 2, max(columns[0] - 1, 0) : columns[-1] + 2].astype(np.float32)
    square = np.ones((3, 3), np.uint8)
    darkest, brightest = cv2.erode(part, square), cv2.dilate(part, square)
    between = (part > 0) & (part < largest)
    slope = (darkest < part) & (part < brightest)
    inner = between & (darkest == brightest) & (part > noise * largest) & (part < (1 - NOISE) * largest)
    # The foot of a wide blur has a few flat pixels at each of its levels, a class is flat all over.
    areas = np.unique(part[inner]) if inner.sum() > 0.3 * between.sum() else np.empty(0, np.float32)
    return float(slope[between].mean()), areas


def is_textured(values: np.ndarray, full_scale: float) -> bool:
    """Whether grey values [h, w] are those of a photograph all over, such as a copy of the picture in the place of its
    mask; a mask that was blurred, resized or compressed is not: it is smooth."""
    grey = np.round(values * (255 / full_scale)).astype(np.uint8)
    drawn = grey >= STEP
    if drawn.mean() <= 0.1 or shades_and_texture(grey)[1] <= 0.5:
        return False
    rough = cv2.absdiff(grey, cv2.medianBlur(grey, 3)) > 2
    return bool(rough[drawn].mean() > 0.25)


def shades_and_texture(grey: np.ndarray) -> tuple[int, float]:
    """Of uint8 [h, w]: how many levels its flat areas have, specks left out; and which share of what is not black lies
    far from anything flat."""
    square = np.ones((3, 3), np.uint8)
    flat = (cv2.dilate(grey, square) - cv2.erode(grey, square)) <= STEP
    near = cv2.dilate(flat.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    drawn = grey >= STEP
    texture = float((drawn & ~near).sum() / max(drawn.sum(), 1))
    counts = np.bincount(grey[flat], minlength=1)
    return int((counts > max(2, 0.001 * grey.size)).sum()), texture
