"""L3. Heun: second order without a memory, two calls a step. Slow; what the others are measured against."""

import jax.numpy as jnp

from ddad_jax.schedule import per_image
from ddad_jax.solvers.step import Solver, Step
from ddad_jax.types import Array, EpsFn


def _advance(eps_fn: EpsFn, memory: tuple[()], x_t: Array, step: Step) -> tuple[Array, tuple[()]]:
    """With z = x / sqrt(a) and sigma = sqrt((1 - a) / a) the probability flow is dz / dsigma = eps, and

        z_s = z_t + (sigma_s - sigma_t) (eps(z_t) + eps(z'_s)) / 2,  z'_s = z_t + (sigma_s - sigma_t) eps(z_t).

    The last step, to the clean image, is Euler's (there is no noise to predict there); its second call is wasted.

    Source: Karras et al. 2022 (EDM), Algorithm 1.
    """
    sigma_t, sigma_s = (jnp.sqrt((1.0 - a) / a) for a in (step.a_t, step.a_s))
    forward, scale = per_image(sigma_s - sigma_t, x_t), per_image(jnp.sqrt(step.a_s), x_t)
    z_t = x_t / per_image(jnp.sqrt(step.a_t), x_t)
    here = eps_fn(x_t, step.t)
    there = eps_fn(scale * (z_t + forward * here), jnp.maximum(step.s, 0))
    slope = jnp.where(per_image(step.a_s >= 1.0, x_t), here, 0.5 * (here + there))
    return scale * (z_t + forward * slope), memory


HEUN = Solver(begin=lambda x_start: (), advance=_advance, order=2, calls=2)
