"""L1. How sure an image AUROC is, by a bootstrap over the test images, and how sure a share (host NumPy)."""

from typing import Any

import numpy as np
import scipy

from ddad_jax.errors import InputError
from ddad_jax.metrics.curve import checked_labels, checked_scores


def auroc_interval(
    scores: Any, labels: Any, *, seed: int, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """(low, high): the central ``level`` of the AUROCs of test sets redrawn with replacement.

    AUROC* = sum_i sum_j a_i b_j ([p_i > q_j] + [p_i = q_j] / 2) / (P Q)

    where a and b count how often each of the P anomalous and Q good images was drawn. The classes are
    redrawn separately, so every draw has both. It covers the choice of test images only: not the training
    seed, not the sampler's noise. A perfect ranking gives (1, 1): no bootstrap sees beyond its sample.

    Args:
        scores: finite image scores [n].
        labels: [n], 1 or True = anomalous.
        seed: of the draws.
        level: coverage in (0, 1).
        resamples: number of draws; time and memory grow as resamples * n.

    Returns (NaN, NaN) where a class is missing.
    Raises InputError for NaN or infinite scores, other labels, shapes that differ, or ``level`` or
    ``resamples`` out of range.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.

    >>> scores, labels = [0.1, 0.4, 0.35, 0.8, 0.7, 0.2], [0, 0, 1, 1, 1, 0]
    >>> low, high = auroc_interval(scores, labels, seed=0)
    >>> 0 <= low <= 0.889 <= high <= 1
    True
    """
    scores = checked_scores(scores)
    positive = checked_labels(labels, scores.shape)
    if not 0 < level < 1 or resamples < 1:
        raise InputError(f"level must lie in (0, 1) and resamples be at least 1, got {level} and {resamples}")
    p, q = scores[positive], np.sort(scores[~positive])
    if not p.size or not q.size:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    a = rng.multinomial(p.size, np.full(p.size, 1 / p.size), size=resamples)
    b = rng.multinomial(q.size, np.full(q.size, 1 / q.size), size=resamples)
    # drawn_below[:, k]: draws that fell on the k smallest good images.
    drawn_below = np.concatenate([np.zeros((resamples, 1), np.int64), np.cumsum(b, axis=1)], axis=1)
    below, upto = np.searchsorted(q, p, side="left"), np.searchsorted(q, p, side="right")
    twice = drawn_below[:, below] + drawn_below[:, upto]
    auroc = (a * twice).sum(axis=1) / (2 * p.size * q.size)
    low, high = np.quantile(auroc, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def share_interval(k: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """(low, high): what share of all pictures may be above a threshold if k of n independent ones are.

        low = the (1 - level) / 2 quantile of Beta(k, n - k + 1), 0 for k = 0
        high = the (1 + level) / 2 quantile of Beta(k + 1, n - k), 1 for k = n

    It covers the true share with probability ``level`` or more, however small n is. Pictures of one recording are not
    independent: of those it covers less.

    Raises InputError for k outside 0..n, n below 1, ``level`` out of range.

    Source: Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial"
    (1934).

    >>> low, high = share_interval(3, 60)
    >>> round(low, 3), round(high, 3)
    (0.01, 0.139)
    """
    if not (0 <= k <= n and n >= 1 and 0 < level < 1):
        raise InputError(f"k = {k} of n = {n} at level {level}: expected 0 <= k <= n, n at least 1, level in (0, 1)")
    found = scipy.stats.binomtest(k, n).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)
