"""What the teacher saw says, without another call, what a step between its times does."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import ALPHA_BAR, STD, exact_eps

from ddad_jax.grid_teacher import StepCosts, Teacher, reconstruction_distances, run_teacher, step_costs
from ddad_jax.sampler import noise_of, reconstruct, trajectory
from ddad_jax.schedule import alpha_bar_at, perturb
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import TimeGrid, log_snr, quadratic, trailing
from ddad_jax.types import Array

GRID = trailing(250, 20)
W = 1.5
SEED = 3


def noise_fn(i: Array) -> Array:
    return noise_of(jax.random.split(jax.random.key(SEED), 3), (4, 4, 3))(i)


def some_eps(x_t: Array, t: Array) -> Array:
    time = jnp.cos(0.01 * jnp.broadcast_to(t, x_t.shape[:1]))[:, None, None, None]
    return jnp.tanh(x_t.mean((1, 2), keepdims=True) + 0.7 * x_t) * time


HOW: dict[str, Any] = {"alpha_bar": ALPHA_BAR, "noise_fn": noise_fn}


@functools.cache
def y() -> Array:
    pixels = np.random.default_rng(0).standard_normal((3, 4, 4, 3))
    return jnp.asarray(np.clip(0.3 + 0.4 * pixels, -1, 1), jnp.float32)


@functools.cache
def taught(name: str = "some") -> tuple[Teacher, StepCosts]:
    eps_fn = {"some": some_eps, "exact": exact_eps}[name]

    @jax.jit
    def both(y: Array, w: Array) -> tuple[Teacher, StepCosts]:
        teacher = run_teacher(eps_fn, y, GRID, w=w, **HOW)
        return teacher, step_costs(teacher, alpha_bar=ALPHA_BAR)

    return both(y(), jnp.float32(W))


def test_the_teacher_is_the_reconstruction_of_many_steps() -> None:
    teacher, _ = taught()
    x0 = jax.jit(lambda y: reconstruct(some_eps, y, y, GRID, w=W, eta=0.0, **HOW))(y())
    np.testing.assert_allclose(teacher.x0, x0, atol=1e-5)
    np.testing.assert_array_equal(teacher.t, GRID.t)
    start = perturb(y(), noise_fn(jnp.asarray(0)), ALPHA_BAR[250]) / jnp.sqrt(ALPHA_BAR[250])
    np.testing.assert_allclose(teacher.z[0], start, rtol=1e-5)
    np.testing.assert_allclose(teacher.x0_hat[-1], teacher.x0, atol=1e-5)


def test_its_own_steps_cost_nothing() -> None:
    _, costs = taught()
    n = len(GRID.t)
    np.testing.assert_allclose(np.diagonal(costs.error, 1), np.zeros(n), atol=2e-6)
    assert float(np.median(np.asarray(costs.error)[0, 2:])) > 1e-3


@pytest.mark.parametrize(("i", "j"), [(0, 4), (0, 19), (7, 12), (3, 20), (0, 20)])
def test_an_error_is_that_of_the_step_itself(i: int, j: int) -> None:
    """One step of DDIM from the teacher's state, against its state where the step leads (the clean image last)."""
    teacher, costs = taught()
    t = np.append(GRID.t, -1)
    a_t, a_s = (alpha_bar_at(ALPHA_BAR, jnp.asarray(t[k])) for k in (i, j))

    @jax.jit
    def stepped(x: Array) -> Array:
        steered = functools.partial(conditioned_eps, y())
        return trajectory(steered, x, TimeGrid(t[i], t[i : i + 1], t[j : j + 1]), eta=0.0, **HOW).x0 / jnp.sqrt(a_s)

    target = teacher.x0 if j == 20 else teacher.z[j]
    expected = jnp.sqrt(((stepped(jnp.sqrt(a_t) * teacher.z[i]) - target) ** 2).mean())
    np.testing.assert_allclose(costs.error[i, j], expected, rtol=1e-3, atol=2e-6)


def conditioned_eps(y: Array, x_t: Array, t: Array) -> Array:
    """DDAD Eq. 6 as it stands."""
    a = alpha_bar_at(ALPHA_BAR, t)
    eps = some_eps(x_t, t)
    return eps - W * jnp.sqrt(1 - a) * (perturb(y, eps, a) - x_t)


def test_an_error_on_gaussian_data_is_kept_as_its_slope_says() -> None:
    """There x0_hat changes by (1 - w (1 - a)) STD^2 / (STD^2 + sigma^2) of any error; one channel has one slope."""
    channel = float(STD[0, 0, 0, 1])

    def eps_of_one(x_t: Array, t: Array) -> Array:
        a = alpha_bar_at(ALPHA_BAR, t)
        return jnp.sqrt(1 - a) * x_t / (a * channel**2 + 1 - a)

    teacher = jax.jit(lambda y: run_teacher(eps_of_one, y, GRID, w=W, **HOW))(y())
    a = np.asarray(ALPHA_BAR, np.float64)[GRID.t]
    sigma = np.sqrt((1 - a) / a)
    slope = (1 - W * (1 - a)) * channel**2 / (channel**2 + sigma**2)
    np.testing.assert_allclose(teacher.response, slope, atol=1e-3)
    np.testing.assert_allclose(teacher.gain, slope**2, atol=1e-3)
    carry = np.asarray(step_costs(teacher, alpha_bar=ALPHA_BAR).carry)
    ratio = np.append(sigma, 0.0)[None] / sigma[:, None]
    later = np.triu(np.ones(carry.shape, bool), 1)
    np.testing.assert_allclose(carry[later], np.abs(ratio + (1 - ratio) * slope[:, None])[later], atol=1e-3)


@pytest.mark.parametrize("clip", [False, True])
def test_distances_are_those_of_a_loop(clip: bool) -> None:
    grids = [trailing(250, 3), log_snr(250, 3), quadratic(250, 3)]
    x0 = 1.5 * taught()[0].x0
    run = jax.jit(
        lambda times: reconstruction_distances(some_eps, y(), times, x0, w=W, solver=SOLVERS["dpm2m"], clip=clip, **HOW)
    )
    found = run(jnp.stack([jnp.asarray(g.t) for g in grids]))
    of_one = jax.jit(lambda grid: reconstruct(some_eps, y(), y(), grid, w=W, eta=0.0, solver=SOLVERS["dpm2m"], **HOW))
    for grid, distance in zip(grids, found, strict=True):
        pair = (of_one(grid), x0)
        one, other = (jnp.clip(x, -1, 1) for x in pair) if clip else pair
        np.testing.assert_allclose(distance, jnp.sqrt(((one - other) ** 2).mean()), rtol=1e-4)


def test_a_teacher_is_compiled_once_for_every_setting_of_the_steering() -> None:
    calls = 0

    def counted(x_t: Array, t: Array) -> Array:
        nonlocal calls
        calls += 1
        return some_eps(x_t, t)

    run = jax.jit(lambda grid, how: run_teacher(counted, y(), grid, **how, **HOW).x0)
    how = {"w": 1.0, "start_noise": 1.0, "fade": 1.0, "blend_max": 10.0}
    run(GRID, how)
    before = calls
    changed = {"w": 3.0, "start_noise": 0.0, "fade": 2.0, "blend_max": 1.0}
    assert np.isfinite(run(trailing(100, 20), changed)).all()
    assert calls == before
