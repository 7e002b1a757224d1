"""L4. What an optimised grid is found with: a fine teacher run, what DDIM steps between its times would do wrong, and
how far K-step reconstructions are from it.

All in z = x / sqrt(alpha_bar) and sigma = sqrt((1 - alpha_bar) / alpha_bar), where one unit is one unit of the clean
image at every time and a step of DDIM is a straight line towards the prediction,

    z_s = (sigma_s / sigma_t) z_t + (1 - sigma_s / sigma_t) x0_hat_t,

so the error of one step between any two of the teacher's times follows from what the teacher saw, without another
call of the network.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.conditioning import conditioned, denoised
from ddad_jax.sampler import reconstruct, trajectory
from ddad_jax.schedule import alpha_bar_at, per_image, perturb
from ddad_jax.solvers import DDIM, Solver
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array, EpsFn, Image, NoiseFn


class Teacher(NamedTuple):
    """A fine run over N times. t: falling [N]. z: its states over sqrt(alpha_bar) [N, b, h, w, c]. x0_hat: the
    conditioned predictions there, like z. x0: where it ends [b, h, w, c].

    response, gain: how the prediction follows an error d of the state, <d, J d> / <d, d> and <J d, J d> / <d, d>
    with J d its change, [N]: 1 where it keeps the error, 0 where it forgets it.
    """

    t: Array
    z: Array
    x0_hat: Array
    x0: Array
    response: Array
    gain: Array


class StepCosts(NamedTuple):
    """Of one DDIM step from each of N times (row) to each of them and to the clean image (last column).

    error: what the step does wrong from the teacher's own state, root mean square over pictures and pixels,
    [N, N + 1]. carry: what it leaves of an error that was there before, a factor, [N, N + 1].
    """

    error: Array
    carry: Array


def run_teacher(
    eps_fn: EpsFn,
    y: Image,
    grid: TimeGrid,
    *,
    w: Array | float,
    alpha_bar: Array,
    noise_fn: NoiseFn,
    solver: Solver = DDIM,
    start_noise: Array | float = 1.0,
    **steering: Any,
) -> Teacher:
    """One fine run with eta = 0 on normal images, towards themselves, and what its predictions do with errors.

    The error d that the predictions are tried with is that of one long step, over a quarter of the times, to the
    state in question (for the first quarter: to the first state that has so long a step before it). Three calls of
    the network a time (four with Heun), all images at once.

    Args:
      y: m normal images [m, h, w, c] that were not trained on.
      grid: N times; they are the candidates of the path.
      solver: of the teacher. One of second order is closer to the exact solution for the same N.
      the rest: of ``reconstruct``.
    """
    steered = conditioned(eps_fn, y, w=w, alpha_bar=alpha_bar, **steering)
    start = alpha_bar_at(alpha_bar, jnp.asarray(grid.start))
    x_start = perturb(y, per_image(start_noise, y) * noise_fn(jnp.asarray(0)), start)
    run = trajectory(steered, x_start, grid, eta=0.0, alpha_bar=alpha_bar, noise_fn=noise_fn, solver=solver)
    t = jnp.asarray(grid.t)
    a = alpha_bar_at(alpha_bar, t)

    def predicted(at: tuple[Array, Array, Array]) -> Array:
        z_t, t, a_t = at
        x_t = jnp.sqrt(a_t) * z_t
        return denoised(x_t, steered(x_t, t), a_t)

    z = jnp.concatenate([x_start[None], run.states[:-1]]) / per_image(jnp.sqrt(a), run.states)
    x0_hat = jax.lax.map(predicted, (z, t, a))
    n, long = len(t), max(len(t) // 4, 2)
    # Shorter steps make hardly any error, DDIM from one of its own states to the next none at all.
    after = jnp.clip(jnp.arange(n), min(long, n - 1))
    before = jnp.maximum(after - long, 0)
    ratio = per_image(_sigma(a)[after] / _sigma(a)[before], z)
    d = ratio * z[before] + (1.0 - ratio) * x0_hat[before] - z[after]
    change = jax.lax.map(predicted, (z + d, t, a)) - x0_hat
    axes = tuple(range(1, z.ndim))
    # No error to try with, on a straight line: there is none to be kept either.
    square = jnp.maximum((d * d).sum(axes), 1e-20)
    return Teacher(t, z, x0_hat, run.x0, (d * change).sum(axes) / square, (change * change).sum(axes) / square)


def step_costs(teacher: Teacher, *, alpha_bar: Array) -> StepCosts:
    """error(t, s) = | r z_t + (1 - r) x0_hat_t - z_s |,  carry(t, s) = | r d + (1 - r) J d | / | d |.

    r = sigma_s / sigma_t. To the clean image it is 0: the step returns the prediction, and what it should have
    returned is the teacher's result.
    """
    sigma = _sigma(alpha_bar_at(alpha_bar, teacher.t))
    target = jnp.concatenate([teacher.z, teacher.x0[None]])

    def from_one(at: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array]:
        z_t, x0_hat, sigma_t, response, gain = at
        r = jnp.append(sigma, 0.0) / sigma_t
        to = per_image(r, target)
        wrong = to * z_t[None] + (1.0 - to) * x0_hat[None] - target
        kept = r**2 + 2.0 * r * (1.0 - r) * response + (1.0 - r) ** 2 * gain
        return jnp.sqrt((wrong**2).mean(tuple(range(1, wrong.ndim)))), jnp.sqrt(jnp.maximum(kept, 0.0))

    return StepCosts(*jax.lax.map(from_one, (teacher.z, teacher.x0_hat, sigma, teacher.response, teacher.gain)))


def _sigma(a: Array) -> Array:
    return jnp.sqrt((1.0 - a) / a)


def reconstruction_distances(
    eps_fn: EpsFn,
    y: Image,
    times: Array,
    x0: Image,
    *,
    clip: bool = False,
    **how: Any,
) -> Array:
    """Root mean square over images and pixels between the K-step reconstructions (eta = 0) and ``x0``, the teacher's.

    Args:
      y: as it was for ``run_teacher``.
      times: int [n, K]; the n grids run one after the other, so memory holds the images of one.
      clip: compare both within [-1, 1], as a score that clips its reconstructions does.
      how: of ``reconstruct``, as for ``run_teacher`` but for the solver, which is the one to find times for.

    Returns:
      [n]; one unit is half the range from black to white.
    """

    def shown(x: Array) -> Array:
        return jnp.clip(x, -1.0, 1.0) if clip else x

    def of_one(t: Any) -> Array:
        after: Any = jnp.append(t[1:], -1)
        grid = TimeGrid(t[0], t, after)
        found = reconstruct(eps_fn, y, y, grid, eta=0.0, **how)
        return jnp.sqrt(((shown(found) - shown(x0)) ** 2).mean())

    return jax.lax.map(of_one, times)
