"""L3. What a test set can tell: how far does a detector get that looks for no defect, only at how new a picture is?

A picture is one vector z, coarse features of the whole of it (``whole_picture``), and its score the distance to the
nearest of the n pictures that were trained on:

    s(y) = min_i |z(y) - z_i|                                                                          (know-nothing)

Nothing in s looks for a defect. Its image AUROC on the test set is what can be had there without: because defects are
so large that the whole picture is another one, or because good parts of the test were trained on. Either way figures of
methods say something about finding defects by what they have beyond it.

Whether the test's normal pictures are other exposures or frames of the parts that were trained on, their distances say,
held against those among the training pictures themselves. Two references are sensible:

    recordings   each training picture's distance to the nearest of another recording (or part)
    pictures     each training picture's distance to the nearest other

and the figures are shares of the test's normal pictures. Nearer than all but 5 % of the first are 5 % of fresh parts,
and nearly all where parts were trained on. The second cannot tell these apart: where pictures were drawn one by one,
test and training pictures have the same near relatives, and half of the test's are nearer than the median whether there
are any or not; only a share near 0 says something, that training pictures have relatives that test pictures lack. So
the verdict is by ``recordings``, and there is none of this kind where these are not known.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ddad_jax.embedding import adaptive_pool
from ddad_jax.errors import InputError
from ddad_jax.metrics import auroc, auroc_interval
from ddad_jax.metrics.intervals import share_interval
from ddad_jax.types import Array

GRID = 4
"""Places a side: enough to know a part again, too coarse for a scratch."""

AT_ONCE = 2**22
"""Distances in memory: 16 MiB."""

SATURATED, DOUBTFUL = 0.95, 0.85
"""Know-nothing AUROC from which on a test set separates no methods, or only those that are well above it."""
EXPECTED, LEAKING = 0.05, 0.5
"""Share of normal test pictures nearer than that quantile of ``recordings`` where no part of the test was trained on,
and from which on some were: half, as a test set of a dozen parts with six pictures each may have 20 % by chance."""


class ProtocolCheck(NamedTuple):
    """know_nothing: image AUROC of s; low, high: its 95 % bootstrap interval over test pictures; NaN where a kind of
    picture is missing.

    near_recordings, near_pictures: shares of the test's normal pictures, NaN where they are not known; recordings_low:
    the lower end of the first one's interval (95 %, Clopper and Pearson). n_train, n_good, n_defective: pictures.
    """

    know_nothing: float
    low: float
    high: float
    near_recordings: float
    recordings_low: float
    near_pictures: float
    n_train: int
    n_good: int
    n_defective: int

    @property
    def saturated(self) -> bool:
        return self.know_nothing >= SATURATED

    @property
    def doubtful(self) -> bool:
        return self.know_nothing >= DOUBTFUL

    @property
    def leaking(self) -> bool:
        """Whether parts of the test were trained on; never where recordings are not known."""
        return self.near_recordings >= LEAKING and self.recordings_low > EXPECTED


def whole_picture(features: Array, *, grid: int = GRID) -> Array:
    """Means of a layer over ``grid`` x ``grid`` even parts of the picture: [b, h, w, c] -> [b, grid, grid, c].

    >>> whole_picture(jnp.arange(16.0).reshape(1, 4, 4, 1), grid=2)[0, ..., 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    by_row = adaptive_pool(jnp.moveaxis(features.astype(jnp.float32), 1, -1), grid)
    return jnp.transpose(adaptive_pool(jnp.moveaxis(by_row, 1, -1), grid), (0, 2, 3, 1))


class WholePictures(NamedTuple):
    """What a know-nothing detector remembers; *host*. rows: float32 [n, d], standardised; mean, std: of the channels,
    [c], over training pictures and places."""

    rows: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    def standardised(self, vectors: np.ndarray) -> np.ndarray:
        """[b, g, g, c] -> [b, d]: every channel counts the same."""
        return ((vectors - self.mean) / self.std).astype(np.float32).reshape(len(vectors), -1)


def whole_pictures(vectors: np.ndarray) -> WholePictures:
    """vectors: of ``whole_picture``, of all n >= 1 training pictures, [n, g, g, c].

    Raises:
      InputError: none, or some that are not finite.
    """
    if not len(vectors) or not np.isfinite(vectors).all():
        raise InputError("features of whole training pictures: expected one picture or more, and finite numbers")
    mean = vectors.mean((0, 1, 2), dtype=np.float64)
    std = vectors.std((0, 1, 2), dtype=np.float64)
    known = WholePictures(vectors, mean, np.where(std > 0, std, 1.0))
    return known._replace(rows=known.standardised(vectors))


def novelty(known: WholePictures, batches: Iterable[np.ndarray]) -> np.ndarray:
    """s of test pictures, float32 [m]; batches: of ``whole_picture``, [b, g, g, c], one after another."""
    found = [_nearest(known.standardised(batch), known.rows) for batch in batches]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def distances_among(known: WholePictures, recordings: Sequence[str] = ()) -> np.ndarray:
    """Of each training picture the distance to the nearest other, float32 [n]; inf where there is none.

    recordings: of each, [n]: only pictures of other recordings are looked at.
    """
    groups = np.unique(recordings, return_inverse=True)[1] if len(recordings) else np.arange(len(known.rows))
    return _nearest(known.rows, known.rows, groups)


def _nearest(queries: np.ndarray, bank: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """groups: of ``queries``, which are the bank itself: rows of one's own are left out."""
    squares, found = np.square(bank).sum(1), []
    step = max(1, AT_ONCE // len(bank))
    for first in range(0, len(queries), step):
        x = queries[first : first + step]
        # Without |x|^2, which is the same for all of a row.
        far = squares[None] - 2.0 * (x @ bank.T)
        if groups is not None:
            far[groups[first : first + step, None] == groups[None]] = np.inf
        at = far.argmin(1)
        near = np.sqrt(np.square(x - bank[at]).sum(1))
        found.append(np.where(np.isfinite(far[np.arange(len(x)), at]), near, np.inf))
    return np.concatenate(found).astype(np.float32)


def protocol_check(
    scores: np.ndarray, labels: np.ndarray, by_picture: np.ndarray, by_recording: np.ndarray | None, *, seed: int
) -> ProtocolCheck:
    """The figures; labels decide what is counted, and set nothing.

    Args:
      scores: of ``novelty``, [m]; labels: int [m], 1 = anomalous.
      by_picture, by_recording: of ``distances_among``, [n]; the second None where recordings are not known.
      seed: of the bootstrap.
    """
    good = np.asarray(labels) == 0
    low, high = auroc_interval(scores, labels, seed=seed)

    def nearer(reference: np.ndarray | None, quantile: float) -> int | None:
        finite = reference[np.isfinite(reference)] if reference is not None else np.zeros(0)
        return int((scores[good] < np.quantile(finite, quantile)).sum()) if finite.size and good.any() else None

    of_recordings, of_pictures = nearer(by_recording, EXPECTED), nearer(by_picture, 0.5)
    n = int(good.sum())
    return ProtocolCheck(
        know_nothing=auroc(scores, labels),
        low=low,
        high=high,
        near_recordings=float("nan") if of_recordings is None else of_recordings / n,
        recordings_low=float("nan") if of_recordings is None else share_interval(of_recordings, n)[0],
        near_pictures=float("nan") if of_pictures is None else of_pictures / n,
        n_train=len(by_picture),
        n_good=n,
        n_defective=len(good) - n,
    )
