"""L1. Operating points: what every threshold catches and what it costs (host NumPy).

Only a score that some positive holds can move a curve upwards. So the negatives are sorted once, the
few positives are looked up among them, and AUROC, AP, max-F1 and AUPRO are all read from the result:
millions of pixels cost one sort of float32 numbers without any index beside them, and may come in parts.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.errors import InputError


class Curve(NamedTuple):
    """The thresholds u_1 > ... > u_k held by at least one positive; a score >= u_i is called positive."""

    threshold: np.ndarray  # [k] in the scores' own dtype
    tp: np.ndarray  # int64 [k], positives >= u_i
    fp: np.ndarray  # int64 [k], negatives >= u_i
    fp_above: np.ndarray  # int64 [k], negatives > u_i; below fp where a negative ties with a positive
    coverage: np.ndarray  # float64 [k], summed weight of the positives >= u_i
    n_pos: int
    n_neg: int


def operating_points(
    positive: np.ndarray, negative: np.ndarray | Iterable[np.ndarray], weight: np.ndarray | None = None
) -> Curve:
    """Every threshold at which a positive is added, with the negatives above and at it.

    tp_i = #{p >= u_i}, fp_i = #{n >= u_i}, coverage_i = sum of weight_j over positives p_j >= u_i

    Args:
        positive: finite scores of the positives [p].
        negative: finite scores of the negatives [q], or parts of them [q_j], of which one is held at a time.
        weight: what each positive adds to ``coverage``, float64 [p]; None: 1/p each, which is recall.

    Source: Fawcett, "An introduction to ROC analysis" (2006), Algorithm 1, ties entering together.
    """
    if weight is None:
        positive = np.sort(positive)[::-1]
    else:
        order = np.argsort(positive)[::-1]
        positive, weight = positive[order], weight[order]
    # Last place of each run of equal scores: tied positives enter together.
    ends = np.flatnonzero(np.append(positive[1:] != positive[:-1], positive.size > 0))
    threshold, tp = positive[ends], ends + 1
    coverage = tp / max(positive.size, 1) if weight is None else np.cumsum(weight)[ends]
    n_neg, fp, fp_above = 0, np.zeros(ends.size, np.int64), np.zeros(ends.size, np.int64)
    for part in [negative] if isinstance(negative, np.ndarray) else negative:
        rising = np.sort(part)
        n_neg += rising.size
        fp += rising.size - np.searchsorted(rising, threshold, side="left")
        fp_above += rising.size - np.searchsorted(rising, threshold, side="right")
    return Curve(
        threshold=threshold,
        tp=tp,
        fp=fp,
        fp_above=fp_above,
        coverage=coverage,
        n_pos=positive.size,
        n_neg=n_neg,
    )


def curve_of(scores: Any, labels: Any) -> Curve:
    """``operating_points`` of labelled scores.

    Args:
        scores: larger means more anomalous; finite, any shape.
        labels: the same shape, 1 or True = anomalous.

    Raises InputError for NaN or infinite scores, for other labels and for shapes that differ.
    """
    scores = checked_scores(scores)
    positive = checked_labels(labels, scores.shape)
    return operating_points(scores[positive], scores[~positive])


def area_up_to(curve: Curve, limit: float) -> tuple[float, float]:
    """Mean height of the curve (FPR, coverage) over 0 <= FPR <= limit, and its height at the limit.

    area = (1/L) * integral_0^L coverage(fpr) dfpr

    The curve starts at (0, 0), ends at (1, coverage_k) and joins consecutive distinct scores by straight
    lines; at the limit it is cut by linear interpolation.

    Args:
        curve: operating points.
        limit: L in (0, 1], a fraction of the negatives.

    Returns (area / L, height at L); (NaN, NaN) where either class is missing.
    """
    if not curve.n_pos or not curve.n_neg:
        return float("nan"), float("nan")
    # Before each threshold the curve runs level from the last one; where negatives tie, it then slopes.
    k = curve.tp.size
    fpr, height = np.zeros(2 * k + 2), np.zeros(2 * k + 2)
    fpr[1:-1:2], fpr[2:-1:2], fpr[-1] = curve.fp_above, curve.fp, curve.n_neg
    fpr /= curve.n_neg
    height[2:-1:2], height[3:-1:2], height[-1] = curve.coverage, curve.coverage[:-1], curve.coverage[-1]
    last = int(np.searchsorted(fpr, limit, side="right")) - 1  # the last point with FPR <= limit
    x, y = fpr[: last + 1], height[: last + 1]
    at_limit = y[-1]
    if last + 1 < fpr.size:
        rise = (height[last + 1] - y[-1]) / (fpr[last + 1] - x[-1])
        at_limit = y[-1] + rise * (limit - x[-1])
    area = np.trapezoid(y, x) + (limit - x[-1]) * (y[-1] + at_limit) / 2
    return float(area / limit), float(at_limit)


def checked_scores(scores: Any, name: str = "scores") -> np.ndarray:
    """Scores as a NumPy array of real, finite numbers; InputError that names the first offender otherwise."""
    array = np.asarray(scores)
    if array.dtype.kind not in "fiub":
        if not np.can_cast(array.dtype, np.float32):  # bfloat16 can
            raise InputError(f"{name}: expected real numbers, got dtype {array.dtype}")
        array = array.astype(np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        at = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise InputError(
            f"{name}: {int((~finite).sum())} of {array.size} values are NaN or infinite "
            f"(first at {at}: {array[at]}); look for the step that produced them"
        )
    return array


def checked_labels(labels: Any, shape: tuple[int, ...], name: str = "labels") -> np.ndarray:
    """Labels as bool of the given shape; InputError for another shape or values other than 0 and 1."""
    array = np.asarray(labels)
    if array.shape != shape:
        raise InputError(f"{name}: expected shape {shape} as the scores have, got {array.shape}")
    if array.dtype == bool:
        return array
    positive = array == 1
    if not (positive | (array == 0)).all():
        raise InputError(f"{name}: expected 0 (normal) or 1 (anomalous), got {np.unique(array)[:5].tolist()}")
    return positive
