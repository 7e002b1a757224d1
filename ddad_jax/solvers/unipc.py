"""L3. UniPC: a predictor of order p and, with the prediction that the next step needs anyway, a corrector of
the same order: one call a step, order p + 1.

Source: Zhao et al. 2023 (UniPC), data prediction, B(h) = e^h - 1 (their B_2), multistep.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp

from ddad_jax.conditioning import denoised
from ddad_jax.schedule import per_image
from ddad_jax.solvers.step import Solver, Step, half_log_snr
from ddad_jax.types import Array, EpsFn


class UnipcMemory(NamedTuple):
    """x: the (corrected) state the last step left from. x0_hat: predictions, the newest first, each like x.
    lam: their half log-SNR, [b] each. a: alpha_bar of the newest, [b]."""

    x: Array
    x0_hat: tuple[Array, ...]
    lam: tuple[Array, ...]
    a: Array


def phi(k: int, z: Array) -> Array:
    """phi_k(z) = sum_j z^j / (j + k)!, by its series near 0, where phi_k = (phi_(k-1) - 1/(k-1)!) / z cancels."""
    near = jnp.zeros_like(z)
    for j in range(9, -1, -1):
        near = near * z + 1.0 / math.factorial(j + k)
    safe = jnp.where(jnp.abs(z) < 1.0, 1.0, z)
    far = jnp.exp(safe)
    for j in range(k):
        far = (far - 1.0 / math.factorial(j)) / safe
    return jnp.where(jnp.abs(z) < 1.0, near, far)


def lagrange_weights(r: list[Array], b: list[Array]) -> list[Array]:
    """rho with sum_j rho_j r_j^i = b_i, i = 0 .. n-1, for n <= 3 distinct r_j, any shape: Lagrange's polynomials."""
    if len(r) == 1:
        return [b[0]]
    found = []
    for j, at in enumerate(r):
        others = [q for k, q in enumerate(r) if k != j]
        # Coefficients of prod (x - q), the constant first.
        product = [-others[0], jnp.ones_like(at)]
        if len(others) == 2:
            product = [others[0] * others[1], -(others[0] + others[1]), jnp.ones_like(at)]
        below = math.prod((at - q for q in others), start=jnp.ones_like(at))
        found.append(sum((c * v for c, v in zip(product, b, strict=True)), jnp.zeros_like(at)) / below)
    return found


def _moved(x: Array, a_from: Array, a_to: Array, x0_hat: list[Array], lam: list[Array], newest: Array | None) -> Array:
    """x at a_to from x at a_from: the exponential integral of the polynomial through the predictions.

    Args:
      x0_hat, lam: the predictions used, that at a_from first: order p has p of them.
      newest: the prediction at a_to, of the corrector; None for the predictor.
    """
    h = half_log_snr(a_to) - lam[0]
    r = [(l - lam[0]) / h for l in lam[1:]]
    slopes = [(m - x0_hat[0]) / per_image(q, x) for m, q in zip(x0_hat[1:], r, strict=True)]
    if newest is not None:
        r, slopes = [*r, jnp.ones_like(h)], [*slopes, newest - x0_hat[0]]
    base = jnp.expm1(-h)
    out = per_image(jnp.sqrt((1.0 - a_to) / (1.0 - a_from)), x) * x - per_image(jnp.sqrt(a_to) * base, x) * x0_hat[0]
    if not r:
        return out
    # b_i = i! h^i phi_(i+1)(-h) / B(h) up to the sign conventions of data prediction.
    b = [math.factorial(i) * -h * phi(i + 1, -h) / base for i in range(1, len(r) + 1)]
    # One unknown alone: the paper takes 1/2, which keeps the order.
    rho = [jnp.full_like(h, 0.5)] if len(r) == 1 else lagrange_weights(r, b)
    for factor, slope in zip(rho, slopes, strict=True):
        out = out - per_image(jnp.sqrt(a_to) * base * factor, x) * slope
    return out


def _at_order(step_i: Array, order: int, by_order: list[Array]) -> Array:
    """The result of the order that the number of known predictions allows: min(step_i, order)."""
    out = by_order[0]
    for p in range(2, order + 1):
        out = jnp.where(step_i >= p, by_order[p - 1], out)
    return out


def unipc(order: int) -> Solver:
    """UniPC whose predictor is of ``order`` 2 or 3; it begins with order 1 and rises as it comes to know more."""

    def begin(x_start: Array) -> UnipcMemory:
        b = x_start.shape[:1]
        # Values of steps that were not taken: distinct, so that what is computed from them and not used is finite.
        lam = tuple(jnp.full(b, -100.0 * (k + 1)) for k in range(order))
        return UnipcMemory(x_start, (jnp.zeros_like(x_start),) * order, lam, jnp.full(b, 1e-6))

    def advance(eps_fn: EpsFn, memory: UnipcMemory, x_t: Array, step: Step) -> tuple[Array, UnipcMemory]:
        a_t, a_s = (jnp.broadcast_to(a, x_t.shape[:1]) for a in (step.a_t, step.a_s))
        x0_hat, lam_t, last = denoised(x_t, eps_fn(x_t, step.t), step.a_t), half_log_snr(a_t), a_s >= 1.0
        known = [
            _moved(memory.x, memory.a, a_t, list(memory.x0_hat[:p]), list(memory.lam[:p]), x0_hat)
            for p in range(1, order + 1)
        ]
        x_t = jnp.where(step.i == 1, x_t, _at_order(step.i - 1, order, known))
        seen = UnipcMemory(x_t, (x0_hat, *memory.x0_hat)[:order], (lam_t, *memory.lam)[:order], a_t)
        to = jnp.where(last, jnp.sqrt(a_t), a_s)
        ahead = [_moved(x_t, a_t, to, list(seen.x0_hat[:p]), list(seen.lam[:p]), None) for p in range(1, order + 1)]
        return jnp.where(per_image(last, x_t), x0_hat, _at_order(step.i, order, ahead)), seen

    # The corrector adds one to the order of its predictor.
    return Solver(begin, advance, order=order + 1)


UNIPC_2, UNIPC_3 = unipc(2), unipc(3)
