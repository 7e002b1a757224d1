import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import ALPHA_BAR

from ddad_jax.conditioning import denoised
from ddad_jax.empirical_prior import PatchPrior, fit_patches, patch_eps, rows_around, spacing
from ddad_jax.errors import InputError
from ddad_jax.neighbours import nearest
from ddad_jax.sampler import trajectory
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import trailing

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((40, 5)).astype(np.float32)
Y = RNG.standard_normal((3, 2, 4, 5)).astype(np.float32)
PRIOR = PatchPrior(jnp.asarray(ROWS), spacing(jnp.asarray(ROWS)))


def clean(prior: PatchPrior, x_t: np.ndarray, t: int, **how: float) -> np.ndarray:
    """x0_hat, of pictures [b, h, w, d]."""
    eps = patch_eps(prior, ALPHA_BAR, **how)(jnp.asarray(x_t), jnp.asarray(t))  # type: ignore[arg-type]
    return np.asarray(denoised(jnp.asarray(x_t), eps, ALPHA_BAR[t]))


@pytest.mark.parametrize("t", [0, 400, 999])
@pytest.mark.parametrize("rows", [[0.4], [-1.0, 1.5]])
def test_the_clean_picture_is_the_conditional_mean(rows: list[float], t: int) -> None:
    """Of one channel, by the integral over x_0 itself."""
    prior, h2 = PatchPrior(jnp.asarray(rows)[:, None], jnp.asarray(2.0)), 0.02 * 2.0
    a, x_t = float(ALPHA_BAR[t]), np.array([-1.2, 0.1, 0.25, 1.4], np.float32)
    x0 = np.linspace(-6, 6, 240_001)
    density = sum(np.exp(-((x0 - row) ** 2) / (2 * h2)) for row in rows)
    seen = density * np.exp(-((x_t[:, None] - math.sqrt(a) * x0) ** 2) / (2 * (1 - a)))
    expected = (seen * x0).sum(1) / seen.sum(1)
    found = clean(prior, x_t.reshape(1, 1, 4, 1), t, bandwidth=0.02)
    np.testing.assert_allclose(found.ravel(), expected, atol=2e-4 / math.sqrt(a))


def test_ddim_in_many_steps_is_the_exact_flow_and_more_steps_are_nearer() -> None:
    """In one dimension the probability flow keeps the share of what lies below."""
    rows, t, h2 = np.array([-1.0, 1.5]), 300, 0.1
    prior = PatchPrior(jnp.asarray(rows, jnp.float32)[:, None], jnp.asarray(1.0))
    a, start = float(ALPHA_BAR[t]), np.array([-1.5, -0.3, 0.2, 0.4, 1.0, 1.8], np.float32)

    def below(x: float, a: float) -> float:
        return sum(0.5 + 0.5 * math.erf((x - math.sqrt(a) * r) / math.sqrt(2 * (a * h2 + 1 - a))) for r in rows)

    def arrives(x_t: float) -> float:
        low, high = -9.0, 9.0
        while high - low > 1e-9:
            middle = (low + high) / 2
            low, high = (middle, high) if below(middle, 1.0) < below(x_t, a) else (low, middle)
        return low

    exact = np.array([arrives(float(x)) for x in start])
    x_t = jnp.asarray(start).reshape(1, 1, -1, 1)

    def error(solver: str, steps: int) -> float:
        found = trajectory(
            patch_eps(prior, ALPHA_BAR, bandwidth=h2), x_t, trailing(t, steps), eta=0.0, alpha_bar=ALPHA_BAR,
            noise_fn=lambda i: jnp.zeros_like(x_t), solver=SOLVERS[solver],
        )  # fmt: skip
        return float(np.abs(np.asarray(found.x0).ravel() - exact).max())

    errors = [error("ddim", steps) for steps in (3, 30, 300)]
    assert errors[0] > 4 * errors[1] > 16 * errors[2] and errors[2] < 0.01
    assert error("dpm2m", 30) < errors[1] / 2


def test_at_a_small_time_it_measures_the_distance_to_the_nearest_row() -> None:
    near = nearest(jnp.asarray(Y).reshape(-1, 5), PRIOR.rows).distances.reshape(Y.shape[:3])
    a = float(ALPHA_BAR[0])
    found = np.linalg.norm(Y - clean(PRIOR, math.sqrt(a) * Y, 0), axis=-1)
    np.testing.assert_allclose(found, near, rtol=1e-3)
    # A patch's own noise shortens all distances alike.
    h2 = 1e-4 * float(PRIOR.spacing)
    found = np.linalg.norm(Y - clean(PRIOR, math.sqrt(a) * Y, 0, bandwidth=1e-4), axis=-1)
    np.testing.assert_allclose(found, near * (1 - a) / (a * h2 + 1 - a), rtol=1e-3)


def test_at_a_large_time_every_patch_is_the_mean_of_all() -> None:
    noised = math.sqrt(float(ALPHA_BAR[999])) * Y
    np.testing.assert_allclose(clean(PRIOR, noised, 999), np.broadcast_to(ROWS.mean(0), Y.shape), atol=0.05)


def test_batch_mates_their_times_and_the_memory_it_may_use_change_nothing() -> None:
    t = jnp.array([10, 300, 700])
    together = jax.jit(patch_eps(PRIOR, ALPHA_BAR, bandwidth=0.1))(jnp.asarray(Y), t)
    # Cuts that fit neither the 40 rows nor the 8 places.
    some = patch_eps(PRIOR, ALPHA_BAR, bandwidth=0.1, budget=35)
    for i in range(len(Y)):
        alone = some(jnp.asarray(Y[i : i + 1]), t[i])
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-3, atol=1e-4)


def test_far_from_all_rows_the_weights_are_finite() -> None:
    far = jnp.full((2, 5), 1e4)
    found = rows_around(PRIOR.rows, far, jnp.asarray(1.0), jnp.asarray(1e-4), budget=64)
    nearest_row = PRIOR.rows[jnp.argmax(PRIOR.rows.sum(1))]
    np.testing.assert_allclose(found, jnp.broadcast_to(nearest_row, (2, 5)), rtol=1e-6)


@pytest.mark.parametrize("evenly", [True, False])
def test_rows_are_patches_in_units_whose_variance_a_schedule_is_made_for(evenly: bool) -> None:
    patches = (7 + 3 * RNG.standard_normal((50, 2, 4))).astype(np.float32)
    prior, units = fit_patches([patches[:20], patches[20:]], 30, evenly=evenly)
    assert prior.rows.shape == (30, 4)
    np.testing.assert_allclose(prior.rows.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(jnp.square(prior.rows).mean(), 1, rtol=1e-5)
    back = np.asarray(prior.rows * units.unit + units.centre[None])
    assert np.abs(back[:, None] - patches.reshape(-1, 4)).sum(-1).min(1).max() < 1e-4
    away = np.linalg.norm(np.asarray(prior.rows)[:, None] - np.asarray(prior.rows)[None], axis=-1) + 9 * np.eye(30)
    np.testing.assert_allclose(prior.spacing, np.median(away.min(1) ** 2), rtol=1e-4)


def test_rows_of_a_coreset_are_farther_from_each_other() -> None:
    patches = RNG.standard_normal((500, 4)).astype(np.float32)
    assert float(fit_patches([patches], 30)[0].spacing) > 1.5 * float(
        fit_patches([patches], 30, evenly=True)[0].spacing
    )


@pytest.mark.parametrize("n", [1, 3])
def test_one_patch_and_equal_patches_are_a_prior(n: int) -> None:
    prior, units = fit_patches([np.full((n, 5), 2.0, np.float32)], 9)
    np.testing.assert_allclose(units.centre, 2)
    assert len(prior.rows) == n and np.isfinite(clean(prior, Y, 100, bandwidth=0.1)).all()


@pytest.mark.parametrize("evenly", [True, False])
def test_what_is_no_prior_is_refused(evenly: bool) -> None:
    with pytest.raises(InputError, match="patches of normal pictures|no normal pictures"):
        fit_patches([], 3, evenly=evenly)
    with pytest.raises(InputError, match="finite"):
        fit_patches([np.full((4, 2), np.nan, np.float32)], 3, evenly=evenly)
