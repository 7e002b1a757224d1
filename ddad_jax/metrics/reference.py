"""L1. The metrics as the published code computes them, for its numbers only (host NumPy).

Three differences from the rest of this package. Maps are min-max scaled in float32 first. Two ground
truths are used, neither of them ours: see ``metrics.masks``. And the threshold is chosen on test labels.
"""

from typing import Any, NamedTuple

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.metrics.curve import checked_labels, checked_scores
from ddad_jax.metrics.ranking import auroc
from ddad_jax.metrics.region_overlap import label_regions

N_THRESHOLDS = 200
FPR_LIMIT = 0.3


class ReferencePRO(NamedTuple):
    pro: float  # the area; NaN where it is undefined
    fpr: np.ndarray  # float64 [k], kept points, divided by the largest kept one; decreasing
    overlap: np.ndarray  # float64 [k], mean covered share of the regions at those points


def reference_pixel_auroc(maps: Any, masks: Any) -> float:
    """Pixel AUROC of min-max scaled float32 maps against mask > 0.

    Args:
        maps: anomaly maps [n, h, w], finite.
        masks: resized, not binarised, [n, h, w] in [0, 1].

    Returns NaN where a class is missing or the maps are constant.
    Raises InputError for NaN or infinite maps, masks outside [0, 1], or shapes that differ.

    Source: published code, metrics.py. Every grey rim pixel of the mask counts as defect.
    """
    scaled, masks = _scaled(maps, masks)
    return float("nan") if scaled is None else auroc(scaled, masks > 0)


def reference_pro(maps: Any, masks: Any) -> ReferencePRO:
    """The published PRO: 200 equally spaced thresholds, strict comparison, trapezoid up to FPR 0.3.

    pro = integral of mean_k |region_k and map > u| / |region_k| over fpr(u) / (largest fpr below 0.3),
    fpr(u) = #{mask != 1 and map > u} / sum(1 - mask)

    Regions are what is exactly 1 in the mask; its grey rim counts as false alarm. The area starts at the
    smallest kept FPR, not at 0, and ends at the largest one below 0.3, rescaled to 1.

    Args:
        maps: anomaly maps [n, h, w], finite.
        masks: resized, not binarised, [n, h, w] in [0, 1].

    Returns NaN where there is no region or no normal pixel, where the maps are constant, or where fewer
    than two thresholds stay below 0.3 (the published code fails there).
    Raises InputError for NaN or infinite maps, masks outside [0, 1], or shapes that differ.

    Source: published code, metrics.py.
    """
    scaled, masks = _scaled(maps, masks)
    regions = label_regions(masks == 1)
    normal = float(np.sum(1 - masks, dtype=np.float64))
    nothing = ReferencePRO(float("nan"), np.zeros(0), np.zeros(0))
    if scaled is None or not regions.size.size or not normal:
        return nothing
    thresholds = np.arange(scaled.min(), scaled.max(), (scaled.max() - scaled.min()) / N_THRESHOLDS)
    # A pixel above the j smallest thresholds is predicted at each of them: count by j, sum from the top.
    passed = np.searchsorted(thresholds, scaled.reshape(-1), side="left")
    false = np.bincount(passed[regions.normal], minlength=thresholds.size + 1)
    caught = np.bincount(passed[regions.defect], regions.weight, minlength=thresholds.size + 1)
    fpr = np.cumsum(false[::-1])[::-1][1:] / normal
    overlap = np.cumsum(caught[::-1])[::-1][1:]
    kept = fpr < FPR_LIMIT
    fpr, overlap = fpr[kept], overlap[kept]
    if fpr.size < 2 or fpr.max() == 0:
        return nothing
    fpr = fpr / fpr.max()
    return ReferencePRO(float(np.trapezoid(overlap[::-1], fpr[::-1])), fpr, overlap)


def youden_threshold(scores: Any, labels: Any) -> float:
    """The published image threshold: the score that maximises TPR - FPR on the TEST labels.

    It looks at the labels it is then judged by, so accuracies made with it are optimistic and it cannot be
    had on a production line. A label-free threshold comes from held-out normal images instead.

    Args:
        scores: finite image scores [n].
        labels: [n], 1 or True = anomalous.

    Returns the largest such threshold (score >= threshold), infinity where no threshold beats chance, NaN
    where a class is missing.
    Raises InputError for NaN or infinite scores, other labels or shapes that differ.

    Source: published code, metrics.py; Youden, "Index for rating diagnostic tests" (1950).
    """
    scores = checked_scores(scores)
    positive = checked_labels(labels, scores.shape)
    distinct, place = np.unique(scores, return_inverse=True)
    tp = np.cumsum(np.bincount(place.reshape(-1), positive.reshape(-1), distinct.size)[::-1])
    fp = np.cumsum(np.bincount(place.reshape(-1), ~positive.reshape(-1), distinct.size)[::-1])
    if not distinct.size or not tp[-1] or not fp[-1]:
        return float("nan")
    # Points inside a straight run are dropped as there: rounding may otherwise prefer one of them.
    corner = np.r_[True, (np.diff(fp, 2) != 0) | (np.diff(tp, 2) != 0), True][-distinct.size :]
    j = np.r_[0.0, (tp / tp[-1] - fp / fp[-1])[corner]]
    return float(np.r_[np.inf, distinct[::-1][corner]][np.argmax(j)])


def _scaled(maps: Any, masks: Any) -> tuple[np.ndarray | None, np.ndarray]:
    """float32 maps scaled to [0, 1] over the whole set (None where constant), and the checked masks."""
    maps = checked_scores(maps, "maps").astype(np.float32)
    masks = np.asarray(masks)
    masks = masks.astype(np.float32) if masks.dtype == bool else masks
    if maps.ndim != 3 or masks.shape != maps.shape:
        raise InputError(f"maps and masks must share a shape [n, h, w], got {maps.shape} and {masks.shape}")
    if masks.size and not (masks.min() >= 0 and masks.max() <= 1):
        raise InputError(f"masks: expected values in [0, 1], got [{masks.min()}, {masks.max()}]")
    low, high = (maps.min(), maps.max()) if maps.size else (0.0, 0.0)
    return (None if low == high else (maps - low) / (high - low)), masks
