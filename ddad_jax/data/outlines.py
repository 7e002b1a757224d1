"""L1. Outlines drawn by hand become masks: a pixel is in when its centre is.

Coordinates are (x, y) in pixels, y downwards; the pixel in row r and column c covers [c, c+1) x [r, r+1) and its
centre is (c + 1/2, r + 1/2). So a rectangle of whole numbers has exactly the pixels one expects of it.
"""

from typing import NamedTuple

import numpy as np

from ddad_jax.errors import InputError

LINE_WIDTH = 4.0
"""Of a stroke where nobody says otherwise, in pixels."""


class Polygon(NamedTuple):
    """Inside is where the edges wind round a place, as a canvas fills it; float64 [n, 2], n >= 3, not closed."""

    points: np.ndarray


class Ellipse(NamedTuple):
    """Centre, half axes > 0, and the angle in radians from the x axis to the first, clockwise on the screen."""

    centre: tuple[float, float]
    radii: tuple[float, float]
    angle: float


class Line(NamedTuple):
    """A stroke along float64 [n, 2], n >= 2; its width is the caller's."""

    points: np.ndarray


class OutlinePoint(NamedTuple):
    """A place without area; never drawn."""

    centre: tuple[float, float]


Outline = Polygon | Ellipse | Line | OutlinePoint


class Drawn(NamedTuple):
    mask: np.ndarray
    """bool [h, w]."""
    clipped: bool
    """Whether the outline goes beyond the picture, where nothing is drawn."""


def draw(outline: Outline, size: tuple[int, int], *, where: str, line_width: float = LINE_WIDTH) -> Drawn:
    """The pixels of a picture whose centres an outline holds.

    Args:
      outline: what was drawn; a `OutlinePoint` has no pixels.
      size: (height, width) of the picture in pixels.
      where: of the outline, for messages.
      line_width: of a `Line`, in pixels, above 0; its ends are round. Drawn on whole numbers, which are the corners of
        pixels, it has even widths exactly.

    Raises:
      InputError: the outline lies outside the picture altogether, or holds no pixel's centre.
    """
    height, width = size
    (left, top), (right, bottom) = bounds(outline)
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise InputError(
            f"{where}: the region from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) lies outside its picture of "
            f"{width} x {height} pixels (width x height). Were the labels drawn on this picture, at this size?"
        )
    x, y = np.arange(width)[None, :] + 0.5, np.arange(height)[:, None] + 0.5
    if isinstance(outline, Polygon):
        mask = _wound(outline.points, size)
    elif isinstance(outline, Ellipse):
        mask = _in_ellipse(outline, x, y)
    elif isinstance(outline, Line):
        mask = _near(outline.points, x, y, line_width / 2)
    else:
        return Drawn(np.zeros(size, bool), clipped=False)
    if not mask.any():
        raise InputError(f"{where}: the region holds no pixel of its picture. Draw it larger, or delete it.")
    return Drawn(mask, clipped=bool(left < 0 or top < 0 or right > width or bottom > height))


def bounds(outline: Outline) -> np.ndarray:
    """float64 [2, 2]: the least and the greatest (x, y); of a line, without its width."""
    if isinstance(outline, (Polygon, Line)):
        return np.stack([outline.points.min(0), outline.points.max(0)])
    centre = np.array(outline.centre)
    if isinstance(outline, OutlinePoint):
        return np.stack([centre, centre])
    (a, b), cos, sin = outline.radii, np.cos(outline.angle), np.sin(outline.angle)
    half = np.array([np.hypot(a * cos, b * sin), np.hypot(a * sin, b * cos)])
    return np.stack([centre - half, centre + half])


def _wound(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Winding numbers other than 0, row by row: every edge changes them from its crossing to the right."""
    height, width = size
    turns = np.zeros((height, width + 1), np.int64)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        low, high = (int(np.clip(np.ceil(y - 0.5), 0, height)) for y in sorted((y0, y1)))
        rows = np.arange(low, high)  # whose centres lie in [min, max): a corner counts for one of its edges
        if rows.size:
            crossing = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            turns[rows, np.clip(np.ceil(crossing - 0.5), 0, width).astype(int)] += 1 if y1 > y0 else -1
    return np.cumsum(turns, axis=1)[:, :width] != 0


def _in_ellipse(outline: Ellipse, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx, dy = x - outline.centre[0], y - outline.centre[1]
    cos, sin = np.cos(outline.angle), np.sin(outline.angle)
    along, across = (cos * dx + sin * dy) / outline.radii[0], (cos * dy - sin * dx) / outline.radii[1]
    return along**2 + across**2 <= 1


def _near(points: np.ndarray, x: np.ndarray, y: np.ndarray, reach: float) -> np.ndarray:
    """Pixels whose centres are at most ``reach`` from one of the segments."""
    mask = np.zeros((y.size, x.size), bool)
    for start, end in zip(points[:-1], points[1:], strict=True):
        step = end - start
        length = max(float(step @ step), np.finfo(np.float64).tiny)
        at = np.clip(((x - start[0]) * step[0] + (y - start[1]) * step[1]) / length, 0, 1)
        mask |= (x - start[0] - at * step[0]) ** 2 + (y - start[1] - at * step[1]) ** 2 <= reach**2
    return mask
