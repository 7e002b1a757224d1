"""L1. Operating points of pixels ranked on the device: of float32 the whole numbers of ``curve.operating_points``.

Millions of scores are sorted there in a millisecond or two; what comes back are as many numbers as defect pixels.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.metrics.curve import Curve
from ddad_jax.types import Array

MOST_PIXELS = 2**28
"""More scores are ranked on the host, in parts: sorted, they would fill the memory of a device."""


def ranks_on_device(pixels: int) -> bool:
    """Whether so many scores are ranked on the device: a CPU's is slower than the host's sorting."""
    return jax.default_backend() != "cpu" and pixels <= MOST_PIXELS


def device_operating_points(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray, weight: Any) -> Curve:
    """``operating_points`` of ``scores[positive]`` and ``scores[negative]``; ``coverage`` within rounding of float64.

    Scores nearer to 0 than the smallest normal number count as 0.

    Args:
      scores: float32 [m], finite. positive: places of the positives, int [p]. negative: bool [m]. weight: of each
        positive, float64 [p].
    """
    found = _ranked(jnp.asarray(scores), jnp.asarray(positive.astype(np.int32)), jnp.asarray(negative))
    # From the largest down, as the curve runs.
    threshold, order, fp, fp_above = (np.asarray(array)[::-1] for array in found)
    ends = np.flatnonzero(np.append(threshold[1:] != threshold[:-1], threshold.size > 0))
    return Curve(
        threshold=threshold[ends],
        tp=ends + 1,
        fp=fp[ends].astype(np.int64),
        fp_above=fp_above[ends].astype(np.int64),
        coverage=np.cumsum(weight[order])[ends],
        n_pos=positive.size,
        n_neg=int(np.count_nonzero(negative)),
    )


@jax.jit
def _ranked(scores: Array, positive: Array, negative: Array) -> tuple[Array, Array, Array, Array]:
    """The positives rising, which these are, and how many negatives are at least, and above, each; [p] each."""
    # Two zeros are one score, which a sort by bits would tell apart.
    scores = jnp.where(scores == 0, 0.0, scores)
    order = jnp.argsort(scores[positive])
    rising = scores[positive][order]
    # What is no negative lies below every score.
    others = jnp.sort(jnp.where(negative, scores, -jnp.inf))
    at_least, above = (others.size - jnp.searchsorted(others, rising, side=side) for side in ("left", "right"))
    return rising, order, at_least, above
