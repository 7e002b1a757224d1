"""L4. Patches of normal pictures as the noise predictor of a diffusion: exact at every time, nothing trained.

At each position, wherever it lies, x_0 is a row of a bank of patches, with noise of its own, x_0 ~ N(row, h^2 I).
Of x_t = sqrt(a) x_0 + sqrt(1 - a) eps, a = alpha_bar_t, the best predictions are

    m       = sum over rows of softmax(-|x_t - sqrt(a) row|^2 / (2 v)) row,   v = a h^2 + 1 - a
    eps_hat = sqrt(1 - a) (x_t - sqrt(a) m) / v
    x0_hat  = m + sqrt(a) h^2 (x_t - sqrt(a) m) / v

With x_t = sqrt(a) y the weights are those of rows around y within s^2 = h^2 + (1 - a) / a: m is the row nearest to y
where that is little, and the mean of all rows where it is much. So one call at a small time measures what PatchCore
does, and a larger time asks more rows.

Source: the posterior mean of a mixture of equal Gaussians: the denoiser that a network trained on these patches alone
would end at (Karras et al. 2022, appendix B.3); as an estimate of a density: Parzen's.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.gaussian_prior import Units
from ddad_jax.neighbours import BUDGET, cut_sizes, nearest
from ddad_jax.patchcore import fit_patchcore
from ddad_jax.schedule import alpha_bar_at, per_image
from ddad_jax.types import Array, EpsFn

_EXACT = jax.lax.Precision.HIGHEST

ASKED = 2048
"""Rows at most whose distance to their nearest neighbour is measured for ``spacing``."""


class PatchPrior(NamedTuple):
    """rows: patches of normal pictures, about their mean, [M, d]. spacing: the median squared distance of a row to the
    nearest other one, > 0, []: the unit of h^2."""

    rows: Array
    spacing: Array


def spacing(rows: Array) -> Array:
    """``PatchPrior.spacing`` of rows [M, d]; of a single one, and where most are there twice, 1.

    >>> float(spacing(jnp.array([[0.0], [1.0], [2.0], [4.0]])))
    1.0
    """
    if len(rows) < 2:
        return jnp.ones((), rows.dtype)
    some = rows[:: -(-len(rows) // ASKED)]
    found = jnp.median(jnp.square(nearest(some, rows, 2).distances[:, 1]))
    return jnp.where(found > 0, found, 1.0)


def patch_eps(prior: PatchPrior, alpha_bar: Array, *, bandwidth: float = 0.0, budget: int = BUDGET) -> EpsFn:
    """eps_hat above at each position of [b, h, w, d], an EpsFn for any sampler, conditioning and time.

    Args:
      alpha_bar: table [T].
      bandwidth: h^2 as a share of ``spacing``, >= 0.
      budget: distances in memory at once, >= 1; decides a shape.

    >>> from ddad_jax.conditioning import denoised
    >>> prior = PatchPrior(jnp.array([[-2.0], [2.0]]), jnp.ones(()))
    >>> alpha_bar, y = jnp.array([0.99, 0.0001]), jnp.array([1.0]).reshape(1, 1, 1, 1)
    >>> at = lambda t: denoised(y, patch_eps(prior, alpha_bar)(y, t), alpha_bar[t]).item()
    >>> round(at(0), 2), round(at(1), 1)  # the nearest row; the mean of both
    (2.0, 0.0)
    """

    def eps_fn(x_t: Array, t: Array) -> Array:
        a = alpha_bar_at(alpha_bar, jnp.asarray(t))
        v = a * bandwidth * prior.spacing + 1.0 - a

        # Picture by picture: memory is that of one, and how many there are may be left open (``exported``).
        def of_picture(at: tuple[Array, Array, Array]) -> Array:
            places = at[0].reshape(-1, at[0].shape[-1])
            return rows_around(prior.rows, places, at[1], at[2], budget=budget).reshape(at[0].shape)

        each = [jnp.broadcast_to(value, x_t.shape[:1]) for value in (jnp.sqrt(a), v)]
        mean = jax.lax.map(of_picture, (x_t, *each))
        return per_image(jnp.sqrt(1.0 - a) / v, x_t) * (x_t - per_image(jnp.sqrt(a), x_t) * mean)

    return eps_fn


class _Softmax(NamedTuple):
    """Of the rows so far: the highest exponent, the sum of weights and of weighted rows, both relative to it."""

    highest: Array
    total: Array
    mean: Array


def rows_around(rows: Array, x: Array, scale: Array, variance: Array, *, budget: int = BUDGET) -> Array:
    """sum over rows of softmax(-|x - scale row|^2 / (2 variance)) row for each x, [m, d]; never all weights at once.

    Args:
      rows: [M, d], about their own mean, so that there is little to cancel.
      x: [m, d]. scale, variance: > 0, [].
      budget: weights in memory at once, >= 1; decides a shape.

    Source: Milakov and Gimelshein 2018 (a softmax whose terms come one after another).
    """
    (m, d), size = x.shape, len(rows)
    n_x, n_rows = cut_sizes(m, size, budget)
    parts = jnp.pad(rows, ((0, -size % n_rows), (0, 0))).reshape(-1, n_rows, d)
    # |x|^2 is the same for all rows.
    own = jnp.where(jnp.arange(len(parts) * n_rows) < size, 0.0, jnp.inf).reshape(-1, n_rows)
    own = own + scale * jnp.square(parts).sum(2) / 2

    def of_cut(cut: Array) -> Array:
        def more(so_far: _Softmax, part: tuple[Array, Array]) -> tuple[_Softmax, None]:
            y, less = part
            near = scale / variance * (jnp.matmul(cut, y.T, precision=_EXACT) - less[None])
            highest = jnp.maximum(so_far.highest, near.max(1, keepdims=True))
            weight, before = jnp.exp(near - highest), jnp.exp(so_far.highest - highest)
            total = before * so_far.total + weight.sum(1, keepdims=True)
            return _Softmax(highest, total, before * so_far.mean + jnp.matmul(weight, y, precision=_EXACT)), None

        none = _Softmax(jnp.full((len(cut), 1), -jnp.inf), jnp.zeros((len(cut), 1)), jnp.zeros(cut.shape))
        found, _ = jax.lax.scan(more, none, (parts, own))
        return found.mean / found.total

    found = jax.lax.map(of_cut, jnp.pad(x, ((0, -m % n_x), (0, 0))).reshape(-1, n_x, d))
    return found.reshape(-1, d)[:m]


# --- Fitted


def fit_patches(batches: Iterable[np.ndarray | Array], n: int, *, evenly: bool = False) -> tuple[PatchPrior, Units]:
    """n of the patches of normal pictures, in units: about the mean of those n, with a variance of 1 in the mean over
    channels, which is what the times of a schedule are made for; *host*.

    Args:
      batches: patches, each [..., d], no padding among them.
      n: rows to keep, >= 1; all where there are fewer.
      evenly: the first n (``coreset.drawn_evenly`` chooses among more); otherwise ``patchcore.fit_patchcore``, whose
        rows are far from each other: as many where patches are rare as where they are common.

    Raises:
      InputError: no patches, or some that are not finite.
    """
    if evenly:
        every = [np.asarray(batch).reshape(-1, np.shape(batch)[-1]) for batch in batches]
        rows = jnp.asarray(np.concatenate(every)[:n]) if every else jnp.zeros((0, 1))
        if not len(rows) or not bool(jnp.isfinite(rows).all()):
            raise InputError(
                f"{len(rows)} patches of normal pictures: expected at least one and finite numbers; check the pictures "
                "and the weights file"
            )
    else:
        rows = fit_patchcore(batches, n)
    centre = rows.mean(0)
    away = rows - centre[None]
    size = jnp.sqrt(jnp.square(away).mean())
    unit = jnp.where(size > 0, size, 1.0)
    return PatchPrior(away / unit, spacing(away / unit)), Units(centre, unit)
