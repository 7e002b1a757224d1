from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.conditioning import conditioned, denoised
from ddad_jax.errors import InputError
from ddad_jax.sampler import inverted_start, noise_of, reconstruct, trajectory
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table, perturb
from ddad_jax.solvers.ddim import ddim_step
from ddad_jax.timesteps import GRIDS, TimeGrid, reference_grid, trailing
from ddad_jax.types import Array, EpsFn

ALPHA_BAR = jnp.asarray(alpha_bar_table())
MEAN, STD = 0.3, 0.4
PAIRS = [(250, 225), (225, 200), (25, 0), (999, 500), (100, 99)]


def eps_fn(x_t: Array, t: Array) -> Array:
    """Any smooth function of both arguments that mixes nothing across the batch."""
    time = jnp.cos(0.01 * jnp.broadcast_to(t, x_t.shape[:1]))[:, None, None, None]
    return jnp.tanh(x_t.mean((1, 2), keepdims=True) - 0.5 * x_t) * time


def gaussian_eps(mean: float, std: float) -> EpsFn:
    """The exact noise prediction for pixels x ~ N(mean, std^2)."""

    def exact(x_t: Array, t: Array) -> Array:
        a = alpha_bar_at(ALPHA_BAR, t)
        return jnp.sqrt(1 - a) * (x_t - jnp.sqrt(a) * mean) / (a * std**2 + 1 - a)

    return exact


def normal(*shape: int) -> Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))


@pytest.fixture
def images() -> Array:
    return jnp.clip(MEAN + STD * normal(3, 4, 4, 2), -1, 1)


def no_noise(i: Array) -> Array:
    return jnp.zeros((1, 1, 1, 1))


TRACES: list[int] = []
"""Grows each time ``run`` is traced."""


def run(x: Array, keys: Array, grid: TimeGrid, w: Array, eta: Array) -> Array:
    TRACES.append(len(grid.t))
    noise_fn = noise_of(keys, x.shape[1:])
    return reconstruct(eps_fn, x, x, grid, w=w, eta=eta, alpha_bar=ALPHA_BAR, noise_fn=noise_fn)


program = jax.jit(run)


def recon(x: Array, keys: Array, grid: TimeGrid, w: Any = 3.0, eta: Any = 1.0) -> Array:
    return program(x, keys, grid, jnp.asarray(w, jnp.float32), jnp.asarray(eta, jnp.float32))


one_step = jax.jit(ddim_step)


@jax.jit
def gaussian_flow(x_start: Array, grid: TimeGrid) -> Array:
    fn = gaussian_eps(MEAN, STD)
    return trajectory(fn, x_start, grid, eta=0.0, alpha_bar=ALPHA_BAR, noise_fn=no_noise).x0


@pytest.fixture
def x() -> Array:
    return jnp.asarray(np.clip(0.5 * np.asarray(normal(3, 4, 4, 2)), -1, 1))


# One step


@pytest.mark.parametrize(("t", "s"), PAIRS)
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_a_step_keeps_the_noise_level_of_the_schedule(t: int, s: int, eta: float) -> None:
    """The coefficients of eps and of the fresh noise square to 1 - alpha_bar_s, the clean image's to alpha_bar_s."""
    a_t, a_s = (np.asarray(ALPHA_BAR)[i] for i in (t, s))
    # Three images: only the clean image in x_t, only its noise, only the fresh noise.
    x_t, eps, noise = (
        np.array(v, np.float32).reshape(3, 1, 1, 1) for v in ([np.sqrt(a_t), np.sqrt(1 - a_t), 0], [0, 1, 0], [0, 0, 1])
    )
    of_x0, of_eps, of_noise = np.asarray(one_step(x_t, eps, a_t, a_s, eta=eta, noise=noise)).ravel()
    assert of_x0**2 == pytest.approx(a_s, rel=1e-5)
    assert of_eps**2 + of_noise**2 == pytest.approx(1 - a_s, rel=1e-4)
    posterior = (1 - a_s) / (1 - a_t) * (1 - a_t / a_s)
    assert of_noise**2 == pytest.approx(eta**2 * posterior, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(("t", "s"), PAIRS)
def test_a_deterministic_step_can_be_inverted(t: int, s: int) -> None:
    x_t, eps = normal(2, 3, 1, 1, 1)
    a_t, a_s = ALPHA_BAR[t], ALPHA_BAR[s]
    x_s = one_step(x_t, eps, a_t, a_s, eta=0.0, noise=jnp.zeros_like(x_t))
    back = perturb(denoised(x_s, eps, a_s), eps, a_t)
    np.testing.assert_allclose(back, x_t, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_step_to_the_clean_image_is_the_prediction_exactly(eta: float) -> None:
    x_t, eps, noise = normal(3, 3, 1, 1, 1)
    x_s = one_step(x_t, eps, ALPHA_BAR[25], jnp.asarray(1.0), eta=eta, noise=100 * noise)
    np.testing.assert_array_equal(x_s, jax.jit(denoised)(x_t, eps, ALPHA_BAR[25]))


def test_eta_and_times_may_differ_between_images() -> None:
    x_t, eps, noise = normal(3, 3, 4, 4, 2)
    a_t, a_s, eta = (np.array(v, np.float32) for v in ([0.5, 0.6, 0.7], [0.8, 0.7, 1.0], [0.0, 1.0, 0.5]))
    together = one_step(x_t, eps, a_t, a_s, eta=eta, noise=noise)
    for i in range(3):
        one = np.s_[i : i + 1]
        alone = one_step(x_t[one], eps[one], a_t[i], a_s[i], eta=eta[i], noise=noise[one])
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-5, atol=1e-6)


# The loop


def test_the_network_is_called_once_at_each_time_of_the_grid(x: Array) -> None:
    grid = trailing(250, 4)
    visited = []

    def watched(x_t: Array, t: Array) -> Array:
        visited.append(int(t))
        return eps_fn(x_t, t)

    with jax.disable_jit():
        trajectory(watched, x, grid, eta=0.0, alpha_bar=ALPHA_BAR, noise_fn=lambda i: jnp.zeros_like(x))
    assert visited == grid.t.tolist()


def test_a_trajectory_is_its_steps_and_ends_in_its_last_state(x: Array) -> None:
    grid = trailing(250, 4)
    noises = normal(5, *x.shape)
    x0, states = trajectory(eps_fn, x, grid, eta=1.0, alpha_bar=ALPHA_BAR, noise_fn=lambda i: noises[i])
    assert states.shape == (4, *x.shape)
    np.testing.assert_array_equal(x0, states[-1])
    at = x
    for i, (t, s) in enumerate(zip(grid.t, grid.s, strict=True)):
        a_t, a_s = alpha_bar_at(ALPHA_BAR, jnp.asarray(t)), alpha_bar_at(ALPHA_BAR, jnp.asarray(s))
        at = ddim_step(at, eps_fn(at, jnp.asarray(t)), a_t, a_s, eta=1.0, noise=noises[i + 1])
        np.testing.assert_allclose(states[i], at, rtol=1e-5, atol=1e-6)


def test_reconstruction_noises_then_steers(x: Array) -> None:
    @jax.jit
    def both(x: Array, noises: Array, grid: TimeGrid) -> tuple[Array, Array]:
        def noise_fn(i: Array) -> Array:
            return noises[i]

        y = x[::-1]
        got = reconstruct(eps_fn, x, y, grid, w=3.0, eta=1.0, alpha_bar=ALPHA_BAR, noise_fn=noise_fn)
        x_start = perturb(x, noises[0], ALPHA_BAR[250])
        steered = conditioned(eps_fn, y, w=3.0, alpha_bar=ALPHA_BAR)
        by_hand = trajectory(steered, x_start, grid, eta=1.0, alpha_bar=ALPHA_BAR, noise_fn=noise_fn)
        return got, by_hand.x0

    got, by_hand = both(x, normal(6, *x.shape), reference_grid(250, 5))
    np.testing.assert_allclose(got, by_hand, rtol=1e-5, atol=1e-6)


def test_the_start_may_be_the_scaled_image_without_noise(x: Array, key: jax.Array) -> None:
    """Deviation: start_noise. With 0 a deterministic reconstruction depends on no seed."""

    @jax.jit
    def at(start_noise: Array, seed: Array) -> Array:
        noise_fn = noise_of(jax.random.split(jax.random.fold_in(key, seed), 3), x.shape[1:])
        how: Any = {"w": 2.0, "eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": noise_fn}
        return reconstruct(eps_fn, x, x, trailing(250, 4), start_noise=start_noise, **how)

    scaled = jnp.sqrt(ALPHA_BAR[250]) * x
    steered = conditioned(eps_fn, x, w=2.0, alpha_bar=ALPHA_BAR)
    expected = trajectory(steered, scaled, trailing(250, 4), eta=0.0, alpha_bar=ALPHA_BAR, noise_fn=no_noise).x0
    np.testing.assert_allclose(at(jnp.float32(0), 0), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(at(jnp.float32(0), 0), at(jnp.float32(0), 1))
    assert float(jnp.abs(at(jnp.float32(1), 0) - at(jnp.float32(1), 1)).max()) > 0.01


def test_w_zero_reconstructs_without_the_target(x: Array, key: jax.Array) -> None:
    @jax.jit
    def towards(y: Array, w: Array) -> tuple[Array, Array]:
        grid, noise_fn = trailing(250, 5), noise_of(jax.random.split(key, 3), x.shape[1:])
        steered = reconstruct(eps_fn, x, y, grid, w=w, eta=0.0, alpha_bar=ALPHA_BAR, noise_fn=noise_fn)
        x_start = perturb(x, noise_fn(jnp.asarray(0)), ALPHA_BAR[250])
        free = trajectory(eps_fn, x_start, grid, eta=0.0, alpha_bar=ALPHA_BAR, noise_fn=noise_fn)
        return steered, free.x0

    (to_x, free), (to_other, _) = (towards(y, jnp.float32(0)) for y in (x, -x))
    np.testing.assert_array_equal(to_x, to_other)
    np.testing.assert_allclose(to_x, free, rtol=1e-5, atol=1e-6)
    assert np.abs(towards(x, jnp.float32(1))[0] - free).max() > 0.01


def test_a_network_that_knows_the_image_gives_it_back(x: Array, key: jax.Array) -> None:
    """Given the noise that is in x_t, whatever eta, w and grid do, the reconstruction of y = x is x."""

    def oracle(x_t: Array, t: Array) -> Array:
        a = alpha_bar_at(ALPHA_BAR, t)
        return (x_t - jnp.sqrt(a) * x) / jnp.sqrt(1 - a)

    @jax.jit
    def back(grid: TimeGrid, w: Array, eta: Array) -> Array:
        noise_fn = noise_of(jax.random.split(key, 3), x.shape[1:])
        return reconstruct(oracle, x, x, grid, w=w, eta=eta, alpha_bar=ALPHA_BAR, noise_fn=noise_fn)

    for name, make in GRIDS.items():
        for w, eta in ((0.0, 0.0), (3.0, 1.0)):
            got = back(make(250, 5), jnp.float32(w), jnp.float32(eta))
            np.testing.assert_allclose(got, x, atol=1e-4, err_msg=name)


# Against the exact solution


def error_on_gaussian_data(grid: TimeGrid) -> float:
    """The probability flow keeps (x_t - sqrt(a) mean) / sqrt(a std^2 + 1 - a): the end is known."""
    x_start = np.linspace(-2, 2, 9, dtype=np.float32).reshape(9, 1, 1, 1)
    a = float(ALPHA_BAR[grid.start])
    exact = MEAN + STD * (x_start - np.sqrt(a) * MEAN) / np.sqrt(a * STD**2 + 1 - a)
    return float(np.abs(gaussian_flow(x_start, grid) - exact).max())


def test_ddim_converges_to_the_exact_solution_at_first_order() -> None:
    errors = np.array([error_on_gaussian_data(trailing(500, k)) for k in (10, 20, 40, 80, 500)])
    assert errors[-1] < 5e-3
    order = np.log2(errors[:-2] / errors[1:-1])
    assert ((order > 0.9) & (order < 1.1)).all(), order


@pytest.mark.parametrize("name", GRIDS)
def test_every_grid_converges_to_the_exact_solution(name: str) -> None:
    few, some = (error_on_gaussian_data(GRIDS[name](250, k)) for k in (5, 10))
    assert some < 0.65 * few


def test_many_steps_return_the_distribution_of_the_data_whatever_eta(key: jax.Array) -> None:
    x = MEAN + STD * normal(10_000, 1, 1, 1)

    @jax.jit
    def sample(x: Array, eta: Array) -> Array:
        def noise_fn(i: Array) -> Array:
            return jax.random.normal(jax.random.fold_in(key, 10 + i), x.shape)

        start, grid = perturb(x, noise_fn(jnp.asarray(0)), ALPHA_BAR[500]), trailing(500, 500)
        fn = gaussian_eps(MEAN, STD)
        return trajectory(fn, start, grid, eta=eta, alpha_bar=ALPHA_BAR, noise_fn=noise_fn).x0

    for eta in (0.0, 0.5, 1.0):
        x0 = np.asarray(sample(x, jnp.asarray(eta)))
        assert x0.mean() == pytest.approx(MEAN, abs=0.015)
        assert x0.std() == pytest.approx(STD, abs=0.012)


# What may be traced, and what an image depends on


def stacked(grids: list[TimeGrid]) -> TimeGrid:
    return TimeGrid(*(np.stack(v) for v in zip(*grids, strict=True)))


def test_one_compilation_serves_all_w_times_eta_and_keys_of_a_step_count(x: Array, key: jax.Array) -> None:
    before = len(TRACES)
    results = [
        recon(x, jax.random.split(jax.random.fold_in(key, seed), 3), make(t_prime, 5), w, eta)
        for make in (reference_grid, trailing)
        for t_prime in (100, 250)
        for w in (0.0, 3.0)
        for eta in (0.0, 1.0)
        for seed in (0, 1)
    ]
    assert len(TRACES) - before <= 1
    assert len({np.asarray(r).tobytes() for r in results}) == len(results)


def test_a_vmap_over_settings_equals_the_loop(x: Array, key: jax.Array) -> None:
    grids = [trailing(250, 5), trailing(100, 5), reference_grid(200, 5), reference_grid(50, 5)]
    w, eta = jnp.array([0.0, 1.0, 3.0, 11.0]), jnp.array([0.0, 1.0, 0.5, 0.0])
    keys = jax.vmap(lambda k: jax.random.split(k, 3))(jax.random.split(key, 4))
    together = jax.jit(jax.vmap(run, in_axes=(None, 0, 0, 0, 0)))(x, keys, stacked(grids), w, eta)
    for i, grid in enumerate(grids):
        np.testing.assert_allclose(together[i], recon(x, keys[i], grid, w[i], eta[i]), rtol=1e-4, atol=1e-5)


def test_every_image_may_have_its_own_settings(x: Array, key: jax.Array) -> None:
    """Settings along the batch, times along [K, b]: what a sweep flattens grid points and images into."""
    grids = [trailing(250, 5), reference_grid(100, 5), trailing(50, 5)]
    start, t, s = stacked(grids)
    w, eta, keys = jnp.array([0.0, 3.0, 8.0]), jnp.array([1.0, 0.0, 0.5]), jax.random.split(key, 3)
    together = recon(x, keys, TimeGrid(start, t.T, s.T), w, eta)
    for i, grid in enumerate(grids):
        alone = recon(x[i : i + 1], keys[i : i + 1], grid, w[i], eta[i])
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-4, atol=1e-5)


def test_an_image_does_not_depend_on_its_batch_mates(x: Array, key: jax.Array) -> None:
    keys, grid = jax.random.split(key, 3), trailing(250, 5)
    together = recon(x, keys, grid)
    for i in range(3):
        alone = recon(x[i : i + 1], keys[i : i + 1], grid)
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-5, atol=1e-6)
    order = jnp.array([2, 0, 1])
    np.testing.assert_array_equal(recon(x[order], keys[order], grid), together[order])


def test_noise_is_new_for_every_step_and_image_and_repeats_for_a_key(key: jax.Array) -> None:
    noise_fn = jax.jit(lambda i: noise_of(jax.random.split(key, 2), (10, 10, 3))(i))
    drawn = np.stack([noise_fn(i) for i in range(4)])
    flat = drawn.reshape(8, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(8)).max() < 0.3
    assert flat.std() == pytest.approx(1.0, abs=0.1)
    np.testing.assert_array_equal(noise_fn(2), drawn[2])


def test_the_states_of_a_reconstruction_are_not_kept_in_memory(x: Array, key: jax.Array) -> None:
    def peak(steps: int) -> int:
        lowered = program.lower(x, jax.random.split(key, 3), trailing(250, steps), jnp.float32(3), jnp.float32(1))
        analysis: Any = lowered.compile().memory_analysis()
        return analysis.temp_size_in_bytes

    assert peak(50) - peak(5) < 5 * x.nbytes


# Inversion as the start


def up_the_flow(x: np.ndarray, t: int, mean: float, std: float) -> np.ndarray:
    """From x at t = 0: the probability flow keeps (x_t - sqrt(a) mean) / sqrt(a std^2 + 1 - a)."""
    a, b = float(ALPHA_BAR[0]), float(ALPHA_BAR[t])
    kept = (np.sqrt(a) * x - np.sqrt(a) * mean) / np.sqrt(a * std**2 + 1 - a)
    return np.asarray(np.sqrt(b) * mean + np.sqrt(b * std**2 + 1 - b) * kept)


def test_inversion_finds_the_noise_that_the_flow_leads_to(images: Array) -> None:
    """Of first order, on Gaussian data; whatever the pictures are, it is where the flow leads."""
    network, x = gaussian_eps(MEAN, STD), images
    errors = []
    for steps in (10, 20, 40):
        found = jax.jit(lambda x, grid: inverted_start(network, x, grid, alpha_bar=ALPHA_BAR))(x, trailing(250, steps))
        errors.append(np.abs(np.asarray(found) - up_the_flow(np.asarray(x), 250, MEAN, STD)).max())
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 1.0, atol=0.3)


def test_what_was_inverted_comes_back_without_a_target_and_whatever_the_seed(images: Array, key: jax.Array) -> None:
    network, x = gaussian_eps(MEAN, STD), images

    @jax.jit
    def back(keys: Array) -> tuple[Array, Array]:
        how: Any = {"w": 0.0, "eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": noise_of(keys, x.shape[1:])}
        return tuple(reconstruct(network, x, x, trailing(250, 125), start=s, **how) for s in ("inversion", "noise"))

    one, other = (back(jax.random.split(k, len(x))) for k in jax.random.split(key))
    np.testing.assert_array_equal(one[0], other[0])
    assert float(np.abs(one[0] - x).max()) < 0.02 < float(np.abs(one[1] - x).max())


def test_a_grid_that_visits_t_0_inverts_as_well(images: Array) -> None:
    found = inverted_start(gaussian_eps(MEAN, STD), images, GRIDS["uniform"](250, 5), alpha_bar=ALPHA_BAR)
    assert bool(jnp.isfinite(found).all())


def test_an_unknown_start_is_refused(images: Array) -> None:
    how: Any = {"w": 0.0, "eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": no_noise}
    with pytest.raises(InputError, match="start = 'clean': expected noise or inversion"):
        reconstruct(eps_fn, images, images, trailing(250, 2), start="clean", **how)
