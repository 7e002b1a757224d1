"""L4. Distillation: a student that gives a fine sampler's answer in one call or two.

The teacher is a deterministic sampler of many steps, steered by w towards y. Its answer x0 is therefore a function
of what it starts from, and the student regresses on it directly:

    x0_hat(x_T', T'; y, w, T') -> x0,   and again from where the student's own first step leads.

Why not another way. Progressive halving goes from 2^n calls to one through n students, each with the errors of
the one before. Consistency training puts the student's own moving answer in the place of the teacher's, which pays
where the teacher is dear; here it costs some twenty calls that need no gradient. Regression blurs where the start
is pure noise, which belongs to many pictures alike; a start at T' <= 300 with y beside it belongs to one. So it has
an exact target, one stage, and for loss the very figure the student is judged by.

The second call learns from the student's first step rather than from the teacher's state at that time: this is
where it will be when it is used, and the answer is the same function of it, as long as different starts lead there
to different places.

Deviation: DDAD is published without distillation.
Source: regression on a deterministic sampler's answers after Luhman and Luhman 2021, section 3; the steering, the
correction and the second call on the student's own step are ours.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ddad_jax.conditioning import denoised
from ddad_jax.distilled import Predict, student_eps
from ddad_jax.sampler import reconstruct
from ddad_jax.schedule import alpha_bar_at, per_image, perturb
from ddad_jax.solvers import DDIM, Solver
from ddad_jax.solvers.ddim import ddim_step
from ddad_jax.timesteps import TimeGrid
from ddad_jax.train import TrainState, descend
from ddad_jax.types import Array, EpsFn, Image

Apply = Callable[..., tuple[Array, Array]]
"""apply(params, x_t, t, y, w, T') -> (eps, d)."""

GAP_FLOOR = 1e-3
"""Squared errors below this (4 of 255 grey levels) count alike where errors are relative."""


class Lesson(NamedTuple):
    """What a batch asks and the teacher answers. x_start: images at T' [b, h, w, c]; y: their targets; w: [b].
    grid: the student's K calls, start [b], t and s [K, b]. x0: the answers [b, h, w, c]. gap: mean squared error [b]
    of the answer the teacher itself gives in one call."""

    x_start: Array
    y: Array
    w: Array
    grid: TimeGrid
    x0: Array
    gap: Array


def distillation_lesson(
    eps_fn: EpsFn,
    x: Image,
    y: Image,
    noise: Array,
    *,
    w: Array,
    grid: TimeGrid,
    fine: TimeGrid,
    solver: Solver,
    alpha_bar: Array,
    start_noise: Array | float = 1.0,
    fade: Array | float = 1.0,
    blend_max: Array | float = math.inf,
) -> Lesson:
    """Let the teacher reconstruct x towards y from given noise, without noise of its own (eta = 0).

    Any pictures may be asked of it, damaged ones too: its answer is the target, no label is.

    Args:
      eps_fn: the teacher's network. x, y, noise: [b, h, w, c]. w: [b].
      grid: times of the student's calls, start [b], t and s [K, b]; fine: of the teacher's, from the same start.
      solver: the teacher's, bound before ``jit``. The rest as in ``sampler.reconstruct``.
    """
    how: Any = {"w": w, "eta": 0.0, "alpha_bar": alpha_bar, "noise_fn": lambda i: noise, "start_noise": start_noise}

    def answer(times: TimeGrid, by: Solver) -> Array:
        return reconstruct(eps_fn, x, y, times, solver=by, fade=fade, blend_max=blend_max, **how)

    x0, first = answer(fine, solver), jnp.asarray(grid.t)[:1]
    one_call = answer(TimeGrid(grid.start, first, jnp.full_like(first, -1)), DDIM)  # type: ignore[arg-type]
    x_start = perturb(x, per_image(start_noise, x) * noise, alpha_bar_at(alpha_bar, jnp.asarray(grid.start)))
    return Lesson(x_start, y, w, grid, x0, ((one_call - x0) ** 2).mean((1, 2, 3)))


def answers(
    predict: Predict,
    lesson: Lesson,
    *,
    alpha_bar: Array,
    fade: Array | float = 1.0,
    blend_max: Array | float = math.inf,
) -> Array:
    """The student's x0_hat after each of its K calls, [K, b, h, w, c]: the first in one call, the last in K.

    Between calls it takes DDIM's step without noise; no gradient goes back through that step, so the first call
    serves its own answer alone.
    """
    grid = lesson.grid
    how: Any = {"w": lesson.w, "t_prime": jnp.asarray(grid.start), "fade": fade, "blend_max": blend_max}
    eps_fn = student_eps(predict, lesson.y, alpha_bar=alpha_bar, **how)
    x_t, found = lesson.x_start, []
    for t, s in zip(jnp.asarray(grid.t), jnp.asarray(grid.s), strict=True):
        a_t, a_s = alpha_bar_at(alpha_bar, t), alpha_bar_at(alpha_bar, s)
        eps = eps_fn(x_t, t)
        found.append(denoised(x_t, eps, a_t))
        x_t = jax.lax.stop_gradient(ddim_step(x_t, eps, a_t, a_s, eta=0.0, noise=jnp.zeros_like(x_t)))
    return jnp.stack(found)


def squared_errors(predict: Predict, lesson: Lesson, **steering: Any) -> Array:
    """Mean squared error of each answer against the teacher's, [K, b]; ``steering`` as in ``answers``."""
    return ((answers(predict, lesson, **steering) - lesson.x0[None]) ** 2).mean((2, 3, 4))


def distil_step(
    state: TrainState,
    lesson: Lesson,
    *,
    apply: Apply,
    tx: optax.GradientTransformation,
    alpha_bar: Array,
    ema_decay: float = 0.999,
    relative: bool = True,
    fade: Array | float = 1.0,
    blend_max: Array | float = math.inf,
) -> tuple[TrainState, dict[str, Array]]:
    """One update on a lesson: the mean of |x0_hat - x0|^2 over images and calls.

    Args:
      apply, tx, alpha_bar: bound by the caller before ``jit``.
      ema_decay: see ``train.train_step``.
      relative: each image's error in units of ``gap``, so that a weak w, which leaves the teacher far from its own
        one-call answer, does not drown a strong one: every point of a sweep counts alike. False: as they are.
      fade, blend_max: the teacher's.

    Returns:
      the new state, and {"loss", "mse" [K], "grad_norm"}; mse after each call, unweighted. A loss that is not finite
      changes nothing (``train.descend``).
    """
    weight = 1.0 / (lesson.gap + GAP_FLOOR) if relative else jnp.ones_like(lesson.gap)

    def loss_fn(params: Any) -> tuple[Array, Array]:
        def predict(*inputs: Any) -> tuple[Array, Array]:
            return apply(params, *inputs)

        errors = squared_errors(predict, lesson, alpha_bar=alpha_bar, fade=fade, blend_max=blend_max)
        return (weight[None] * errors).mean(), errors.mean(1)

    state, metrics, mse = descend(state, loss_fn, tx=tx, ema_decay=ema_decay)
    return state, {**metrics, "mse": mse}
