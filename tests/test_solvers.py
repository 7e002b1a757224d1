"""Every solver: against the exact solution for Gaussian data, and what all of them promise."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.conditioning import conditioned, denoised
from ddad_jax.sampler import noise_of, reconstruct, trajectory
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table, per_image, perturb
from ddad_jax.solvers import SOLVERS
from ddad_jax.solvers.step import Solver, Step, half_log_snr
from ddad_jax.solvers.unipc import lagrange_weights, phi
from ddad_jax.timesteps import TimeGrid, log_snr, trailing
from ddad_jax.types import Array, EpsFn

ALPHA_BAR = jnp.asarray(alpha_bar_table())
MEAN, STD = 0.3, 0.4
STEPS = 4
"""One program of each solver serves most claims."""


def exact_eps(alpha_bar: Array, x_t: Array, t: Array) -> Array:
    """The noise prediction for pixels x ~ N(MEAN, STD^2)."""
    a = per_image(alpha_bar_at(alpha_bar, t), x_t)
    return jnp.sqrt(1 - a) * (x_t - jnp.sqrt(a) * MEAN) / (a * STD**2 + 1 - a)


def some_eps(x_t: Array, t: Array) -> Array:
    """Any smooth function of both arguments that mixes nothing across the batch."""
    time = jnp.cos(0.01 * jnp.broadcast_to(t, x_t.shape[:1]))[:, None, None, None]
    return jnp.tanh(x_t.mean((1, 2), keepdims=True) - 0.5 * x_t) * time


def silent(i: Array) -> Array:
    return jnp.zeros((1, 1, 1, 1))


@pytest.fixture
def x() -> Array:
    pixels = np.random.default_rng(0).standard_normal((3, 4, 4, 2))
    return jnp.asarray(np.clip(0.5 * pixels, -1, 1), jnp.float32)


@pytest.fixture(params=SOLVERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_error_on_gaussian_data_falls_with_the_order_of_the_solver(name: str) -> None:
    """The probability flow keeps (x_t - sqrt(a) mean) / sqrt(a std^2 + 1 - a).

    Over a table of 64,000 times even in log-SNR and in float64: with 1000 times their rounding hides order 3.
    Without the last step to the clean image, which is of first order in all.
    """
    alpha_bar = 1.0 / (1.0 + np.exp(-2.0 * np.linspace(3.0, -1.5, 64_000)))
    first, last = 60_000, 4_000
    x_start = np.linspace(-2, 2, 9).reshape(9, 1, 1, 1)
    a, b = alpha_bar[first], alpha_bar[last]
    spread = np.sqrt((b * STD**2 + 1 - b) / (a * STD**2 + 1 - a))
    exact = np.sqrt(b) * MEAN + spread * (x_start - np.sqrt(a) * MEAN)
    errors = []
    with jax.enable_x64(True):
        table = jnp.asarray(alpha_bar)
        how: Any = {"eta": 0.0, "alpha_bar": table, "noise_fn": silent, "solver": SOLVERS[name]}
        for steps in (30, 60):
            t = np.round(np.linspace(first, last, steps + 1)).astype(np.int32)
            grid = TimeGrid(t[0], t[:-1], t[1:])
            x_s = jax.jit(lambda x, grid=grid: trajectory(partial(exact_eps, table), x, grid, **how).x0)(x_start)
            errors.append(np.abs(np.asarray(x_s) - exact).max())
    order = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(order, SOLVERS[name].order, atol=0.3)


@partial(jax.jit, static_argnames="name")
def flow(x_start: Array, grid: TimeGrid, name: str) -> Array:
    how: Any = {"eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": silent, "solver": SOLVERS[name]}
    return trajectory(partial(exact_eps, ALPHA_BAR), x_start, grid, **how).x0


def test_a_higher_order_needs_fewer_calls() -> None:
    """On Gaussian data, from T' = 250 to the clean image, at ten calls of the network.

    One call a step and work on the data prediction, nearly linear in the half log-SNR here: measured 0.03 to 0.05.
    """
    x_start = np.linspace(-2, 2, 9, dtype=np.float32).reshape(9, 1, 1, 1)
    a = np.float64(ALPHA_BAR[250])
    exact = MEAN + STD * (x_start - np.sqrt(a) * MEAN) / np.sqrt(a * STD**2 + 1 - a)
    error = {
        name: float(np.abs(np.asarray(flow(x_start, log_snr(250, 10 // SOLVERS[name].calls), name)) - exact).max())
        for name in SOLVERS
    }
    higher = [error[name] for name, solver in SOLVERS.items() if solver.order > 1]
    assert max(higher) < error["ddim"], error
    assert max(error[name] for name in ("dpm2m", "unipc2", "unipc3")) < 0.1 * error["ddim"], error


@partial(jax.jit, static_argnames="name")
def recon(x: Array, keys: Array, grid: TimeGrid, w: Array, eta: Array, name: str) -> Array:
    how: Any = {"alpha_bar": ALPHA_BAR, "noise_fn": noise_of(keys, x.shape[1:]), "solver": SOLVERS[name]}
    return reconstruct(some_eps, x, x, grid, w=w, eta=eta, **how)


def test_one_step_is_the_conditioned_prediction_itself(x: Array, key: jax.Array, name: str) -> None:
    keys = jax.random.split(key, 3)
    x_start = perturb(x, noise_of(keys, x.shape[1:])(jnp.asarray(0)), ALPHA_BAR[250])
    eps = conditioned(some_eps, x, w=2.0, alpha_bar=ALPHA_BAR)(x_start, jnp.asarray(250))
    got = recon(x, keys, trailing(250, 1), jnp.float32(2), jnp.float32(0), name)
    np.testing.assert_allclose(got, denoised(x_start, eps, ALPHA_BAR[250]), rtol=1e-5, atol=1e-5)


def test_w_zero_is_unconditioned(x: Array, key: jax.Array, name: str) -> None:
    keys, grid = jax.random.split(key, 3), trailing(250, STEPS)
    noise_fn = noise_of(keys, x.shape[1:])
    x_start = perturb(x, noise_fn(jnp.asarray(0)), ALPHA_BAR[250])
    how: Any = {"eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": noise_fn, "solver": SOLVERS[name]}
    free = trajectory(some_eps, x_start, grid, **how).x0
    np.testing.assert_allclose(recon(x, keys, grid, jnp.float32(0), jnp.float32(0), name), free, rtol=1e-4, atol=1e-5)


def test_an_image_does_not_depend_on_its_batch_mates_or_their_times(x: Array, key: jax.Array, name: str) -> None:
    keys = jax.random.split(key, 3)
    grids = [trailing(t, STEPS) for t in (100, 250, 400)]
    w, eta = jnp.array([0.0, 2.0, 5.0]), jnp.array([0.0, 0.5, 1.0])
    mixed = TimeGrid(*(np.stack(v, -1) for v in zip(*grids, strict=True)))
    together = recon(x, keys, mixed, w, eta, name)
    for i in range(3):
        alone = recon(x[i : i + 1], keys[i : i + 1], grids[i], w[i], eta[i], name)
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-4, atol=1e-5)


def test_vmap_over_settings_equals_a_loop(x: Array, key: jax.Array, name: str) -> None:
    keys, grids = jax.random.split(key, 3), [trailing(t, STEPS) for t in (100, 250)]
    w, eta = jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0])
    stacked = TimeGrid(*(np.stack(v) for v in zip(*grids, strict=True)))
    at_once = jax.vmap(lambda g, w, eta: recon(x, keys, g, w, eta, name))(stacked, w, eta)
    for i in range(2):
        np.testing.assert_allclose(at_once[i], recon(x, keys, grids[i], w[i], eta[i], name), rtol=1e-4, atol=1e-5)


def test_a_network_that_knows_the_image_gives_it_back(x: Array, key: jax.Array, name: str) -> None:
    def oracle(x_t: Array, t: Array) -> Array:
        a = alpha_bar_at(ALPHA_BAR, t)
        return (x_t - jnp.sqrt(a) * x) / jnp.sqrt(1 - a)

    noise_fn = noise_of(jax.random.split(key, 3), x.shape[1:])
    how: Any = {"w": 3.0, "eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": noise_fn, "solver": SOLVERS[name]}
    got = jax.jit(lambda grid: reconstruct(oracle, x, x, grid, **how))(trailing(250, STEPS))
    np.testing.assert_allclose(got, x, atol=2e-4)


def test_a_solver_calls_the_network_as_often_as_it_says(x: Array, name: str) -> None:
    visited = []

    def watched(x_t: Array, t: Array) -> Array:
        visited.append(int(t))
        return some_eps(x_t, t)

    grid = trailing(250, 3)
    with jax.disable_jit():
        how: Any = {"eta": 0.0, "alpha_bar": ALPHA_BAR, "noise_fn": lambda i: jnp.zeros_like(x)}
        trajectory(watched, x, grid, solver=SOLVERS[name], **how)
    assert len(visited) == 3 * SOLVERS[name].calls
    assert visited[:: SOLVERS[name].calls] == grid.t.tolist()


def advance_to_the_clean_image(solver: Solver, x: Array, i: int) -> Array:
    """Step i of a trajectory whose others went 250, 200, 150, ...; operation by operation, an overflow raises."""
    memory = solver.begin(x)
    t = jnp.full(x.shape[:1], 250)
    with jax.debug_nans(True), jax.debug_infs(True), jax.disable_jit():
        for n in range(1, i + 1):
            s = jnp.full(x.shape[:1], -1) if n == i else t - 50
            a_t, a_s = (alpha_bar_at(ALPHA_BAR, v) for v in (t, s))
            x, memory = solver.advance(some_eps, memory, x, Step(jnp.asarray(n), t, s, a_t, a_s, 0.5, 0.1 * x))
            t = s
    return x


@pytest.mark.parametrize("i", [1, 3])
def test_all_that_is_computed_on_the_way_stays_finite(x: Array, name: str, i: int) -> None:
    """Not only the result: a branch that jnp.where throws away has a derivative, and NaN in a memory would stay."""
    assert bool(jnp.isfinite(advance_to_the_clean_image(SOLVERS[name], x, i)).all())


def test_an_infinite_log_snr_that_is_thrown_away_is_found(x: Array) -> None:
    def careless(eps_fn: EpsFn, memory: Any, x_t: Array, step: Step) -> tuple[Array, Any]:
        h = per_image(half_log_snr(step.a_s) - half_log_snr(step.a_t), x_t)
        return jnp.where(per_image(step.a_s >= 1.0, x_t), x_t, x_t * jnp.exp(-h)), memory

    with pytest.raises(FloatingPointError):
        advance_to_the_clean_image(Solver(lambda x: (), careless, order=1), x, 1)


def test_only_stochastic_solvers_see_eta_and_the_seed(x: Array, key: jax.Array, name: str) -> None:
    grid, keys = trailing(250, STEPS), jax.random.split(key, 3)
    plain, noisy = (recon(x, keys, grid, jnp.float32(1), jnp.float32(eta), name) for eta in (0, 1))
    assert bool(jnp.array_equal(plain, noisy)) is not SOLVERS[name].stochastic


# SDE-DPM-Solver++ (2M)


def test_without_noise_it_is_dpm_solver(x: Array, key: jax.Array) -> None:
    grid, keys = log_snr(250, STEPS), jax.random.split(key, 3)
    ode, sde = (recon(x, keys, grid, jnp.float32(1), jnp.float32(0), name) for name in ("dpm2m", "sde_dpm2m"))
    np.testing.assert_allclose(sde, ode, rtol=1e-5, atol=1e-6)


def test_with_all_its_noise_it_begins_as_ddim_does(x: Array, key: jax.Array) -> None:
    """DDIM with eta = 1 is the first-order solver of the same reverse SDE; the second and last step is a prediction."""
    keys, grid = jax.random.split(key, 3), TimeGrid(np.int32(250), np.array([250, 120]), np.array([120, -1]))
    ddim, sde = (recon(x, keys, grid, jnp.float32(1), jnp.float32(1), name) for name in ("ddim", "sde_dpm2m"))
    np.testing.assert_allclose(sde, ddim, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_the_variance_on_gaussian_data_is_kept_to_second_order(eta: float) -> None:
    """Every eta has the marginals of the forward process, a STD^2 + 1 - a. All steps are linear, so a batch of unit
    impulses, one at the start and one in the noise of each step, gives the variance of the result exactly."""
    lam = np.linspace(3.0, -1.5, 64_000)
    alpha_bar = 1.0 / (1.0 + np.exp(-2.0 * lam))
    first, last = 60_000, 4_000
    a, b = alpha_bar[first], alpha_bar[last]
    errors: dict[str, list[float]] = {"ddim": [], "sde_dpm2m": []}
    with jax.enable_x64(True):
        for steps in (40, 80):
            t = np.round(np.linspace(first, last, steps + 1)).astype(np.int32)
            units = jnp.eye(steps + 2).reshape(steps + 2, steps + 2, 1, 1, 1)  # which impulse; zeros last
            for name, found in errors.items():
                how: Any = {"eta": eta, "alpha_bar": jnp.asarray(alpha_bar), "noise_fn": lambda i, u=units: u[i]}
                run = partial(trajectory, partial(exact_eps, how["alpha_bar"]), solver=SOLVERS[name], **how)
                x_s = np.asarray(jax.jit(run)(units[0], TimeGrid(t[0], t[:-1], t[1:])).x0)[:, 0, 0, 0]
                impulses = x_s[:-1] - x_s[-1]
                variance = impulses[0] ** 2 * (a * STD**2 + 1 - a) + (impulses[1:] ** 2).sum()
                found.append(abs(variance - (b * STD**2 + 1 - b)))
    order = {name: np.log2(np.array(e[:-1]) / e[1:]) for name, e in errors.items()}
    np.testing.assert_allclose(order["sde_dpm2m"], 2.0, atol=0.3)
    if eta == 1.0:  # in between, DDIM's noise is of another reverse process than this family's
        np.testing.assert_allclose(order["ddim"], 1.0, atol=0.3)
    assert errors["sde_dpm2m"][-1] < 0.1 * errors["ddim"][-1]


# UniPC's coefficients


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_phi_is_its_integral(k: int) -> None:
    """phi_k(z) = 1 / (k-1)! int_0^1 e^((1-u) z) u^(k-1) du."""
    u = (np.arange(4000) + 0.5) / 4000
    for z in (-4.0, -1.5, -1.0, -0.99, -0.1, -1e-3):
        integral = (np.exp((1 - u) * z) * u ** (k - 1)).mean() / math.factorial(k - 1)
        assert float(phi(k, jnp.float32(z))) == pytest.approx(integral, rel=2e-5)


def test_the_weights_solve_their_system() -> None:
    r = np.array([-0.7, -1.9, 1.0], np.float32)
    b = np.array([0.4, -0.3, 0.2], np.float32)
    for n in (1, 2, 3):
        at, to = [jnp.asarray(v) for v in r[-n:]], [jnp.asarray(v) for v in b[:n]]
        rho = np.array(lagrange_weights(at, to))
        np.testing.assert_allclose(np.stack([r[-n:] ** i for i in range(n)]) @ rho, b[:n], rtol=1e-4)
