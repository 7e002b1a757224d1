"""L3. DDIM: first order, one call, with noise of its own."""

import jax.numpy as jnp

from ddad_jax.conditioning import denoised
from ddad_jax.schedule import per_image
from ddad_jax.solvers.step import Solver, Step
from ddad_jax.types import Array, EpsFn


def ddim_step(x_t: Array, eps: Array, a_t: Array, a_s: Array, *, eta: Array | float, noise: Array) -> Array:
    """x_s = sqrt(a_s) x0_hat + sqrt(1 - a_s - sigma^2) eps + sigma noise,

    sigma = eta sqrt((1 - a_t / a_s) (1 - a_s) / (1 - a_t)): eta = 0 is deterministic, eta = 1 has the
    variance of the DDPM posterior. At a_s = 1 the result is x0_hat exactly.

    Args:
      x_t, eps, noise: [b, h, w, c]; a_t, a_s: alpha_bar at this and the next time, scalar or [b].
      eta: in [0, 1], scalar or [b].

    Source: DDAD Eqs. 3 and 7; Song et al. 2021 (DDIM), Eqs. 12 and 16.

    >>> x_t, eps = jnp.full((1, 1, 1, 1), 0.3), jnp.full((1, 1, 1, 1), 0.1)
    >>> last = ddim_step(x_t, eps, jnp.asarray(0.5), jnp.asarray(1.0), eta=1.0, noise=eps)
    >>> bool(last == denoised(x_t, eps, jnp.asarray(0.5)))  # at a_s = 1 the clean image itself
    True
    """
    x0_hat = denoised(x_t, eps, a_t)
    # Towards more noise, as in inversion, there is none of its own to add.
    sigma = eta * jnp.sqrt(jnp.maximum((1.0 - a_t / a_s) * (1.0 - a_s) / (1.0 - a_t), 0.0))
    along_eps = jnp.sqrt(jnp.maximum(1.0 - a_s - sigma**2, 0.0))
    return per_image(jnp.sqrt(a_s), x_t) * x0_hat + per_image(along_eps, x_t) * eps + per_image(sigma, x_t) * noise


def _advance(eps_fn: EpsFn, memory: tuple[()], x_t: Array, step: Step) -> tuple[Array, tuple[()]]:
    return ddim_step(x_t, eps_fn(x_t, step.t), step.a_t, step.a_s, eta=step.eta, noise=step.noise), memory


DDIM = Solver(begin=lambda x_start: (), advance=_advance, order=1, stochastic=True)
