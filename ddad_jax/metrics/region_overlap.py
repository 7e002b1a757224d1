"""L1. Localisation by region: exact AUPRO at any number of limits, and IoU at a threshold (host NumPy; ranked on an
accelerator where there is one).

PRO gives every connected defect region the same say whatever its size, so that one large stain cannot
hide ten missed scratches.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy

from ddad_jax.errors import InputError
from ddad_jax.metrics.curve import Curve, area_up_to, checked_scores, operating_points
from ddad_jax.metrics.device_curve import device_operating_points, ranks_on_device

LIMITS = (0.3, 0.05)
"""FPR limits reported by default: the customary one, and a strict one nearer to what a line tolerates."""

_EIGHT = np.ones((3, 3), bool)
"""Neighbours in the same image, diagonals included."""

_AT_ONCE = 2**22
"""Pixels, about, whose scores are sorted at a time: all of them once more, and sorted, would be twice the maps."""


class Regions(NamedTuple):
    """Masks prepared once for any number of map sets."""

    shape: tuple[int, ...]  # (n, h, w)
    size: np.ndarray  # int64 [r], pixels
    defect: np.ndarray  # int64 [p], flat places of the pixels in a region
    weight: np.ndarray  # float64 [p], 1 / (r * size of the pixel's region): sums to 1
    normal: np.ndarray  # bool [n * h * w], the pixels known to be normal


class AUPRO(NamedTuple):
    """Area and height of the PRO curve, per limit; NaN where there is no region or no normal pixel."""

    area: dict[float, float]  # limit -> area from FPR 0 to the limit, divided by the limit; in [0, 1]
    pro_at: dict[float, float]  # limit -> PRO interpolated at the limit; in [0, 1]


def label_regions(masks: Any, known: Any = None) -> Regions:
    """8-connected components of every mask, and where the normal pixels are.

    Args:
        masks: bool [n, h, w], True = defect (``masks.binarise`` makes them).
        known: bool [n], False where an image's mask is not known: none of its pixels count. None: all known.

    Raises InputError for masks that are not bool or not [n, h, w], or for ``known`` of another length.
    """
    masks = np.asarray(masks)
    if masks.dtype != bool or masks.ndim != 3:
        raise InputError(f"masks: expected bool [n, h, w], got {masks.dtype} {masks.shape}; binarise grey masks first")
    normal = ~masks
    if known is not None:
        known = np.asarray(known, bool)
        if known.shape != masks.shape[:1]:
            raise InputError(f"known: expected one flag for each of {masks.shape[0]} masks, got {known.shape}")
        masks, normal = masks & known[:, None, None], normal & known[:, None, None]
    count, region = 0, [np.empty(0, np.int64)]
    for mask in masks:  # one after another: numbers of all pixels would be the largest array of a run
        ids, found = scipy.ndimage.label(mask, _EIGHT)
        region.append(ids[mask].astype(np.int64) + (count - 1))
        count += found
    of_pixel = np.concatenate(region)
    size = np.bincount(of_pixel, minlength=count)
    return Regions(masks.shape, size, np.flatnonzero(masks), 1.0 / (count * size[of_pixel]), normal.reshape(-1))


def pixel_curve(maps: Any, regions: Regions, *, device: bool | None = None) -> Curve:
    """Operating points of the pixels, with the mean covered share of the regions as ``coverage``.

    PRO(u) = (1/r) * sum_k |region_k and map >= u| / |region_k|,   FPR(u) = share of normal pixels >= u

    Args:
        maps: finite anomaly maps [n, h, w] of the images ``regions`` was made from.
        device: whether they are ranked on the device; None: on an accelerator (``device_curve.ranks_on_device``).

    Raises InputError for NaN or infinite maps and for another shape.
    """
    maps = checked_scores(maps, "maps")
    if maps.shape != regions.shape:
        raise InputError(f"maps: expected shape {regions.shape} as the masks have, got {maps.shape}")
    flat = maps.reshape(-1)
    if device if device is not None else ranks_on_device(flat.size):
        return device_operating_points(flat.astype(np.float32), regions.defect, regions.normal, regions.weight)
    parts = [slice(first, first + _AT_ONCE) for first in range(0, flat.size, _AT_ONCE)]
    return operating_points(flat[regions.defect], (flat[at][regions.normal[at]] for at in parts), regions.weight)


def aupro(maps: Any, masks: Any, limits: Sequence[float] = LIMITS) -> AUPRO:
    """Exact area under the per-region-overlap curve, normalised by its limit.

    AUPRO_L = (1/L) * integral_0^L PRO(fpr) dfpr

    Every distinct score is a threshold, tied pixels switch on together, FPR counts the normal pixels of
    all images, good ones included, and every region weighs the same, single pixels included.

    Args:
        maps: finite anomaly maps [n, h, w], larger = more anomalous.
        masks: bool [n, h, w], or ``label_regions(masks)`` to label once for many maps.
        limits: FPR limits, each in (0, 1].

    Raises InputError for limits outside (0, 1], NaN or infinite maps, or shapes that differ.

    Source: Bergmann et al., "The MVTec Anomaly Detection Dataset" (IJCV 2021), section on the
    per-region overlap; there with chosen thresholds, here with all of them.

    Deviation: the published code uses 200 equally spaced thresholds, an eroded mask for the regions and no
    interpolation at the limit; ``metrics.reference_pro`` does that.

    >>> maps, masks = np.zeros((1, 4, 4)), np.zeros((1, 4, 4), bool)
    >>> maps[0, 0, :2], masks[0, 0, :2] = (0.9, 0.8), True
    >>> aupro(maps, masks, (0.3,))
    AUPRO(area={0.3: 1.0}, pro_at={0.3: 1.0})
    """
    for limit in limits:
        if not 0 < limit <= 1:
            raise InputError(f"limits: an FPR limit lies in (0, 1], got {limit}")
    curve = pixel_curve(maps, masks if isinstance(masks, Regions) else label_regions(masks))
    areas = {float(limit): area_up_to(curve, limit) for limit in limits}
    return AUPRO({k: a for k, (a, _) in areas.items()}, {k: p for k, (_, p) in areas.items()})


def iou(predicted: Any, masks: Any) -> float:
    """Intersection over union of the defect pixels of all images together; NaN where no pixel is defective.

    IoU = |predicted and mask| / |predicted or mask|

    Args:
        predicted: bool [n, h, w], e.g. ``maps >= threshold``.
        masks: bool [n, h, w].

    Raises InputError for arrays that are not bool or whose shapes differ.

    >>> maps = np.array([[[0.9, 0.8], [0.1, 0.7]]])
    >>> round(iou(maps >= 0.5, np.array([[[1, 1], [0, 0]]], bool)), 3)
    0.667
    """
    predicted, masks = np.asarray(predicted), np.asarray(masks)
    if predicted.dtype != bool or masks.dtype != bool or predicted.shape != masks.shape:
        raise InputError(
            "iou: expected two bool arrays of one shape, got "
            f"{predicted.dtype} {predicted.shape} and {masks.dtype} {masks.shape}"
        )
    if not masks.any():
        return float("nan")
    return float(np.count_nonzero(predicted & masks) / np.count_nonzero(predicted | masks))
