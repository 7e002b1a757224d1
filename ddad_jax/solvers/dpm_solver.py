"""L3. DPM-Solver++ (2M): second order from one remembered prediction, one call a step."""

from typing import NamedTuple

import jax.numpy as jnp

from ddad_jax.conditioning import denoised
from ddad_jax.schedule import per_image
from ddad_jax.solvers.step import Solver, Step, half_log_snr
from ddad_jax.types import Array, EpsFn


class DpmMemory(NamedTuple):
    """x0_hat: the last step's prediction, like x. lam: its half log-SNR, [b]."""

    x0_hat: Array
    lam: Array


def dpm_begin(x_start: Array) -> DpmMemory:
    # Below every half log-SNR of the schedule, so that the ratio in the first step, which is not used, is finite.
    return DpmMemory(jnp.zeros_like(x_start), jnp.full(x_start.shape[:1], -100.0))


def dpm_extrapolated(x0_hat: Array, memory: DpmMemory, step: Step, lam_t: Array, h: Array, x: Array) -> Array:
    """D = x0_hat + (h / 2 h_before) (x0_hat - x0_hat_before): the prediction in the middle of the step, in lambda; in
    the first one x0_hat alone."""
    ahead = jnp.where(step.i == 1, 0.0, 0.5 * h / (lam_t - memory.lam))
    return x0_hat + per_image(ahead, x) * (x0_hat - memory.x0_hat)


def _advance(eps_fn: EpsFn, memory: DpmMemory, x_t: Array, step: Step) -> tuple[Array, DpmMemory]:
    """x_s = (sigma_s / sigma_t) x_t - sqrt(a_s) (e^-h - 1) D,  D = x0_hat + (h / 2 h_before) (x0_hat - x0_hat_before),

    sigma = sqrt(1 - a), h = lambda_s - lambda_t. The first step and the last, to the clean image, where h is
    infinite, take D = x0_hat: the first is DDIM, the last the prediction itself.

    Source: Lu et al. 2022 (DPM-Solver++), Algorithm 2.
    """
    x0_hat = denoised(x_t, eps_fn(x_t, step.t), step.a_t)
    shape = x_t.shape[:1]
    a_t, a_s = (jnp.broadcast_to(a, shape) for a in (step.a_t, step.a_s))
    lam_t, last = half_log_snr(a_t), a_s >= 1.0
    h = half_log_snr(jnp.where(last, a_t, a_s)) - lam_t
    d = dpm_extrapolated(x0_hat, memory, step, lam_t, h, x_t)
    x_s = per_image(jnp.sqrt((1.0 - a_s) / (1.0 - a_t)), x_t) * x_t - per_image(jnp.sqrt(a_s) * jnp.expm1(-h), x_t) * d
    return jnp.where(per_image(last, x_t), x0_hat, x_s), DpmMemory(x0_hat, lam_t)


DPM_SOLVER_2M = Solver(dpm_begin, _advance, order=2)
