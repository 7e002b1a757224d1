"""The first pass of points that give every picture a start time of its own: done once for all that share one."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.first_pass import first_pass, first_scores, start_times, unusual
from ddad_jax.points import ReconPoint
from ddad_jax.sweep import PairProgram, sweep_distances

log = logging.getLogger(__name__)

SIGMA = 4.0 / 256.0
"""Of the blur of a first pass's maps, as a share of the side: the paper's, whatever the score's own is swept over."""


class Starts(NamedTuple):
    """Of every point with ``rise``. times: T' of each image, int [n]. seconds: the first pass of each image, [n]."""

    times: Mapping[ReconPoint, np.ndarray]
    seconds: Mapping[ReconPoint, np.ndarray]


def starts_of(
    program: PairProgram,
    images: np.ndarray,
    points: Sequence[ReconPoint],
    n_normal: int,
    *,
    chunk: int,
    timer: Callable[[], float],
) -> Starts:
    """``first_pass.start_times`` of all images for the points that rise; every process calls this alike.

    Args:
      images: uint8 [n, h, w, c], the first ``n_normal`` of them held-out normal ones.
      chunk: pairs in one call.
    """
    rising = [point for point in points if point.rise]
    q, seconds = {}, {}
    firsts = list(dict.fromkeys(first_pass(point) for point in rising))
    for first, distances in sweep_distances(program, images, firsts, chunk=chunk, timer=timer):
        try:
            scores = first_scores(distances, n_normal, sigma=SIGMA * images.shape[1])
        except InputError as error:
            # As with a whole point that diverges: the others go on.
            log.warning("first pass of w = %g, T' = %d: %s. Every picture starts at T'", first.w, first.t_prime, error)
            scores = np.full(len(images), np.nan)
        q[first] = unusual(scores, n_normal)
        seconds[first] = distances.seconds
    return Starts(
        {point: start_times(point, q[first_pass(point)]) for point in rising},
        {point: seconds[first_pass(point)] for point in rising},
    )
