"""L3. An anomaly map without a reconstruction: pictures are led towards noise, and normal ones arrive there."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.conditioning import denoised
from ddad_jax.schedule import alpha_bar_at, perturb
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array, EpsFn


class Inverted(NamedTuple):
    """latent: where the pictures arrive, [b, h, w, c]; standard normal, if they are what the network knows. states:
    after each call, [K, b, h, w, c]; the last is ``latent``."""

    latent: Array
    states: Array


def inverted(eps_fn: EpsFn, x: Array, grid: TimeGrid, *, alpha_bar: Array) -> Inverted:
    """DDIM the other way, K calls: at each time t of the grid, earliest first, and s the one after it,

        x_s = sqrt(a_s) x0_hat + sqrt(1 - a_s) eps
        eps = eps_theta(x_t, t),   x0_hat = (x_t - sqrt(1 - a_t) eps) / sqrt(a_t)

    and after the last a_s = 0: the latent is the noise predicted there. The first call takes the picture itself for
    x_t.

    Args:
      x: pictures [b, h, w, c].
      grid: whose times are visited backwards. Published: ``timesteps.uniform(999, 3)`` in the code (0, 500, 999),
        ``timesteps.trailing(999, 3)`` in the paper (333, 666, 999).
      alpha_bar: table [T].

    Source: Sakai et al. 2026 (InversionAD), and the published code.

    Deviation: the published code recovers eps from x0_hat, which divides by 0.01 at t = 0; here it is used as it is.
    """
    t = jnp.asarray(grid.t)[::-1]
    a = alpha_bar_at(alpha_bar, t)
    # One value a picture has its axis behind that of times.
    after = jnp.concatenate([a[1:], jnp.zeros_like(a[:1])])

    def advance(x_t: Array, at: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        t, a_t, a_s = at
        eps = eps_fn(x_t, t)
        x_s = perturb(denoised(x_t, eps, a_t), eps, a_s)
        return x_s, x_s

    latent, states = jax.lax.scan(advance, x, (t, a, after))
    return Inverted(latent, states)


def norms(latent: Array) -> Array:
    """The length of the latent at each position, [b, h, w, c] -> [b, h, w]; about sqrt(c) where it is standard normal.

    Source: InversionAD's map.
    """
    return jnp.sqrt(jnp.square(latent).sum(-1))


def surprise(latent: Array) -> Array:
    """-log N(latent; 0, I), summed over positions and channels, [b].

    Source: InversionAD's image score, which adds it to ``max - min`` of ``norms``, both scaled over the test set.
      Deviation: not scaled here, so that a picture's score is its own.
    """
    of_each = 0.5 * (jnp.square(latent) + jnp.log(2.0 * jnp.pi))
    return of_each.sum(range(1, latent.ndim))
