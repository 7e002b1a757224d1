"""L3. SDE-DPM-Solver++ (2M): DPM-Solver++ (2M) with noise of its own, one call a step."""

import jax.numpy as jnp

from ddad_jax.conditioning import denoised
from ddad_jax.schedule import per_image
from ddad_jax.solvers.dpm_solver import DpmMemory, dpm_begin, dpm_extrapolated
from ddad_jax.solvers.step import Solver, Step, half_log_snr
from ddad_jax.types import Array, EpsFn


def _advance(eps_fn: EpsFn, memory: DpmMemory, x_t: Array, step: Step) -> tuple[Array, DpmMemory]:
    """x_s = (sigma_s / sigma_t) e^(-eta h) x_t + sqrt(a_s) (1 - e^(-(1 + eta) h)) D + sigma_s sqrt(1 - e^(-2 eta h)) z,

    sigma = sqrt(1 - a), h = lambda_s - lambda_t, D as in DPM-Solver++ (2M), z standard normal. eta = 0 is that
    solver, eta = 1 the reverse SDE, whose first step is that of DDIM with eta = 1; every eta leads to the same
    distribution. The last step, to the clean image, is the prediction itself.

    Source: Lu et al. 2022 (DPM-Solver++), SDE-DPM-Solver++ (2M); the family in eta: Xue et al. 2023 (SA-Solver),
      eta = tau^2.
    """
    x0_hat = denoised(x_t, eps_fn(x_t, step.t), step.a_t)
    shape = x_t.shape[:1]
    a_t, a_s = (jnp.broadcast_to(a, shape) for a in (step.a_t, step.a_s))
    lam_t, last = half_log_snr(a_t), a_s >= 1.0
    h = half_log_snr(jnp.where(last, a_t, a_s)) - lam_t
    d = dpm_extrapolated(x0_hat, memory, step, lam_t, h, x_t)
    keep = jnp.sqrt((1.0 - a_s) / (1.0 - a_t)) * jnp.exp(-step.eta * h)
    towards = -jnp.sqrt(a_s) * jnp.expm1(-(1.0 + step.eta) * h)
    spread = jnp.sqrt(-(1.0 - a_s) * jnp.expm1(-2.0 * step.eta * h))
    x_s = per_image(keep, x_t) * x_t + per_image(towards, x_t) * d + per_image(spread, x_t) * step.noise
    return jnp.where(per_image(last, x_t), x0_hat, x_s), DpmMemory(x0_hat, lam_t)


SDE_DPM_SOLVER_2M = Solver(dpm_begin, _advance, order=2, stochastic=True)
