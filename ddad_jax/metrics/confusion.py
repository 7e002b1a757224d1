"""L1. What a threshold does to image scores: hits, misses, false alarms (host NumPy)."""

from typing import Any, NamedTuple

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.metrics.curve import checked_labels, checked_scores


class Confusion(NamedTuple):
    """Shares lie in [0, 1] and are NaN where they divide by nothing (no such images, or none called so)."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    hits: int  # anomalous, called anomalous
    misses: int  # anomalous, called good
    false_alarms: int  # good, called anomalous
    passes: int  # good, called good


def confusion(scores: Any, labels: Any, threshold: float) -> Confusion:
    """Counts and shares when an image is called anomalous at score >= threshold.

    precision = hits / (hits + false alarms), recall = hits / (hits + misses),
    F1 = 2 hits / (2 hits + misses + false alarms), accuracy = (hits + passes) / images

    Args:
        scores: finite image scores [n].
        labels: [n], 1 or True = anomalous.
        threshold: in units of the score; infinite is allowed (nothing, or everything, is called anomalous).

    Raises InputError for NaN or infinite scores, a NaN threshold, other labels or shapes that differ.

    >>> confusion([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.38)
    Confusion(accuracy=0.5, precision=0.5, recall=0.5, f1=0.5, hits=1, misses=1, false_alarms=1, passes=1)
    """
    scores = checked_scores(scores)
    positive = checked_labels(labels, scores.shape)
    if np.isnan(threshold):
        raise InputError("threshold: NaN decides nothing; give a number")
    called = scores >= threshold
    hits, misses = int((called & positive).sum()), int((~called & positive).sum())
    false_alarms, passes = int((called & ~positive).sum()), int((~called & ~positive).sum())
    return Confusion(
        accuracy=_share(hits + passes, scores.size),
        precision=_share(hits, hits + false_alarms),
        recall=_share(hits, hits + misses),
        f1=_share(2 * hits, 2 * hits + misses + false_alarms),
        hits=hits,
        misses=misses,
        false_alarms=false_alarms,
        passes=passes,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
