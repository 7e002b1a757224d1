"""L4. A Gaussian of normal pictures as the noise predictor of a diffusion: exact at every time, nothing trained.

Of x_0 ~ N(mu, C) and x_t = sqrt(a) x_0 + sqrt(1 - a) eps, a = alpha_bar_t, the best predictions are linear,

    x0_hat  = mu + sqrt(a) C (a C + (1 - a) I)^-1 (x_t - sqrt(a) mu)
    eps_hat = sqrt(1 - a) (a C + (1 - a) I)^-1 (x_t - sqrt(a) mu)

and functions of C cost no more than C itself in its eigenbasis. Two kinds of C are small enough for this: one at each
position over its channels (``PositionPrior``), and one of the whole picture that has a few directions and the same
variance in all others (``PicturePrior``). A "picture" is any array [h, w, d]: pixels, or features of a frozen network.

Source: the posterior mean of a linear Gaussian model; as a denoiser: Wiener's filter.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.padim import Moments, add, no_pictures
from ddad_jax.schedule import alpha_bar_at, per_image
from ddad_jax.types import Array, EpsFn

_EXACT = jax.lax.Precision.HIGHEST

POOLED = 30.0
"""Pictures that the covariance of all positions together counts as, beside those seen at a position."""

SHARE = 0.1
"""Of the mean variance, added to every variance: of 0.001, 0.01, 0.1 and 1 that under which held-out normal pictures
were likeliest in a ``PositionPrior``."""

RANK = 100
"""Directions of a ``PicturePrior`` that have a variance of their own."""


class PositionPrior(NamedTuple):
    """Positions know nothing of each other. mean: [h, w, d]. basis: eigenvectors in columns, [h, w, d, d]. variance:
    eigenvalues, > 0, [h, w, d]."""

    mean: Array
    basis: Array
    variance: Array


class PicturePrior(NamedTuple):
    """mean: [h, w, d]. basis: r orthonormal pictures, [r, h, w, d]. variance: along them, > 0, [r]. rest: along
    everything else, > 0, []."""

    mean: Array
    basis: Array
    variance: Array
    rest: Array


Prior = PositionPrior | PicturePrior


def spectral(prior: Prior, z: Array, function: Callable[[Array], Array]) -> Array:
    """function(C) z, [b, h, w, d].

    Args:
      z: what C works on, such as pictures less their mean, [b, h, w, d].
      function: of eigenvalues, with an axis of pictures before their own: [1, ...] -> [b or 1, ...].
    """
    if isinstance(prior, PositionPrior):
        along = jnp.einsum("hwij,bhwi->bhwj", prior.basis, z, precision=_EXACT)
        return jnp.einsum("hwij,bhwj->bhwi", prior.basis, function(prior.variance[None]) * along, precision=_EXACT)
    along = jnp.einsum("rhwd,bhwd->br", prior.basis, z, precision=_EXACT)
    others = function(prior.rest[None, None])
    own = (function(prior.variance[None]) - others) * along
    return others[:, :, None, None] * z + jnp.einsum("rhwd,br->bhwd", prior.basis, own, precision=_EXACT)


def gaussian_eps(prior: Prior, alpha_bar: Array) -> EpsFn:
    """eps_hat above, an EpsFn for any sampler, conditioning and time; alpha_bar: table [T].

    A network can go on from it: x0_hat = this Gaussian's + a correction, which is an EpsFn again.

    >>> from ddad_jax.conditioning import denoised
    >>> prior = PicturePrior(jnp.zeros((1, 1, 2)), jnp.array([[[[1.0, 0.0]]]]), jnp.array([3.0]), jnp.array(1.0))
    >>> alpha_bar, x_t = jnp.array([0.25]), jnp.ones((1, 1, 1, 2))
    >>> x0_hat = denoised(x_t, gaussian_eps(prior, alpha_bar)(x_t, 0), 0.25)
    >>> [round(float(x), 3) for x in x0_hat.ravel()]  # sqrt(a) v / (a v + 1 - a)
    [1.0, 0.5]
    """

    def eps_fn(x_t: Array, t: Array) -> Array:
        a = alpha_bar_at(alpha_bar, jnp.asarray(t))

        def gain(variance: Array) -> Array:
            of = per_image(a, variance)
            return jnp.sqrt(1.0 - of) / (of * variance + 1.0 - of)

        return spectral(prior, x_t - per_image(jnp.sqrt(a), x_t) * prior.mean[None], gain)

    return eps_fn


class Units(NamedTuple):
    """In which pictures enter a diffusion. centre: of a channel, [d]. unit: of all numbers, []."""

    centre: Array
    unit: Array


def in_units(prior: Prior) -> tuple[Prior, Units]:
    """The Gaussian of (x - centre) / unit, whose channels are 0 in the mean over positions and whose variance is 1 in
    the mean over all directions: what the times of a schedule are made for. Distances change by their unit alone."""
    centre = prior.mean.mean((0, 1))
    mean = prior.mean - centre[None, None]
    if isinstance(prior, PositionPrior):
        unit = jnp.sqrt(prior.variance.mean())
        return prior._replace(mean=mean / unit, variance=prior.variance / unit**2), Units(centre, unit)
    size, rank = prior.mean.size, len(prior.variance)
    unit = jnp.sqrt((prior.variance.sum() + prior.rest * (size - rank)) / size)
    scaled = PicturePrior(mean / unit, prior.basis, prior.variance / unit**2, prior.rest / unit**2)
    return scaled, Units(centre, unit)


# --- Fitted


def position_prior(moments: Moments, *, pooled: float = POOLED, share: float = SHARE) -> PositionPrior:
    """(n S_ij + pooled S) / (n + pooled) + share v I at each position; S_ij its covariance, S the mean of all, v the
    mean variance. ``scatter`` is used up: ``basis`` lies where it lay.

    Args:
      moments: of ``padim.add``, batch by batch.
      pooled: >= 0; 0 for each position by itself.
      share: > 0.

    Raises:
      InputError: no pictures, or a Gaussian that is not finite.
    """
    if not int(moments.n):
        raise InputError("no normal pictures to take a mean and a covariance of")
    found: PositionPrior = _finite(
        PositionPrior(moments.mean, *_eigen(moments.scatter, moments.n, pooled, share)), int(moments.n)
    )
    return found


@partial(jax.jit, donate_argnums=0)
def _eigen(scatter: Array, n: Array, pooled: Array | float, share: Array | float) -> tuple[Array, Array]:
    rows, d = scatter.shape[0], scatter.shape[-1]
    of_all = scatter.mean((0, 1)) / jnp.maximum(n - 1, 1)
    added = _added(jnp.trace(of_all) / d, share) * jnp.eye(d, dtype=scatter.dtype)
    weight = pooled / (n + pooled)

    def row(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        matrices, variance = carry
        own = matrices[i] / jnp.maximum(n - 1, 1)
        values, vectors = jnp.linalg.eigh((1.0 - weight) * own + (weight * of_all + added)[None])
        return matrices.at[i].set(vectors), variance.at[i].set(jnp.maximum(values, added[0, 0]))

    return jax.lax.fori_loop(0, rows, row, (scatter, jnp.zeros(scatter.shape[:-1], scatter.dtype)))


def _added(variance: Array, share: Array | float) -> Array:
    """``share`` of the mean variance; of one where pictures do not differ."""
    return share * jnp.where(variance > 0, variance, 1.0)


class Subspace(NamedTuple):
    """Of the pictures seen so far. n: how many, []. mean: [h, w, d]. rows: orthogonal pictures, each as long as the
    root of the scatter along it, longest first, [k, h, w, d]. total: the whole scatter, []."""

    n: Array
    mean: Array
    rows: Array
    total: Array


def no_subspace(shape: tuple[int, ...], keep: int) -> Subspace:
    """Of none yet; shape: (h, w, d). keep: rows that are kept, >= 1."""
    zero = jnp.zeros(())
    return Subspace(zero, jnp.zeros(shape), jnp.zeros((keep, *shape)), zero)


@jax.jit
def widened_subspace(subspace: Subspace, pictures: Array, real: Array) -> Subspace:
    """The subspace with the pictures of a batch among them: exact up to ``keep`` of them, and after that but for what
    was ever left out behind the longest rows.

    Args:
      pictures: [b, h, w, d].
      real: which pictures count, bool [b]; False for padding.

    Source: Ross et al. 2008 (incremental PCA with a mean that moves).
    """
    n, mean, rows, total = subspace
    counted = real[:, None, None, None]
    b = real.astype(mean.dtype).sum()
    own_mean = jnp.where(counted, pictures, 0).sum(0) / jnp.maximum(b, 1)
    delta, n_after = own_mean - mean, n + b
    away = jnp.where(counted, pictures - own_mean[None], 0)
    between = (delta * jnp.sqrt(n * b / jnp.maximum(n_after, 1)))[None]
    every = jnp.concatenate([rows, away, between])
    gram = jnp.einsum("ihwd,jhwd->ij", every, every, precision=_EXACT)
    _, vectors = jnp.linalg.eigh(gram)
    longest = vectors[:, ::-1][:, : len(rows)]
    grown = total + jnp.square(away).sum() + jnp.square(between).sum()
    turned = jnp.einsum("ik,ihwd->khwd", longest, every, precision=_EXACT)
    return Subspace(n_after, mean + delta * (b / jnp.maximum(n_after, 1)), turned, grown)


def picture_prior(subspace: Subspace, *, rank: int = RANK, share: float = SHARE) -> PicturePrior:
    """The ``rank`` longest rows, less where fewer pictures were seen, with the variances along them; the variance that
    is left, spread over all other directions; and share v on every one of them, v the mean variance.

    Args:
      rank: 1 to the rows of ``subspace``.
      share: > 0.

    Raises:
      InputError: no pictures, a rank outside, or a Gaussian that is not finite.

    Source: Tipping and Bishop 1999 (probabilistic PCA), with what ``share`` adds.
    """
    n, size = int(subspace.n), subspace.mean.size
    if not n:
        raise InputError("no normal pictures to take a mean and a covariance of")
    if not 1 <= rank <= len(subspace.rows):
        raise InputError(f"rank = {rank}: expected 1 to {len(subspace.rows)}, the directions that were kept")
    # One more than pictures differ in has no direction.
    rank = max(1, min(rank, n - 1, size - 1))
    rows = subspace.rows[:rank]
    scatter = jnp.square(rows).sum((1, 2, 3))
    basis = rows / jnp.sqrt(jnp.maximum(scatter, jnp.finfo(rows.dtype).tiny))[:, None, None, None]
    added = _added(subspace.total / max(n - 1, 1) / size, share)
    rest = jnp.maximum(subspace.total - scatter.sum(), 0) / max(n - 1, 1) / (size - rank)
    variance = scatter / max(n - 1, 1) + added
    found: PicturePrior = _finite(PicturePrior(subspace.mean, basis, variance, rest + added), n)
    return found


def fit_positions(
    batches: Iterable[np.ndarray | Array], *, pooled: float = POOLED, share: float = SHARE
) -> PositionPrior:
    """``position_prior`` of all pictures of some batches [b, h, w, d]; a *host* loop around ``padim.add``.

    Raises:
      InputError: as ``position_prior``.
    """
    moments = None
    for batch in batches:
        pictures = jnp.asarray(batch)
        moments = no_pictures(pictures.shape[1:]) if moments is None else moments
        moments = add(moments, pictures, jnp.ones(len(pictures), bool))
    if moments is None:
        raise InputError("no normal pictures to take a mean and a covariance of")
    return position_prior(moments, pooled=pooled, share=share)


def fit_picture(batches: Iterable[np.ndarray | Array], *, rank: int = RANK, share: float = SHARE) -> PicturePrior:
    """``picture_prior`` of all pictures of some batches [b, h, w, d]; a *host* loop around ``widened_subspace``.

    Raises:
      InputError: as ``picture_prior``.
    """
    subspace = None
    for batch in batches:
        pictures = jnp.asarray(batch)
        subspace = no_subspace(pictures.shape[1:], 2 * rank) if subspace is None else subspace
        subspace = widened_subspace(subspace, pictures, jnp.ones(len(pictures), bool))
    if subspace is None:
        raise InputError("no normal pictures to take a mean and a covariance of")
    return picture_prior(subspace, rank=rank, share=share)


def _finite(prior: Any, n: int) -> Any:
    if not all(bool(jnp.isfinite(part).all()) for part in prior):
        raise InputError(
            f"the Gaussian of {n} normal pictures of {' x '.join(map(str, prior.mean.shape))} numbers is not finite: "
            "check the pictures and the weights file"
        )
    return prior
