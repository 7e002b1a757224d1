"""What a point's reconstruction goes through is what the sweep's reconstruction went through, seen step by step."""

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_sweep import ALPHA_BAR, eps_fn, pictures, program

from ddad_jax.conditioning import conditioned, denoised
from ddad_jax.distilled import reconstruct_by_student
from ddad_jax.errors import InputError
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import ReconPoint, time_grid
from ddad_jax.sampler import noise_of, reconstruct, trajectory, visited
from ddad_jax.solvers import SOLVERS
from ddad_jax.sweep import sweep_distances
from ddad_jax.timesteps import trailing
from ddad_jax.types import Array
from ddad_jax.visits import visits

POINT = ReconPoint(w=2.0, t_prime=250, steps=3, eta=1.0, grid="trailing", seed=1)


def swept(of: PairProgram, images: np.ndarray, point: ReconPoint, **how: Any) -> np.ndarray:
    ((_, found),) = sweep_distances(of, images, [point], chunk=7, keep_x0=True, timer=itertools.count().__next__, **how)
    assert found.x0 is not None
    return np.clip((found.x0.astype(np.float32) + 1) * 127.5, 0, 255)


@pytest.mark.parametrize("solver", ["ddim", "dpm2m", "heun", "unipc3"])
def test_the_predictions_are_those_of_the_network_at_the_states_visited(solver: str) -> None:
    """By hand, from the states ``trajectory`` keeps: x0_hat is the denoised x_t, whatever the solver does then."""
    rng, grid = np.random.default_rng(0), trailing(250, 3)
    x, y = (jnp.asarray(rng.uniform(-1, 1, (2, 4, 4, 2)), jnp.float32) for _ in range(2))
    noise_fn = noise_of(jax.random.split(jax.random.key(0), 2), x.shape[1:])
    how: dict[str, Any] = {"eta": 0.5, "alpha_bar": ALPHA_BAR, "noise_fn": noise_fn, "solver": SOLVERS[solver]}

    @jax.jit
    def both() -> tuple[Any, Array, Array, Array]:
        seen = visited(eps_fn, x, y, grid, w=3.0, fade=0.5, **how)
        steered = conditioned(eps_fn, y, w=3.0, fade=0.5, alpha_bar=ALPHA_BAR)
        states = trajectory(steered, seen.x_t[0], grid, **how).states
        by_hand = jnp.stack([
            denoised(x_t, steered(x_t, jnp.asarray(t)), ALPHA_BAR[t]) for x_t, t in zip(seen.x_t, grid.t, strict=True)
        ])  # fmt: skip
        return seen, states, by_hand, reconstruct(eps_fn, x, y, grid, w=3.0, fade=0.5, **how)

    seen, states, by_hand, x0 = both()
    np.testing.assert_allclose(seen.x_t[1:], states[:-1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(seen.x0_hat, by_hand, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(states[-1], x0, rtol=1e-5, atol=1e-5)
    if solver == "ddim":
        np.testing.assert_allclose(seen.x0_hat[-1], x0, rtol=1e-4, atol=1e-4)


def test_visits_calls_the_network_no_oftener() -> None:
    called: list[Array] = []

    def watched(x_t: Array, t: Array) -> Array:
        called.append(t)
        return eps_fn(x_t, t)

    x, how = jnp.ones((1, 2, 2, 1)), {"eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": lambda i: jnp.zeros((1, 2, 2, 1))}
    with jax.disable_jit():
        visited(watched, x, x, trailing(250, 3), w=1.0, **how)  # type: ignore[arg-type]
    assert [int(t) for t in called] == trailing(250, 3).t.tolist()


def test_visits_end_where_the_sweep_ends() -> None:
    images, point = pictures(), POINT._replace(reuse=2)
    found = next(visits(program(), [images], point, chunk=2))
    assert found.x0_hat.shape == (len(images), 3, *images.shape[1:]) and found.x0_hat.dtype == np.uint8
    assert found.times.tolist() == [time_grid(point).t.tolist()] * len(images)
    np.testing.assert_allclose(found.x0_hat[:, -1], swept(program(), images, point), atol=0.6)
    assert np.abs(found.x0_hat[:, 0].astype(int) - found.x0_hat[:, -1]).max() > 5


def test_each_picture_may_have_a_start_of_its_own() -> None:
    images, point = pictures(3), POINT._replace(rise=0.5)
    starts = np.array([250, 300, 375])
    found = next(visits(program(), [images], point, chunk=2, starts=[starts]))
    assert found.times[:, 0].tolist() == starts.tolist()
    expected = swept(program(), images, point, starts={point: starts})
    np.testing.assert_allclose(found.x0_hat[:, -1], expected, atol=0.6)
    with pytest.raises(InputError, match="expected starts"):
        next(visits(program(), [images], point, chunk=2))


def test_a_student_is_seen_at_its_calls() -> None:
    def predict(x_t: Array, t: Array, y: Array, w: Array, t_prime: Array) -> tuple[Array, Array]:
        return eps_fn(x_t, t), 0.1 * jnp.sin(x_t + y)

    images, point = pictures(3), POINT._replace(model="student", steps=2, eta=0.0)
    student = PairProgram(
        lambda _: (predict, program().networks(None)[1]), None, alpha_bar=ALPHA_BAR, reconstruct=reconstruct_by_student
    )
    by = functools.partial(reconstruct_by_student, by=visited)
    found = next(visits(student, [images], point, chunk=4, by=by))
    assert found.x0_hat.shape[1] == 2
    np.testing.assert_allclose(found.x0_hat[:, -1], swept(student, images, point), atol=0.6)


def test_pictures_are_taken_one_after_the_other() -> None:
    images, taken = pictures(5), []

    def some() -> Iterator[np.ndarray]:
        for part in (images[:2], images[2:]):
            taken.append(len(part))
            yield part

    found = visits(program(), some(), POINT, chunk=2)
    first = next(found)
    assert taken == [2]
    together = next(visits(program(), [images], POINT, chunk=3))
    parts = np.concatenate([first.x0_hat, next(found).x0_hat]).astype(int)
    np.testing.assert_allclose(parts, together.x0_hat, atol=1)
