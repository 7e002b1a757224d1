"""L4. A Gaussian of normal pictures as the skip of a network: what is linear is exact, and the network learns the rest.

With m(x_t) the Gaussian's posterior mean of x_0 (``gaussian_prior``), v its eigenvalues, a = alpha_bar_t,

    x0_hat = m(x_t) + c_out(t) F(c_in(t) x_t, t)
    c_out^2 = mean over directions of v (1 - a) / (a v + 1 - a),   c_in^-2 = a mean of x_0^2 + 1 - a

so that where pictures are as the Gaussian says what F is to put out has unit variance at every time, and what it is
given has, too. An F of 0 is the Gaussian: a training begins at its error and only adds.

Source: Karras et al. 2022 (EDM), Eq. 7 and Table 1, where the Gaussian has one variance and mean 0: then c_skip x is
  m(x_t), and these are EDM's c_out and c_in. Another covariance in its place is ours.
"""

from collections.abc import Callable

import jax.numpy as jnp

from ddad_jax.gaussian_prior import PicturePrior, gaussian_eps
from ddad_jax.schedule import alpha_bar_at, per_image
from ddad_jax.types import Array


def over_directions(prior: PicturePrior, function: Callable[[Array], Array], axes: int = 0) -> Array:
    """Mean of function(v) over all directions, v: of eigenvalues, with so many axes of 1 before their own."""
    size, rank = prior.mean.size, len(prior.variance)
    before = (1,) * axes
    own, others = function(prior.variance.reshape(*before, rank)), function(prior.rest.reshape(*before, 1))
    return (own.sum(-1) + others[..., 0] * (size - rank)) / size


def reach(prior: PicturePrior, a: Array) -> Array:
    """k = c_out sqrt(a / (1 - a)), the root of the mean over directions of a v / (a v + 1 - a): in [0, 1), shape of a.

    By so much F moves the predicted noise; 1 / k^2 makes of a squared error of the noise one of F.
    """
    of = jnp.asarray(a)[..., None]
    return jnp.sqrt(over_directions(prior, lambda v: of * v / (of * v + 1.0 - of), of.ndim - 1))


def skipped(prior: PicturePrior, x_t: Array, t: Array, alpha_bar: Array) -> tuple[Array, Callable[[Array], Array]]:
    """(what the network is given, its output -> eps_hat); x_t: [b, h, w, c], t: scalar or [b], alpha_bar: table [T].

    >>> flat = PicturePrior(jnp.zeros((1, 1, 2)), jnp.array([[[[1.0, 0.0]]]]), jnp.array([0.25]), jnp.array(0.25))
    >>> x_t = jnp.array([[[[0.6, -0.8]]]])
    >>> given, eps = skipped(flat, x_t, 0, jnp.array([0.5]))
    >>> print((given / x_t).round(4).ravel())  # EDM's c_in of x_t / sqrt(a), sigma_data = 0.5: 1 / sqrt(1 + 0.25)
    [1.2649 1.2649]
    >>> [round(float(e), 3) for e in eps(jnp.ones_like(x_t)).ravel()]
    [0.232, -1.352]
    """
    a = alpha_bar_at(alpha_bar, jnp.asarray(t))
    second = jnp.mean(jnp.square(prior.mean)) + over_directions(prior, lambda v: v)
    skip = gaussian_eps(prior, alpha_bar)(x_t, t)
    return (
        x_t / per_image(jnp.sqrt(a * second + 1.0 - a), x_t),
        lambda out: skip - per_image(reach(prior, a), x_t) * out,
    )
