"""L3. Step rules and the one loop that runs them.

The loop knows neither a network nor a target: it takes an EpsFn, which a U-Net, a distilled student
or an analytic Gaussian can be.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.conditioning import conditioned, denoised
from ddad_jax.schedule import alpha_bar_at, per_image, perturb
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array, EpsFn, Image, NoiseFn


def ddim_step(x_t: Array, eps: Array, a_t: Array, a_s: Array, *, eta: Array | float, noise: Array) -> Array:
    """x_s = sqrt(a_s) x0_hat + sqrt(1 - a_s - sigma^2) eps + sigma noise,

    sigma = eta sqrt((1 - a_t / a_s) (1 - a_s) / (1 - a_t)): eta = 0 is deterministic, eta = 1 has the
    variance of the DDPM posterior. At a_s = 1 the result is x0_hat exactly.

    Args:
      x_t, eps, noise: [b, h, w, c]; a_t, a_s: alpha_bar at this and the next time, scalar or [b].
      eta: in [0, 1], scalar or [b].

    Source: DDAD Eqs. 3 and 7; Song et al. 2021 (DDIM), Eqs. 12 and 16.
    """
    x0_hat = denoised(x_t, eps, a_t)
    sigma = eta * jnp.sqrt((1.0 - a_t / a_s) * (1.0 - a_s) / (1.0 - a_t))
    along_eps = jnp.sqrt(jnp.maximum(1.0 - a_s - sigma**2, 0.0))
    return per_image(jnp.sqrt(a_s), x_t) * x0_hat + per_image(along_eps, x_t) * eps + per_image(sigma, x_t) * noise


class Trajectory(NamedTuple):
    """x0: the result [b, h, w, c]. states: x after each step [K, b, h, w, c]."""

    x0: Array
    states: Array


def trajectory(
    eps_fn: EpsFn, x_start: Array, grid: TimeGrid, *, eta: Array | float, alpha_bar: Array, noise_fn: NoiseFn
) -> Trajectory:
    """Run ``ddim_step`` over the grid and keep every state: one ``lax.scan``, K calls of ``eps_fn``.

    Args:
      x_start: the noised images [b, h, w, c].
      grid: K times and where each leads; traced or not.
      eta: in [0, 1], scalar or [b].
      alpha_bar: table [T].
      noise_fn: i -> noise of step i = 1 .. K (0 belongs to the start).
    """

    def step(x_t: Array, at: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        i, t, s = at
        a_t, a_s = alpha_bar_at(alpha_bar, t), alpha_bar_at(alpha_bar, s)
        x_s = ddim_step(x_t, eps_fn(x_t, t), a_t, a_s, eta=eta, noise=noise_fn(i))
        return x_s, x_s

    steps = jnp.arange(1, grid.t.shape[0] + 1)
    x0, states = jax.lax.scan(step, x_start, (steps, jnp.asarray(grid.t), jnp.asarray(grid.s)))
    return Trajectory(x0, states)


def reconstruct(
    eps_fn: EpsFn,
    x: Image,
    y: Image,
    grid: TimeGrid,
    *,
    w: Array | float,
    eta: Array | float,
    alpha_bar: Array,
    noise_fn: NoiseFn,
) -> Array:
    """Noise ``x`` to T', then denoise it towards ``y``. Returns x0 [b, h, w, c], not clipped.

    ``w``, ``eta``, the grid's times and the noise may all be traced: one compilation serves every value.

    Source: DDAD Algorithm 1.
    """
    x_start = perturb(x, noise_fn(jnp.asarray(0)), alpha_bar_at(alpha_bar, jnp.asarray(grid.start)))
    steered = conditioned(eps_fn, y, w=w, alpha_bar=alpha_bar)
    return trajectory(steered, x_start, grid, eta=eta, alpha_bar=alpha_bar, noise_fn=noise_fn).x0


def noise_of(keys: Array, shape: tuple[int, ...]) -> NoiseFn:
    """Noise drawn for each image from its own key, so that it depends on no batch mate.

    Args:
      keys: typed PRNG keys [b]; shape: of one image, (h, w, c).
    """

    def noise_fn(i: Array) -> Array:
        return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, i), shape))(keys)

    return noise_fn
