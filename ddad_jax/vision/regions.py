"""L1. From an anomaly map and a threshold to regions a person can be shown: box, contour, area, peak (host NumPy)."""

from typing import Any, NamedTuple

import cv2
import numpy as np
import scipy
import skimage

from ddad_jax.errors import InputError

_EIGHT = np.ones((3, 3), bool)


class Region(NamedTuple):
    """One 8-connected region above a threshold, in pixels of the picture; the centre of its first pixel is (0, 0)."""

    box: tuple[int, int, int, int]
    """(x, y, width, height) of the smallest box of whole pixels around it, inside the picture."""
    contour: np.ndarray
    """The outer outline, float32 [k, 2] of (x, y), closed: the last point joins the first, which is not repeated."""
    area: float
    """Pixels of the picture it covers."""
    peak: float
    """The largest value of the map in it."""
    peak_at: tuple[float, float]
    """(x, y) of the peak."""
    holes: tuple[np.ndarray, ...] = ()
    """Outlines of what it encloses without being part of it, as ``contour``."""


def regions(
    anomaly_map: Any,
    threshold: float,
    *,
    min_area: float = 0.0,
    size: tuple[int, int] | None = None,
    smooth: float = 0.25,
) -> list[Region]:
    """8-connected regions of map > threshold, the highest peak first.

    Regions are found on the map as it is, so that no peak is lost to resizing; their outlines, where the bilinear
    surface through the map meets the threshold, are then stretched to the picture.

    Args:
        anomaly_map: [h, w]; finite, or -inf where nothing was judged.
        threshold: in units of the map; infinite: no region, or with -inf everything that was judged.
        min_area: smaller regions are left out, in pixels of the picture.
        size: (height, width) of the picture in pixels, the map stretched over all of it; None: the map's own.
        smooth: how far an outline may leave the exact one to save points, in pixels of the map; 0: every point.

    Raises InputError for a map that is not [h, w] or holds NaN or +inf, a NaN threshold, or a size below 1.

    >>> heat = np.zeros((6, 6))
    >>> heat[1:3, 2:5] = 0.8
    >>> [(region.box, region.area, region.peak) for region in regions(heat, 0.5)]
    [((2, 1, 3, 2), 6.0, 0.8)]
    """
    found = np.asarray(anomaly_map, np.float64)
    if found.ndim != 2 or not found.size or np.isnan(found).any() or np.isposinf(found).any():
        raise InputError(f"anomaly map of shape {found.shape}: expected [h, w] without NaN and without +infinity")
    if np.isnan(threshold):
        raise InputError("threshold: NaN decides nothing; give a number")
    height, width = found.shape if size is None else size
    if min(height, width) < 1:
        raise InputError(f"size {size}: expected (height, width) in pixels, both at least 1")
    inside = found > threshold
    ids, count = scipy.ndimage.label(inside, _EIGHT)
    if not count:
        return []
    down, right = height / found.shape[0], width / found.shape[1]
    pixels = np.bincount(ids.ravel(), minlength=count + 1)
    peaks = scipy.ndimage.maximum_position(found, ids, range(1, count + 1))
    outlines = _outlines(found, threshold, inside, ids, count, smooth)

    def placed(points: np.ndarray) -> np.ndarray:
        """(row, column) of the map -> (x, y) of the picture; centres of pixels lie at whole numbers in both."""
        xy = (points[:, ::-1] + 0.5) * (right, down) - 0.5
        return xy.astype(np.float32)

    made = []
    for number, (rows, columns) in enumerate(scipy.ndimage.find_objects(ids), start=1):
        area = float(pixels[number] * down * right)
        if area < min_area:
            continue
        top, left = int(rows.start * down), int(columns.start * right)
        bottom, end = int(np.ceil(rows.stop * down)), int(np.ceil(columns.stop * right))
        row, column = peaks[number - 1]
        outer, *holes = outlines[number]
        x, y = placed(np.array([[row, column]], float))[0]
        made.append(
            Region(
                box=(left, top, min(end, width) - left, min(bottom, height) - top),
                contour=placed(outer),
                area=area,
                peak=float(found[row, column]),
                peak_at=(float(x), float(y)),
                holes=tuple(placed(hole) for hole in holes),
            )
        )
    return sorted(made, key=lambda region: -region.peak)


def _outlines(
    found: np.ndarray, threshold: float, inside: np.ndarray, ids: np.ndarray, count: int, smooth: float
) -> list[list[np.ndarray]]:
    """Of each id (0 is nobody's): outlines in (row, column) of the map, the outer one first."""
    with np.errstate(invalid="ignore"):
        above = found - threshold if np.isfinite(threshold) else np.where(inside, 1.0, -1.0)
    largest = float(np.abs(above[np.isfinite(above)]).max(initial=0.0)) or 1.0
    # A step away from zero, so that every crossing lies between a pixel inside and one outside.
    least = 1e-6 * largest
    above = np.where(inside, np.clip(above, least, None), np.clip(above, -largest, -least))
    # Mirrored at the border: a region that reaches it ends at the picture's edge, half a pixel out.
    padded = np.pad(above, 1, mode="edge")
    for edge in (np.s_[0, :], np.s_[-1, :], np.s_[:, 0], np.s_[:, -1]):
        padded[edge] = -np.abs(padded[edge])
    owner = np.pad(ids, 1)
    outlines: list[list[tuple[float, np.ndarray]]] = [[] for _ in range(count + 1)]
    for points in skimage.measure.find_contours(padded, 0.0, fully_connected="high", positive_orientation="high"):
        low, high = np.floor(points[0]).astype(int), np.ceil(points[0]).astype(int)
        number = int(max(owner[tuple(low)], owner[tuple(high)]))
        # Closed polygons repeat their first point.
        points = points[:-1] - 1
        simple = cv2.approxPolyDP(points.astype(np.float32)[:, None], smooth, True)[:, 0] if smooth > 0 else points
        # Below three points there is no area left.
        simple = simple.astype(np.float64) if len(simple) > 2 else points
        y, x = simple.T
        outlines[number].append((abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))), simple))
    return [[points for _, points in sorted(own, key=lambda one: -one[0])] for own in outlines]
