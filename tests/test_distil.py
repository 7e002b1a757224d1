"""Distillation on Gaussian data, whose teacher is exact: a student's answer in one call and two comes closer."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.distil import GAP_FLOOR, Lesson, answers, distil_step, distillation_lesson, squared_errors
from ddad_jax.distilled import reconstruct_by_student
from ddad_jax.sampler import reconstruct
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table
from ddad_jax.solvers import DDIM, DPM_SOLVER_2M
from ddad_jax.timesteps import TimeGrid, trailing
from ddad_jax.train import init_state, optimiser
from ddad_jax.types import Array

ALPHA_BAR = jnp.asarray(alpha_bar_table())
MEAN, STD = 0.3, 0.3
HIDDEN = 24


def exact(x_t: Array, t: Array) -> Array:
    """The noise prediction of pixels x ~ N(MEAN, STD^2)."""
    a = jnp.broadcast_to(alpha_bar_at(ALPHA_BAR, t), x_t.shape[:1])[:, None, None, None]
    return jnp.sqrt(1 - a) * (x_t - jnp.sqrt(a) * MEAN) / (a * STD**2 + 1 - a)


def apply(params: Any, x_t: Array, t: Array, y: Array, w: Array, t_prime: Array) -> tuple[Array, Array]:
    """The exact noise and, for the correction, a small network on each pixel that is zero at first."""
    scalars = [jnp.broadcast_to(v, x_t.shape[:1])[:, None, None, None] for v in (w / 6, t_prime / 300, t / 300)]
    inputs = jnp.concatenate([x_t, y, *(jnp.broadcast_to(v, x_t.shape) for v in scalars)], axis=-1)
    hidden = jnp.tanh(jnp.einsum("bhwc,cd->bhwd", inputs, params["in"]) + params["bias"][None, None, None])
    return exact(x_t, t), jnp.einsum("bhwd,dc->bhwc", hidden, params["out"])


def params() -> dict[str, Array]:
    rng = np.random.default_rng(0)
    first = rng.standard_normal((5, HIDDEN)).astype(np.float32)
    bias = rng.standard_normal(HIDDEN).astype(np.float32)
    return {"in": jnp.asarray(first), "bias": jnp.asarray(bias), "out": jnp.zeros((HIDDEN, 1))}


def grids(t_prime: np.ndarray, steps: int) -> TimeGrid:
    each = [trailing(int(t), steps) for t in t_prime]
    t, s = (np.stack([getattr(g, name) for g in each], 1) for name in ("t", "s"))
    return jax.tree.map(jnp.asarray, TimeGrid(t_prime, t, s))


TEACH = jax.jit(partial(distillation_lesson, exact, solver=DPM_SOLVER_2M, alpha_bar=ALPHA_BAR))


def drawn(number: int, b: int = 32) -> tuple[Array, Array, Array, Array, np.ndarray]:
    """x, y, noise, w and T' of a batch of 2 x 2 pictures; half have themselves for target."""
    rng = np.random.default_rng(number)
    x, y = rng.normal(MEAN, STD, (2, b, 2, 2, 1)).astype(np.float32)
    y[::2] = x[::2]
    noise, w = rng.standard_normal(x.shape, np.float32), rng.uniform(0, 6, b).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(y), jnp.asarray(noise), jnp.asarray(w), rng.integers(100, 301, b)


def lesson(number: int) -> Lesson:
    x, y, noise, w, t_prime = drawn(number)
    return TEACH(x, y, noise, w=w, grid=grids(t_prime, 2), fine=grids(t_prime, 20))


def test_the_target_is_what_the_teacher_reconstructs() -> None:
    x, y, noise, w, t_prime = drawn(0)
    found = lesson(0)
    how: Any = {"w": w, "eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": lambda i: noise}
    x0 = jax.jit(lambda: reconstruct(exact, x, y, grids(t_prime, 20), solver=DPM_SOLVER_2M, **how))()
    np.testing.assert_allclose(found.x0, x0, atol=1e-5)
    one_call = jax.jit(lambda: reconstruct(exact, x, y, grids(t_prime, 1), solver=DDIM, **how))()
    np.testing.assert_allclose(found.gap, ((one_call - x0) ** 2).mean((1, 2, 3)), rtol=1e-3, atol=1e-7)
    assert float(found.gap.mean()) > 1e-3


def test_a_fine_teacher_is_close_to_a_finer_one() -> None:
    """Twenty steps of the default teacher are nearer to a hundred of DDIM than a student could tell."""
    x, y, noise, w, t_prime = drawn(0)
    finer = jax.jit(partial(distillation_lesson, exact, solver=DDIM, alpha_bar=ALPHA_BAR))(
        x, y, noise, w=w, grid=grids(t_prime, 2), fine=grids(t_prime, 100)
    )
    mine = lesson(0)
    assert float(((mine.x0 - finer.x0) ** 2).mean()) < 0.01 * float(finer.gap.mean())


def test_the_answers_are_what_sampling_with_one_and_two_calls_gives() -> None:
    x, y, noise, w, t_prime = drawn(1)
    learnt = {**params(), "out": 0.05 * jnp.ones((HIDDEN, 1))}
    predict = partial(apply, learnt)
    found = jax.jit(partial(answers, predict, alpha_bar=ALPHA_BAR))(lesson(1))
    how: Any = {"w": w, "eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": lambda i: noise}
    for k in (1, 2):
        x0 = jax.jit(lambda grid: reconstruct_by_student(predict, x, y, grid, **how))(grids(t_prime, k))
        np.testing.assert_allclose(found[k - 1], x0, atol=1e-4)


def test_a_new_students_first_answer_is_the_teachers_in_one_call() -> None:
    asked = lesson(2)
    errors = jax.jit(lambda p, asked: squared_errors(partial(apply, p), asked, alpha_bar=ALPHA_BAR))(params(), asked)
    assert errors.shape == (2, 32)
    np.testing.assert_allclose(errors[0], asked.gap, rtol=1e-3, atol=1e-6)


def test_the_first_call_serves_its_own_answer_alone() -> None:
    asked = lesson(3)

    @jax.jit
    def second(bias: Array) -> Array:
        def predict(x_t: Array, t: Array, y: Array, w: Array, t_prime: Array) -> tuple[Array, Array]:
            first = jnp.broadcast_to(t == t_prime, x_t.shape[:1])[:, None, None, None]
            return exact(x_t, t), jnp.where(first, bias, 0.0) * jnp.ones_like(x_t)

        return squared_errors(predict, asked, alpha_bar=ALPHA_BAR)[1].mean()

    assert float(second(jnp.asarray(0.5))) != float(second(jnp.asarray(0.0)))
    assert float(jax.grad(second)(jnp.asarray(0.5))) == 0


TX = optimiser(learning_rate=1e-2)


def stepper(**options: Any) -> Any:
    return jax.jit(partial(distil_step, apply=apply, tx=TX, alpha_bar=ALPHA_BAR, **options))


def test_errors_are_relative_to_the_teachers_own_where_wished() -> None:
    """Without it, images with a weak w, far from the teacher's one-call answer, are most of the loss."""
    asked, state = lesson(4), init_state(params(), TX)
    errors = np.asarray(squared_errors(partial(apply, params()), asked, alpha_bar=ALPHA_BAR))
    _, relative = stepper(relative=True)(state, asked)
    _, plain = stepper(relative=False)(state, asked)
    weighed = errors / (np.asarray(asked.gap)[None] + GAP_FLOOR)
    assert float(relative["loss"]) == pytest.approx(weighed.mean(), rel=1e-3)
    assert float(plain["loss"]) == pytest.approx(errors.mean(), rel=1e-3)
    for metrics in (relative, plain):
        np.testing.assert_allclose(metrics["mse"], errors.mean(1), rtol=1e-3)


def test_a_student_comes_closer_to_the_fine_teacher_than_one_call_and_two_of_the_teacher_do() -> None:
    step, state = stepper(ema_decay=0.99), init_state(params(), TX)
    asked = [lesson(number) for number in range(40)]
    for i in range(400):
        state, _ = step(state, asked[i % 40])
    examined = lesson(1000)
    before, after = (
        np.sqrt(np.asarray(squared_errors(partial(apply, p), examined, alpha_bar=ALPHA_BAR)).mean(1))
        for p in (params(), state.ema)
    )
    assert (after < 0.5 * before).all()

    # It uses the w it is told: with a wrong one it is farther off.
    def misled(x_t: Array, t: Array, y: Array, w: Array, t_prime: Array) -> tuple[Array, Array]:
        return apply(state.ema, x_t, t, y, 6.0 - w, t_prime)

    errors = np.asarray(squared_errors(misled, examined, alpha_bar=ALPHA_BAR)).mean(1)
    assert (np.sqrt(errors) > 1.3 * after).all()


def test_a_lesson_that_is_not_finite_changes_nothing() -> None:
    state = init_state(params(), TX)
    asked = lesson(5)
    broken = asked._replace(x0=asked.x0.at[0].set(jnp.nan))
    after, metrics = stepper()(state, broken)
    assert not np.isfinite(metrics["loss"])
    jax.tree.map(np.testing.assert_array_equal, after, state)
