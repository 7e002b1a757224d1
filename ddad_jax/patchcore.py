"""L4. PatchCore: a bank of patch descriptors of normal pictures, and how far a patch is from the nearest of them.

Nothing is trained. Descriptors are ``embedding.patch_descriptors``; a bank is plain rows [M, d]; the published scores
come of ``squared=True`` and ``repeat_edge=True``, the paper's of ``support=9``.

Source: Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection", and the published code.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.coreset import farthest, from_middle, projected
from ddad_jax.errors import InputError
from ddad_jax.neighbours import BUDGET, nearest
from ddad_jax.patch_map import patch_map
from ddad_jax.types import Array

MOST_ROWS = 2**18
"""Rows that a choice is made among at once: 1 GiB of a thousand numbers each."""


class Evidence(NamedTuple):
    """Of b pictures, all that their maps and scores are made of. distances: Euclidean, of each patch to the k nearest
    rows of the bank, rising, [b, h, w, k]. around: of the worst patch to the row m* nearest to it and to those nearest
    to m*, in this order, [b, support]."""

    distances: Array
    around: Array

    @property
    def weight(self) -> Array:
        """``score_weights`` by all of ``around``."""
        return score_weights(self.around)


def fit_patchcore(
    batches: Iterable[np.ndarray | Array],
    n: int,
    *,
    anchor: Callable[[Array], Array] = from_middle,
    projection: Array | None = None,
    most: int = MOST_ROWS,
) -> Array:
    """The bank: n of the descriptors of normal pictures, [n, d]; a *host* loop around ``coreset.farthest``.

    Args:
      batches: descriptors, each [..., d], no padding among them.
      n: rows to keep, from ``coreset.coreset_size``; all where there are fewer.
      anchor: rows -> where the choice begins. Published: ``from_starts`` with ten random places.
      projection: [d, to], for choosing alone; None to choose by the rows themselves. Published: to 128.
        Deviation: the default chooses by the rows, which needs no random numbers; project where that takes too long.
      most: rows in memory at once, at least 2 n. Up to so many, one choice is made among all, and their order does not
        matter. Whenever there are more, those so far are thinned first, each time to half of ``most``.
        Deviation: the published code keeps all until it chooses.

    Raises:
      InputError: no descriptors, some that are not finite, or ``most`` below 2 n.
    """
    if not 1 <= n <= most // 2:
        raise InputError(f"most = {most} rows for a bank of {n}: expected n from 1 on and most at least 2 n = {2 * n}")
    rows: list[np.ndarray] = []
    total = 0
    for batch in batches:
        new = np.asarray(batch).reshape(-1, np.shape(batch)[-1])
        if not np.isfinite(new).all():
            raise InputError("descriptors of normal pictures are not finite: check the pictures and the weights file")
        for part in np.split(new, range(most // 2, len(new), most // 2)):
            if total + len(part) > most:
                rows = [_thinned(rows, most // 2, anchor, projection)]
                total = len(rows[0])
            rows.append(part)
            total += len(part)
    if not total:
        raise InputError("no normal pictures to fill the bank with")
    return jnp.asarray(_thinned(rows, n, anchor, projection))


def _thinned(parts: list[np.ndarray], n: int, anchor: Callable[[Array], Array], projection: Array | None) -> np.ndarray:
    rows = np.concatenate(parts)
    seen = jnp.asarray(rows) if projection is None else projected(jnp.asarray(rows), projection)
    return rows[np.asarray(farthest(seen, anchor(seen), min(n, len(rows))).rows)]


def evidence(bank: Array, descriptors: Array, *, k: int = 1, support: int = 1, budget: int = BUDGET) -> Evidence:
    """Distances of b pictures' patches to the bank. Each picture alone: its batch mates change nothing.

    Args:
      bank: [M, d], at least k rows.
      descriptors: [b, h, w, d].
      k: nearest rows, bound before ``jit``.
      support: rows of the bank around the one nearest to the worst patch, that one included, by which the image score
        is re-weighted; cut to M. Paper and anomalib: 9.
        Deviation: 1, none, as in the published code: what it adds depends on the scale of the features.
      budget: distances in memory at once (``neighbours.nearest``).

    Source: Roth et al. 2022, equations 6 and 7.
    """

    def of_picture(patches: Array) -> tuple[Array, Array]:
        near = nearest(patches.reshape(-1, patches.shape[-1]), bank, k, budget=budget)
        worst = jnp.argmax(near.distances[:, 0])
        patch, row = patches.reshape(-1, patches.shape[-1])[worst], near.rows[worst, 0]
        rows = row[None]
        if (wide := min(support, len(bank))) > 1:
            rows = nearest(bank[row][None], bank, wide, budget=budget).rows[0]
        around = jnp.sqrt(jnp.square(patch[None] - bank[rows]).sum(1))
        return near.distances.reshape(*patches.shape[:2], k), around

    return Evidence(*jax.lax.map(of_picture, descriptors))


def score_weights(around: Array, support: int | None = None) -> Array:
    """w = 1 - exp |m_test - m*| / sum over the support of exp |m_test - m|, which is small where the bank is dense
    around m* and m_test no farther from it than from m*'s neighbours; in (0, 1], [b].

    Args:
      around: of ``Evidence``, [b, n].
      support: the first so many of it; None for all. 1 for no re-weighting, w = 1.
    """
    near = around[:, :support]
    if near.shape[1] <= 1:
        return jnp.ones_like(near[:, 0])
    return 1.0 - jax.nn.softmax(near, axis=1)[:, 0]


def patch_scores(distances: Array, *, k: int = 1, squared: bool = False) -> Array:
    """The mean over the k nearest rows, [b, h, w, at least k] -> [b, h, w].

    Args:
      k: Published 1; 3 or 5 in its runs for segmentation.
      squared: the mean of squares, as the published code has it. Deviation: the default is the paper's distance;
        squares order patches alike for k = 1, but blurred they are another map.

    Raises:
      InputError: fewer than k distances.
    """
    if not 1 <= k <= distances.shape[-1]:
        raise InputError(f"k = {k}: expected 1 to {distances.shape[-1]}, the nearest rows that were looked for")
    near = distances[..., :k]
    return (jnp.square(near) if squared else near).mean(-1)


def image_scores(scores: Array, weight: Array) -> Array:
    """w times the largest patch score, before any blur; [b, h, w] and [b] -> [b]. Source: Roth et al. 2022, Eq. 7."""
    return weight * scores.max((1, 2))


def patchcore_detect(
    bank: Array,
    descriptors: Array,
    *,
    size: tuple[int, int],
    sigma: float,
    k: int = 1,
    support: int = 1,
    squared: bool = False,
    repeat_edge: bool = False,
    budget: int = BUDGET,
) -> tuple[Array, Array]:
    """Maps [b, *size] and image scores [b] of descriptors [b, h, w, d]: all of the above, for ``jit`` and export."""
    found = evidence(bank, descriptors, k=k, support=support, budget=budget)
    scores = patch_scores(found.distances, k=k, squared=squared)
    return patch_map(scores, size, sigma=sigma, repeat_edge=repeat_edge), image_scores(scores, found.weight)
