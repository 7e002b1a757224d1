"""L5. A start time for each picture, from how unusual it looks to one network call.

A large defect needs much noise to be redrawn, and a sound picture loses detail with every bit of it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ddad_jax.distance_maps import blurred
from ddad_jax.points import ReconPoint
from ddad_jax.schedule import T
from ddad_jax.score import combine, image_score, scale_from_normal
from ddad_jax.sweep import Distances

SIGMA = 4.0 / 256.0
"""Of the blur of a first pass's maps, as a share of the side: the paper's, whatever the score's own is swept over."""


FIRST_PASS_UPSAMPLING = "align_corners"
"""Of a first pass's features, whatever the score's own: its score is the largest value of a map, wherever that is."""


class First(NamedTuple):
    """What the start time of a new picture needs from held-out normal images. ratio: r of their first pass; not a
    number where that diverged. scores: theirs, rising, float32 [m], m >= 1."""

    ratio: float
    scores: np.ndarray


StartTimes = Mapping[ReconPoint, np.ndarray]
"""T' of each picture, int [n], for the points that have one of their own for each."""


def first_pass(point: ReconPoint) -> ReconPoint:
    """The point whose distances decide the start times of ``point``: one call at its T', all else the same."""
    return point._replace(steps=1, solver="ddim", eta=0.0, grid="trailing", rise=0.0, reuse=1, draws=1, start="noise")


def first_ratio(distances: Distances, n_normal: int) -> float:
    """r of a first pass over every layer the distances hold.

    Args:
      distances: of n images, the first ``n_normal`` of them held-out normal ones.

    Raises:
      InputError: as ``scale_from_normal``.
    """
    layers = tuple(sorted(distances.features))
    return scale_from_normal(
        *blurred(distances, layers, 0.0, upsampling=FIRST_PASS_UPSAMPLING, rows=slice(0, n_normal))
    ).ratio


def first_scores(distances: Distances, *, ratio: float, sigma: float) -> np.ndarray:
    """Image scores [n] of a first pass: every layer the distances hold, v = 1, blurred by ``sigma`` pixels."""
    layers = tuple(sorted(distances.features))
    both = blurred(distances, layers, sigma, upsampling=FIRST_PASS_UPSAMPLING)
    return np.asarray(image_score(combine(*both, v=1.0, ratio=np.float32(ratio))))


def unusual(scores: np.ndarray, n_normal: int) -> np.ndarray:
    """q [n] in [0, 1]: the share of held-out normal images with a smaller score, each of these by the others.

    Args:
      scores: [n], the first ``n_normal`` >= 1 of held-out normal images; a score that is not a number counts as 0.
    """
    normal = np.sort(scores[:n_normal])
    below = np.searchsorted(normal, scores, side="left").astype(np.float64)
    # A normal image is never below itself, so its own place among the others needs one fewer of them.
    others = np.where(np.arange(len(scores)) < n_normal, max(n_normal - 1, 1), n_normal)
    return np.where(np.isfinite(scores), below / others, 0.0)


def start_times(point: ReconPoint, q: np.ndarray) -> np.ndarray:
    """T'_i = round(T' (1 + rise q_i)), at most 999: int [n]. The least unusual picture keeps T'.

    Deviation: DDAD has one T' for all. Source: after the dynamic noising of Tebbe and Tayyub 2024 (D3AD), which bins
      a distance between features; here it is the method's own score after one call.
    """
    return np.minimum(np.round(point.t_prime * (1.0 + point.rise * q)), T - 1).astype(int)
