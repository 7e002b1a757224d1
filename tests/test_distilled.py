"""A student in the sampler's place: steering and correction in closed form, and refusal of what it never learnt."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.conditioning import conditioned, denoised
from ddad_jax.distilled import Trained, reconstruct_by_student, require_distilled_for, student_eps
from ddad_jax.errors import InputError
from ddad_jax.sampler import noise_of, reconstruct, trajectory
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table, perturb
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import TimeGrid, trailing
from ddad_jax.types import Array

ALPHA_BAR = jnp.asarray(alpha_bar_table())
TRAINED = Trained((0.0, 6.0), (100, 300), 2, "trailing", 1.0, 1.0, 0.0, "dpm2m", 20, "trailing")
GOOD: dict[str, Any] = {"w": 3.0, "t_prime": 250, "steps": 2, "grid": "trailing"}
RNG = np.random.default_rng(0)
X, Y = (jnp.asarray(RNG.uniform(-1, 1, (3, 4, 4, 2)).astype(np.float32)) for _ in range(2))
W, START = jnp.array([0.0, 2.0, 5.0]), np.array([250, 120, 180])


def eps_net(x_t: Array, t: Array) -> Array:
    time = jnp.cos(0.01 * jnp.broadcast_to(t, x_t.shape[:1]))[:, None, None, None]
    return jnp.tanh(x_t.mean((1, 2), keepdims=True) - 0.5 * x_t) * time


def corrected(x_t: Array, t: Array, y: Array, w: Array, t_prime: Array) -> tuple[Array, Array]:
    """A student of whom every input can be seen in the correction."""
    w, t_prime = (jnp.broadcast_to(v, x_t.shape[:1])[:, None, None, None] for v in (w, t_prime))
    return eps_net(x_t, t), 0.1 * jnp.sin(x_t + 2 * y + w + 0.01 * t_prime)


def uncorrected(x_t: Array, t: Array, *others: Array) -> tuple[Array, Array]:
    return eps_net(x_t, t), jnp.zeros_like(x_t)


def grids(steps: int) -> TimeGrid:
    each = [trailing(int(t), steps) for t in START]
    return TimeGrid(np.array(START), np.stack([g.t for g in each], 1), np.stack([g.s for g in each], 1))


def keys() -> Array:
    return jax.random.split(jax.random.key(3), 3)


@pytest.mark.parametrize("how", [{}, {"fade": 0.5, "blend_max": 1.0}], ids=str)
def test_without_a_correction_a_student_is_its_teacher_steered(how: dict[str, Any]) -> None:
    t = jnp.asarray(START)
    found = student_eps(uncorrected, Y, w=W, t_prime=t, alpha_bar=ALPHA_BAR, **how)(X, t)
    steered = conditioned(eps_net, Y, w=W, alpha_bar=ALPHA_BAR, **how)(X, t)
    np.testing.assert_array_equal(found, steered)


@pytest.mark.parametrize("t", [250, 60, 5])
def test_the_correction_is_added_to_the_clean_image(t: int) -> None:
    a = ALPHA_BAR[t]
    # 1 / (1 - a) gives the network's own clean image no weight at all.
    for w in (0.0, 3.0, float(1 / (1 - a))):
        x0, teachers = (
            denoised(X, student_eps(net, Y, w=w, t_prime=250, alpha_bar=ALPHA_BAR)(X, jnp.asarray(t)), a)
            for net in (corrected, uncorrected)
        )
        d = corrected(X, jnp.asarray(t), Y, jnp.asarray(w), jnp.asarray(250))[1]
        np.testing.assert_allclose(x0 - teachers, d, atol=1e-4)


def test_nothing_is_steered_twice_and_the_start_reaches_the_network() -> None:
    how: Any = {"eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": noise_of(keys(), X.shape[1:])}
    grid = grids(2)

    @jax.jit
    def both() -> tuple[tuple[Array, Array], ...]:
        found, as_teacher = (reconstruct_by_student(net, X, Y, grid, w=W, **how) for net in (corrected, uncorrected))
        eps_fn = student_eps(corrected, Y, w=W, t_prime=jnp.asarray(START), alpha_bar=ALPHA_BAR)
        x_start = perturb(X, how["noise_fn"](jnp.asarray(0)), alpha_bar_at(ALPHA_BAR, jnp.asarray(START)))
        by_hand = trajectory(eps_fn, x_start, grid, **how).x0
        return (found, by_hand), (as_teacher, reconstruct(eps_net, X, Y, grid, w=W, **how))

    for left, right in both():
        np.testing.assert_allclose(left, right, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2])
def test_solvers_that_begin_as_ddim_give_the_same(steps: int) -> None:
    """None of them has a past to use before its last step, so a student needs no solver of its own."""
    how: Any = {"w": W, "eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": noise_of(keys(), X.shape[1:])}
    alike = {name: SOLVERS[name] for name in ("ddim", "dpm2m", "unipc2", "unipc3")}

    @jax.jit
    def by_each() -> dict[str, Array]:
        return {
            name: reconstruct_by_student(corrected, X, Y, grids(steps), solver=solver, **how)
            for name, solver in alike.items()
        }

    found = by_each()
    for x0 in found.values():
        np.testing.assert_allclose(x0, found["ddim"], atol=1e-4)


def test_points_side_by_side_are_as_one_after_the_other() -> None:
    @jax.jit
    def student(x: Array, y: Array, keys: Array, grid: TimeGrid, w: Array) -> Array:
        noise_fn = noise_of(keys, x.shape[1:])
        return reconstruct_by_student(corrected, x, y, grid, w=w, eta=0.0, alpha_bar=ALPHA_BAR, noise_fn=noise_fn)

    together = student(X, Y, keys(), grids(2), W)
    by_w = jax.vmap(lambda w: student(X, Y, keys(), grids(2), jnp.broadcast_to(w, 3)))(W)
    for i in range(3):
        one = np.s_[i : i + 1]
        grid = TimeGrid(grids(2).start[one], grids(2).t[:, one], grids(2).s[:, one])
        np.testing.assert_allclose(student(X[one], Y[one], keys()[one], grid, W[one])[0], together[i], atol=1e-5)
        np.testing.assert_allclose(by_w[i], student(X, Y, keys(), grids(2), jnp.broadcast_to(W[i], 3)), atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"w": 6.5}, r"w = 6\.5: .*w from 0 to 6"),
        ({"w": -0.1}, r"w = -0\.1"),
        ({"w": float("nan")}, "w = nan"),
        ({"t_prime": 301}, r"T' = 301: .*T' from 100 to 300"),
        ({"t_prime": 99}, "T' = 99"),
        ({"steps": 3}, "steps = 3: .*1 to 2 network calls"),
        ({"steps": 0}, "steps = 0"),
        ({"grid": "log_snr"}, "grid = log_snr: .*grid = trailing"),
        ({"start_noise": 0.0}, r"start_noise = 0\.0"),
        ({"fade": 2.0}, r"fade = 2\.0"),
        ({"blend_max": 1.0}, r"blend_max = 1\.0"),
    ],
    ids=str,
)
def test_what_it_was_not_trained_for_is_refused_by_name_and_range(changed: dict[str, Any], named: str) -> None:
    require_distilled_for(TRAINED, **GOOD)
    with pytest.raises(InputError, match=named):
        require_distilled_for(TRAINED, **{**GOOD, **changed})


@pytest.mark.parametrize("edge", [{"w": 0.0}, {"w": 6.0}, {"t_prime": 100}, {"t_prime": 300}, {"steps": 1}], ids=str)
def test_the_ends_of_a_range_belong_to_it(edge: dict[str, Any]) -> None:
    require_distilled_for(TRAINED, **{**GOOD, **edge})
