"""L1. Image metrics of test sets redrawn with replacement, all from the same draws (host NumPy)."""

from typing import Any

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.metrics.curve import checked_labels, checked_scores

REDRAWN = ("image_auroc", "image_ap", "recall", "precision", "f1", "accuracy")
"""Metrics of ``redrawn_metrics``; from recall on they are those of the threshold."""


def redrawn_metrics(
    scores: Any, labels: Any, threshold: float, *, seed: int, resamples: int = 1000
) -> dict[str, np.ndarray]:
    """Each metric of ``REDRAWN`` in every draw: float64 [resamples].

    A draw counts picture i of the P defective ones a_i times (multinomial, of P), of the Q good ones b_j times. In
    falling order of scores, equal ones together, tp and fp are the running sums of a and b:

        AUROC = sum a (2 Q - fp - fp of higher scores) / (2 P Q), AP = sum a tp / (tp + fp) / P,
        the others as ``metrics.confusion`` of score > threshold, with these counts.

    Of the same seed and the same numbers of pictures the draws count the same pictures, in the order given: figures of
    two methods on one test set may be compared draw by draw.

    Args:
        scores: finite image scores [n]. labels: [n], 1 = anomalous; both classes. threshold: of a score.
        seed: of the draws. resamples: number of draws.

    Raises InputError for NaN or infinite scores, other labels, a missing class, ``resamples`` below 1.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13, stratified by class.

    >>> found = redrawn_metrics([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 0.5, seed=0, resamples=3)
    >>> found["image_auroc"].tolist(), found["f1"].tolist()
    ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    """
    scores = checked_scores(scores).astype(np.float64)
    positive = checked_labels(labels, scores.shape)
    p, q = int(positive.sum()), int((~positive).sum())
    if not p or not q or resamples < 1:
        raise InputError(f"{p} anomalous and {q} good pictures, {resamples} draws: expected at least 1 of each")
    rng, counts = np.random.default_rng(seed), np.zeros((2, resamples, scores.size))
    counts[0][:, positive] = rng.multinomial(p, np.full(p, 1 / p), size=resamples)
    counts[1][:, ~positive] = rng.multinomial(q, np.full(q, 1 / q), size=resamples)
    return _metrics(scores, counts, threshold)


def _metrics(scores: np.ndarray, counts: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
    """counts: how often each picture was drawn as an anomalous and as a good one, [2, resamples, n]."""
    (p, *_), (q, *_) = counts.sum(axis=2)
    order = np.argsort(-scores, kind="stable")
    a, b = np.add.reduceat(counts[:, :, order], np.flatnonzero(np.diff(scores[order], prepend=np.inf)), axis=2)
    tp, fp = a.cumsum(axis=1), b.cumsum(axis=1)
    called = scores > threshold
    hits, alarms = counts[0][:, called].sum(axis=1), counts[1][:, called].sum(axis=1)
    with np.errstate(invalid="ignore"):
        precision = hits / (hits + alarms)
        ap = np.nansum(a * (tp / (tp + fp)), axis=1) / p
    return {
        "image_auroc": (a * (2 * q - 2 * fp + b)).sum(axis=1) / (2 * p * q),
        "image_ap": ap,
        "recall": hits / p,
        "precision": precision,
        "f1": 2 * hits / (p + hits + alarms),
        "accuracy": (hits + q - alarms) / (p + q),
    }
