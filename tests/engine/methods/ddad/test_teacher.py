"""The fine teacher against the exact flow of Gaussian data."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gaussian import ALPHA_BAR, MEAN, STD, exact_eps

from ddad_jax.engine.methods.ddad.evidence import rmse, teacher_of, teachers_of
from ddad_jax.points import ReconPoint, time_grid
from ddad_jax.sampler import trajectory
from ddad_jax.solvers import SOLVERS
from ddad_jax.types import Array

POINT = ReconPoint(w=0.0, t_prime=250, steps=5, eta=1.0, grid="trailing", seed=0)
BEFORE = POINT._replace(steps=100, eta=0.0)
"""DDIM in a hundred steps, evenly in t."""


def start() -> np.ndarray:
    rng, a = np.random.default_rng(0), float(ALPHA_BAR[250])
    x = MEAN + STD * rng.standard_normal((8, 8, 8, 3))
    return np.float32(np.sqrt(a) * x + np.sqrt(1 - a) * rng.standard_normal(x.shape))


def exact(x_t: np.ndarray) -> np.ndarray:
    """Along the probability flow to t = 0, and there the prediction, as every run ends with one. The flow keeps
    (x_t - sqrt(a) MEAN) / sqrt(a STD^2 + 1 - a)."""
    a, b = float(ALPHA_BAR[250]), float(ALPHA_BAR[0])
    kept = (np.asarray(x_t, np.float64) - np.sqrt(a) * MEAN) / np.sqrt(a * STD**2 + 1 - a)
    return np.asarray(MEAN + np.sqrt(b) * STD**2 / np.sqrt(b * STD**2 + 1 - b) * kept)


def ends(point: ReconPoint, x: np.ndarray) -> np.ndarray:
    how: Any = {"eta": 0.0, "alpha_bar": ALPHA_BAR, "solver": SOLVERS[point.solver]}

    def run(x: Array, grid: Any) -> Array:
        return trajectory(exact_eps, x, grid, noise_fn=lambda i: jnp.zeros_like(x), **how).x0

    return np.asarray(jax.jit(run)(jnp.asarray(x), time_grid(point)))


def test_the_teacher_is_much_nearer_to_the_exact_flow_than_ddim_in_as_many_calls() -> None:
    x = start()
    teacher = teacher_of(POINT, 100)
    assert teacher.calls == BEFORE.calls == 100
    assert rmse(ends(teacher, x), exact(x)) < 0.05 * rmse(ends(BEFORE, x), exact(x))


def test_its_error_is_of_second_order_and_below_its_floor() -> None:
    x = start()
    errors = [rmse(ends(teacher_of(POINT, steps), x), exact(x)) for steps in (20, 40, 80)]
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2.0, atol=0.35)
    fine, half = (ends(point, x) for point in teachers_of(POINT, 80))
    assert errors[-1] < rmse(fine, half) < 5 * errors[-1]


def test_a_teacher_of_one_step_has_no_half() -> None:
    assert [point.steps for point in teachers_of(POINT, 1)] == [1]
    assert [point.steps for point in teachers_of(POINT, 25)] == [25, 12]
