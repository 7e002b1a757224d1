"""L1. Threshold-free scores of a ranking: AUROC, average precision, best F1 (host NumPy).

One function serves a hundred image scores and millions of pixels. AP and F1 depend on the share of
positives; AUROC does not.
"""

from typing import Any, NamedTuple

import numpy as np

from ddad_jax.metrics.curve import Curve, curve_of


class Ranking(NamedTuple):
    """All four are NaN where either class is missing; the first three lie in [0, 1]."""

    auroc: float
    ap: float
    max_f1: float
    f1_threshold: float  # in units of the score; chosen with the labels in hand, so never one to deploy


def ranking(scores: Any, labels: Any) -> Ranking:
    """AUROC, average precision and best F1 from one sort.

    AUROC  = P(positive > negative) + P(positive = negative) / 2
    AP     = sum_i (recall_i - recall_{i-1}) precision_i   over distinct scores, no interpolation
    max-F1 = max_i 2 tp_i / (tp_i + fp_i + positives)      with score >= threshold; the largest one on ties

    Args:
        scores: larger means more anomalous; finite, any shape.
        labels: the same shape, 1 or True = anomalous.

    Raises InputError for NaN or infinite scores, for other labels and for shapes that differ.

    Source: Fawcett (2006), section 7; Cools et al., "Benchmarking of Anomaly Detection
    Methods for Industry 4.0" (its F1 and AP).

    >>> [round(value, 3) for value in ranking([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])]
    [0.75, 0.833, 0.8, 0.35]
    """
    return ranking_of(curve_of(scores, labels))


def ranking_of(curve: Curve) -> Ranking:
    """The same from operating points already at hand."""
    if not curve.n_pos or not curve.n_neg:
        return Ranking(*[float("nan")] * 4)
    tp, fp = curve.tp, curve.fp
    gained = np.diff(tp, prepend=0)
    # Twice the negatives each new positive beats, a tie counting one: whole numbers, so no rounding.
    beaten = 2 * curve.n_neg - fp - curve.fp_above
    f1 = 2 * tp / (tp + fp + curve.n_pos)
    best = int(np.argmax(f1))  # the first maximum is the largest threshold
    return Ranking(
        auroc=float(np.sum(gained * beaten) / (2 * curve.n_pos * curve.n_neg)),
        ap=float(np.sum(gained * (tp / (tp + fp))) / curve.n_pos),
        max_f1=float(f1[best]),
        f1_threshold=float(curve.threshold[best]),
    )


def auroc(scores: Any, labels: Any) -> float:
    """Area under the ROC curve, ties counting one half; NaN where a class is missing. See ``ranking``.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    return ranking(scores, labels).auroc


def average_precision(scores: Any, labels: Any) -> float:
    """Area under the precision-recall steps; NaN where a class is missing. See ``ranking``."""
    return ranking(scores, labels).ap


def max_f1(scores: Any, labels: Any) -> tuple[float, float]:
    """(best F1, its threshold); NaN where a class is missing. See ``ranking``."""
    r = ranking(scores, labels)
    return r.max_f1, r.f1_threshold
