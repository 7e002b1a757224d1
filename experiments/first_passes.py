"""The first pass of points that give every picture a start time of its own: done once for all that share one."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.first_pass import SIGMA, First, first_pass, first_ratio, first_scores, start_times, unusual
from ddad_jax.points import ReconPoint
from ddad_jax.sweep import PairProgram, sweep_distances

log = logging.getLogger(__name__)


class Starts(NamedTuple):
    """Of every point with ``rise``. times: T' of each image, int [n]. seconds: the first pass of each image, [n].
    normal: what new pictures are compared with."""

    times: Mapping[ReconPoint, np.ndarray]
    seconds: Mapping[ReconPoint, np.ndarray]
    normal: Mapping[ReconPoint, First] = {}


def starts_of(
    program: PairProgram,
    images: np.ndarray,
    points: Sequence[ReconPoint],
    n_normal: int,
    *,
    chunk: int,
    timer: Callable[[], float],
    watched: np.ndarray | None = None,
) -> Starts:
    """``first_pass.start_times`` of all images for the points that rise; every process calls this alike.

    Args:
      images: uint8 [n, h, w, c], the first ``n_normal`` of them held-out normal ones.
      chunk: pairs in one call.
      watched: as of ``sweep_distances``.
    """
    rising = [point for point in points if point.rise]
    q, seconds, normal = {}, {}, {}
    firsts = list(dict.fromkeys(first_pass(point) for point in rising))
    for first, distances in sweep_distances(program, images, firsts, chunk=chunk, timer=timer, watched=watched):
        try:
            ratio = first_ratio(distances, n_normal)
            scores = first_scores(distances, ratio=ratio, sigma=SIGMA * images.shape[1])
        except InputError as error:
            # As with a whole point that diverges: the others go on.
            log.warning("first pass of w = %g, T' = %d: %s. Every picture starts at T'", first.w, first.t_prime, error)
            ratio, scores = np.nan, np.full(len(images), np.nan, np.float32)
        q[first] = unusual(scores, n_normal)
        seconds[first] = distances.seconds
        normal[first] = First(ratio, np.sort(scores[:n_normal]))
    return Starts(
        {point: start_times(point, q[first_pass(point)]) for point in rising},
        {point: seconds[first_pass(point)] for point in rising},
        {point: normal[first_pass(point)] for point in rising},
    )
