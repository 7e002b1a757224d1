"""L1. How long the pixel metrics take here (host NumPy); ``experiments.benchmark`` reports it."""

import time
from typing import NamedTuple

import numpy as np

from ddad_jax.metrics.region_overlap import aupro, label_regions


class MetricTimes(NamedTuple):
    aupro: float  # seconds, labelling included
    relabelled: float  # seconds for further maps on masks labelled before


def time_aupro(n: int = 100, size: int = 256, *, seed: int = 0, repeats: int = 3) -> MetricTimes:
    """Best of ``repeats`` wall times of AUPRO at both limits on generated maps; one thread does the work.

    Args:
        n: number of maps; every second one has a defect of two regions.
        size: side in pixels.
        seed: of the maps.
        repeats: runs, of which the fastest counts.
    """
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, size, size), bool)
    masks[::2, size // 8 : size // 4, size // 8 : size // 2] = True
    masks[::2, size // 2 : 5 * size // 8, size // 2 :: 3] = True
    maps = rng.gamma(2.0, 1.0, masks.shape).astype(np.float32) + masks
    regions = label_regions(masks)
    runs = []
    for _ in range(repeats):
        start = time.perf_counter()
        aupro(maps, masks)
        middle = time.perf_counter()
        aupro(maps, regions)
        runs.append((middle - start, time.perf_counter() - middle))
    first, again = zip(*runs, strict=True)
    return MetricTimes(min(first), min(again))
