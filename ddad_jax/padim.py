"""L4. PaDiM: one Gaussian at each position of normal pictures, and how far a position is from its own in its spreads.

Nothing is trained. Embeddings are ``embedding.position_embedding`` as published, or some channels of
``embedding.patch_descriptors``, which have seen more of their neighbourhood. Pictures are seen once, batch by batch,
so memory is that of one batch and of one d x d matrix a position, which scoring's own takes the place of.

Source: Defard et al. 2021, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization".
Its authors published no code; "published" is the usual re-implementation (xiahaifeng1995).
"""

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.patch_map import patch_map
from ddad_jax.types import Array

_EXACT = jax.lax.Precision.HIGHEST

REGULARISATION = 0.01
"""Added to every variance, as published; it belongs to features of a ResNet, behind its ReLU."""

SHARE = 0.1
"""Of the mean variance, added to every variance: where held-out normal pictures are likeliest. Of 0.001 to 1 that was
0.1 with 170 pictures in 152 channels; too little costs more than too much."""


class Moments(NamedTuple):
    """Of the pictures seen so far, at each position of the grid. n: how many, []. mean: [h, w, d]. scatter: sum over
    pictures of (x - mean)(x - mean)^T, [h, w, d, d]."""

    n: Array
    mean: Array
    scatter: Array


class Gaussian(NamedTuple):
    """mean: [h, w, d]. whiten: L^-1 of the covariance L L^T, lower triangular, [h, w, d, d]."""

    mean: Array
    whiten: Array


def no_pictures(shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Moments:
    """Of none yet; shape: (h, w, d) of their embeddings."""
    return Moments(jnp.zeros((), dtype), jnp.zeros(shape, dtype), jnp.zeros((*shape, shape[-1]), dtype))


@partial(jax.jit, donate_argnums=0)
def add(moments: Moments, embeddings: Array, real: Array) -> Moments:
    """The moments with the pictures of a batch among them. ``moments`` is used up: its memory becomes the result's.

        n' = n + b,   delta = mean_b - mean,   mean' = mean + delta b / n'
        scatter' = scatter + sum over the batch of (x - mean_b)(x - mean_b)^T + delta delta^T n b / n'

    Sums are of deviations from a mean, so that float32 has little to cancel however far features are from 0: as good as
    in float64 to about 1e-6 of the variances, 1e-5 for a mean of a thousand spreads. Batches of any size give the same
    to rounding.

    Args:
      embeddings: [b, h, w, d].
      real: which pictures count, bool [b]; False for padding.

    Source: Chan, Golub and LeVeque 1979 (merging of variances).
    """
    n, mean, scatter = moments
    weight = real.astype(mean.dtype)
    b = weight.sum()
    n_after = n + b
    counted = real[:, None, None, None]
    own_mean = jnp.where(counted, embeddings, 0).sum(0) / jnp.maximum(b, 1)
    delta = own_mean - mean
    away = jnp.where(counted, embeddings - own_mean[None], 0)
    # One row more: the way between both means.
    away = jnp.concatenate([away, (delta * jnp.sqrt(n * b / jnp.maximum(n_after, 1)))[None]])

    def row(i: Array, scatter: Array) -> Array:
        x = away[:, i]
        return scatter.at[i].add(jnp.einsum("nwi,nwj->wij", x, x, precision=_EXACT))

    # A row of the grid at a time, into the memory that is there.
    scatter = jax.lax.fori_loop(0, scatter.shape[0], row, scatter)
    return Moments(n_after, mean + delta * (b / jnp.maximum(n_after, 1)), scatter)


def covariance(moments: Moments, regularisation: Array | float) -> Array:
    """scatter / (n - 1) + regularisation I at each position, [h, w, d, d]; of one picture the second part alone."""
    return _regular(moments.scatter, moments.n, regularisation)


def regularisation_for(moments: Moments, share: float = SHARE) -> Array:
    """``share`` of the variance, in the mean over channels and positions, []; 0.01 where there is none yet.

    One number for all positions: where normal pictures never differ, nothing else says what a difference means.

    Deviation: published 0.01 whatever the features, which is next to nothing where they are larger than a ResNet's:
      those of EfficientNet-Lite0 have a variance of about 20.
    """
    variance = jnp.trace(moments.scatter, axis1=-2, axis2=-1).mean() / moments.scatter.shape[-1]
    own = share * variance / jnp.maximum(moments.n - 1, 1)
    return jnp.where(own > 0, own, REGULARISATION)


def _regular(scatter: Array, n: Array, regularisation: Array | float) -> Array:
    identity = jnp.broadcast_to(jnp.eye(scatter.shape[-1], dtype=scatter.dtype), scatter.shape)
    return scatter / jnp.maximum(n - 1, 1) + regularisation * identity


def gaussian(moments: Moments, regularisation: Array | float) -> Gaussian:
    """The Gaussian of each position. ``scatter`` is used up: ``whiten`` lies where it lay.

    Args:
      regularisation: added to every variance, >= 0 (``regularisation_for``). Too little leaves what is not finite.

    Deviation: the published code inverts the covariance, in float32 at the time of the test. Its condition number is
      1e4 and more; that of its Cholesky factor is the root of this, and a sum of squares cannot be negative.
    """
    return Gaussian(moments.mean, _whitened(moments.scatter, moments.n, jnp.asarray(regularisation)))


@partial(jax.jit, donate_argnums=0)
def _whitened(scatter: Array, n: Array, regularisation: Array) -> Array:
    identity = jnp.broadcast_to(jnp.eye(scatter.shape[-1], dtype=scatter.dtype), scatter.shape[1:])

    def row(i: Array, matrices: Array) -> Array:
        factor = jnp.linalg.cholesky(_regular(matrices[i], n, regularisation))
        return matrices.at[i].set(jax.lax.linalg.triangular_solve(factor, identity, left_side=True, lower=True))

    return jax.lax.fori_loop(0, scatter.shape[0], row, scatter)


def fit_padim(
    batches: Iterable[np.ndarray | Array], *, regularisation: float | None = None, share: float = SHARE
) -> Gaussian:
    """``gaussian`` of all pictures of some batches of embeddings [b, h, w, d]; a *host* loop around ``add``.

    Give batches of one size where you can: another is another compilation. Which batches, and their order, matters to
    rounding alone.

    Args:
      regularisation: published ``REGULARISATION``. None: ``regularisation_for`` that ``share``.

    Raises:
      InputError: no pictures, or a Gaussian that is not finite.
    """
    moments: Moments | None = None
    for batch in batches:
        pictures = jnp.asarray(batch)
        if moments is None:
            moments = no_pictures(pictures.shape[1:], pictures.dtype)
        moments = add(moments, pictures, jnp.ones(len(pictures), bool))
    return fitted(moments, regularisation=regularisation, share=share)


def fitted(moments: Moments | None, *, regularisation: float | None = None, share: float = SHARE) -> Gaussian:
    """``gaussian`` of the moments of all pictures; *host*. Arguments and errors: ``fit_padim``; None: no pictures."""
    if moments is None or not moments.n:
        raise InputError("no normal pictures to take a mean and a covariance of")
    n, d = int(moments.n), moments.mean.shape[-1]
    added = regularisation_for(moments, share) if regularisation is None else jnp.asarray(regularisation)
    found = gaussian(moments, added)
    if not (jnp.isfinite(found.mean).all() and jnp.isfinite(found.whiten).all()):
        raise InputError(
            f"regularisation = {float(added):.3g}: the Gaussian of {n} normal pictures in {d} channels is not finite. "
            "Raise it or its share, keep fewer channels, or check the pictures and the weights file"
        )
    return found


def mahalanobis(fitted: Gaussian, embeddings: Array) -> Array:
    """sqrt((x - mean)^T covariance^-1 (x - mean)) at each position, [b, h, w, d] -> [b, h, w].

    Each picture alone: its batch mates change nothing.

    Source: Defard et al. 2021, section III-C.
    """

    def of_picture(x: Array) -> Array:
        white = jnp.einsum("hwij,hwj->hwi", fitted.whiten, x - fitted.mean, precision=_EXACT)
        return jnp.sqrt(jnp.square(white).sum(-1))

    return jax.lax.map(of_picture, embeddings)


def scaled_over_set(maps: Array) -> Array:
    """(A - min) / (max - min) over all pictures of a test set together; all 0 where nothing differs.

    Deviation: published before any score, so that a score depends on the other pictures of its test set and a single
      picture has none. Nothing here does it unless asked; no ranking metric changes.
    """
    least, most = maps.min(), maps.max()
    return jnp.where(most > least, (maps - least) / jnp.where(most > least, most - least, 1), 0)


def padim_detect(
    fitted: Gaussian, embeddings: Array, *, size: tuple[int, int], sigma: float, repeat_edge: bool = False
) -> tuple[Array, Array]:
    """Maps [b, *size] and their largest values [b], of embeddings [b, h, w, d]; for ``jit`` and export."""
    maps = patch_map(mahalanobis(fitted, embeddings), size, sigma=sigma, repeat_edge=repeat_edge)
    return maps, maps.max((1, 2))
