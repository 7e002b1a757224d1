"""The times found are the best of their kind, and closer to the exact solution than any formula's."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import ALPHA_BAR, MEAN, STD, exact_eps, exact_solution

from ddad_jax.errors import InputError
from ddad_jax.grid_teacher import StepCosts, reconstruction_distances, run_teacher, step_costs
from ddad_jax.optimised_grid import STANDARD, OptimisedGrid, best_path, coordinate_descent, grid_of, optimise_grid
from ddad_jax.sampler import noise_of, reconstruct
from ddad_jax.schedule import perturb
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS, TimeGrid, trailing
from ddad_jax.types import Array

T_PRIME = 250


# --- Times of one's own


def test_a_grid_of_times_starts_at_the_first_and_ends_clean() -> None:
    for mine, theirs in zip(grid_of(trailing(250, 5).t), trailing(250, 5), strict=False):
        np.testing.assert_array_equal(mine, theirs)
    assert grid_of([7]).s.tolist() == [-1] and grid_of([3, 0]).t.dtype == np.int32


@pytest.mark.parametrize("times", [[], [1000], [5, -1], [5, 5], [5, 6], [5.5, 1], [[5, 1]], ["5"], [True]], ids=str)
def test_times_that_no_run_visits_are_refused(times: Any) -> None:
    with pytest.raises(InputError, match="expected whole numbers"):
        grid_of(times)


# --- Dynamic programming


def random_costs(n: int, seed: int) -> StepCosts:
    rng = np.random.default_rng(seed)
    return StepCosts(rng.random((n, n + 1)), 1.5 * rng.random((n, n + 1)))  # type: ignore[arg-type]


def error_of(costs: StepCosts, path: tuple[int, ...]) -> float:
    total = 0.0
    for t, s in itertools.pairwise((*path, len(costs.error))):
        total = float(costs.carry[t, s]) * total + float(costs.error[t, s])
    return total


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7])
def test_the_path_is_the_best_of_all(steps: int) -> None:
    for seed in range(5):
        costs = random_costs(7, seed)
        paths = [(0, *rest) for rest in itertools.combinations(range(1, 7), steps - 1)]
        found = tuple(int(i) for i in best_path(costs, steps))
        assert found in paths
        assert error_of(costs, found) == pytest.approx(min(error_of(costs, path) for path in paths))


@pytest.mark.parametrize("steps", [0, 8])
def test_more_steps_than_times_are_refused(steps: int) -> None:
    with pytest.raises(InputError, match=f"steps = {steps}: expected 1 to 7"):
        best_path(random_costs(7, 0), steps)


def test_a_teacher_that_diverged_is_refused() -> None:
    costs = random_costs(7, 0)
    with pytest.raises(InputError, match="not finite.*lower w"):
        best_path(costs._replace(error=np.full((7, 8), np.nan)), 3)  # type: ignore[arg-type]


# --- Descent


def test_descent_moves_every_time_but_the_first_and_never_makes_it_worse() -> None:
    wanted, asked = np.array([250, 131, 77, 4]), []

    def measure(times: np.ndarray) -> np.ndarray:
        asked.append(times)
        return np.abs(times - wanted).sum(1).astype(float)

    start = trailing(250, 4).t
    before = float(np.abs(start - wanted).sum())
    times, distance = coordinate_descent(start, before, measure, rounds=4, trials=8)
    assert times[0] == 250 and (np.diff(times) < 0).all() and distance == np.abs(times - wanted).sum() <= 4 < before
    assert {tried.shape for tried in asked} == {(8, 4)}
    assert all((np.diff(tried) < 0).all() and (tried[:, 0] == 250).all() and tried.min() >= 0 for tried in asked)
    worse = coordinate_descent(start, -1.0, measure, rounds=2, trials=8)
    assert worse[1] == -1.0 and worse[0].tolist() == start.tolist()


def test_runs_that_diverge_are_not_chosen() -> None:
    def measure(times: np.ndarray) -> np.ndarray:
        return np.where(times[:, 1] > 100, np.nan, times[:, 1].astype(float))

    costs = StepCosts(np.ones((250, 251)), np.ones((250, 251)))  # type: ignore[arg-type]
    found = optimise_grid(costs, trailing(250, 250).t, measure, 2, rounds=3)
    assert found.times[1] <= 100 and np.isfinite(found.distance["optimised"])


@pytest.mark.parametrize("best", STANDARD)
def test_without_descent_the_best_of_those_tried_is_returned(best: str) -> None:
    def measure(times: np.ndarray) -> np.ndarray:
        return np.abs(times - GRIDS[best](250, 4).t).sum(1).astype(float)

    costs = StepCosts(np.ones((50, 51)), np.ones((50, 51)))  # type: ignore[arg-type]
    found = optimise_grid(costs, trailing(250, 50).t, measure, 4, rounds=0)
    assert found.times.tolist() == GRIDS[best](250, 4).t.tolist()
    assert found.distance["optimised"] == found.distance[best] == 0 == min(found.distance.values())
    assert found.distance.keys() == {*STANDARD, "path", "optimised"}


def test_one_step_visits_the_start_alone() -> None:
    found = optimise_grid(random_costs(20, 0), trailing(250, 20).t, lambda times: np.ones(len(times)), 1)
    assert found.times.tolist() == [250] and found.distance["optimised"] == 1.0


# --- Gaussian data


@functools.cache
def y() -> Array:
    pixels = np.random.default_rng(0).standard_normal((4, 8, 8, 3)).astype(np.float32)
    return jnp.asarray(MEAN + STD * pixels)


def noise_fn(i: Array) -> Array:
    return noise_of(jax.random.split(jax.random.key(1), 4), (8, 8, 3))(i)


HOW: dict[str, Any] = {"w": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": noise_fn}
compiled: list[tuple[int, str]] = []


@functools.partial(jax.jit, static_argnames="solver")
def measured(times: Array, x0: Array, solver: str) -> Array:
    compiled.append((times.shape[1], solver))
    return reconstruction_distances(exact_eps, y(), times, x0, solver=SOLVERS[solver], **HOW)


@functools.cache
def teacher() -> tuple[Array, StepCosts, np.ndarray]:
    def both(y: Array) -> tuple[Array, StepCosts]:
        run = run_teacher(exact_eps, y, fine, solver=SOLVERS["dpm2m"], **HOW)
        return run.x0, step_costs(run, alpha_bar=ALPHA_BAR)

    fine = trailing(T_PRIME, 100)
    return *jax.jit(both)(y()), fine.t


@functools.cache
def optimised(steps: int, solver: str) -> OptimisedGrid:
    x0, costs, t = teacher()
    return optimise_grid(costs, t, lambda times: measured(jnp.asarray(times), x0, solver), steps)


@functools.partial(jax.jit, static_argnames="solver")
def reconstructed(grid: TimeGrid, solver: str) -> Array:
    return reconstruct(exact_eps, y(), y(), grid, eta=0.0, solver=SOLVERS[solver], **HOW)


@pytest.mark.parametrize("steps", [3, 5])
@pytest.mark.parametrize("solver", ["ddim", "dpm2m"])
def test_the_times_found_are_closer_to_the_exact_solution_than_any_formulas(steps: int, solver: str) -> None:
    x_start = np.asarray(perturb(y(), noise_fn(jnp.asarray(0)), ALPHA_BAR[T_PRIME]))
    exact = exact_solution(x_start, T_PRIME)

    def error(grid: TimeGrid) -> float:
        return float(np.sqrt(((np.asarray(reconstructed(grid, solver)) - exact) ** 2).mean()))

    found = optimised(steps, solver)
    assert found.times[0] == T_PRIME and (np.diff(found.times) < 0).all() and found.times.min() >= 0
    assert len(found.times) == steps and found.distance["optimised"] == min(found.distance.values())
    of_standard = {name: error(GRIDS[name](T_PRIME, steps)) for name in STANDARD}
    assert error(grid_of(found.times)) < min(of_standard.values()), of_standard


def test_every_search_compiles_once_a_number_of_steps_and_solver() -> None:
    for steps, solver in itertools.product((3, 5), ("ddim", "dpm2m")):
        optimised(steps, solver)
    assert sorted(compiled) == sorted(itertools.product((3, 5), ("ddim", "dpm2m")))
