import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.schedule import T, alpha_bar_at, alpha_bar_table, linear_betas, per_image, perturb
from ddad_jax.types import Array

ALPHA_BAR = alpha_bar_table()


def normal(*shape: int) -> Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))


def test_betas_rise_linearly_between_the_published_ends() -> None:
    betas = linear_betas()
    assert betas.shape == (T,) and betas.dtype == np.float64
    assert betas[0] == 1e-4 and betas[-1] == 0.02
    np.testing.assert_allclose(np.diff(betas), np.diff(betas)[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("t", "expected"), [(0, 0.9999), (25, 0.990965), (125, 0.843988), (225, 0.588678), (250, 0.521423)]
)
def test_alpha_bar_has_the_known_values(t: int, expected: float) -> None:
    assert ALPHA_BAR[t] == pytest.approx(expected, abs=6e-7)


def test_alpha_bar_falls_from_almost_one_to_almost_zero() -> None:
    assert ALPHA_BAR.dtype == np.float32 and ALPHA_BAR.shape == (T,)
    assert (np.diff(ALPHA_BAR) < 0).all() and ALPHA_BAR[-1] == pytest.approx(4.04e-5, rel=1e-2)
    exact = np.cumprod(1.0 - linear_betas())
    np.testing.assert_allclose(ALPHA_BAR, exact, rtol=3e-7)


def test_a_table_may_be_made_of_other_betas() -> None:
    np.testing.assert_allclose(alpha_bar_table(np.array([0.5, 0.5, 0.1])), [0.5, 0.25, 0.225], rtol=1e-7)


def test_the_clean_image_has_alpha_bar_one() -> None:
    t = jnp.array([[-1, 0], [7, T - 1]])
    expected = [[1.0, ALPHA_BAR[0]], [ALPHA_BAR[7], ALPHA_BAR[-1]]]
    np.testing.assert_array_equal(jax.jit(alpha_bar_at)(ALPHA_BAR, t), np.array(expected, np.float32))
    assert alpha_bar_at(jnp.asarray(ALPHA_BAR), jnp.asarray(-1)) == 1.0


def test_perturb_leaves_the_clean_image_alone() -> None:
    x, noise = normal(2, 3, 4, 4, 3)
    np.testing.assert_array_equal(perturb(x, noise, jnp.asarray(1.0)), x)
    np.testing.assert_array_equal(perturb(x, noise, jnp.asarray(0.0)), noise)


def test_perturb_takes_one_time_or_one_an_image() -> None:
    x, noise = normal(2, 3, 4, 4, 3)
    a = jnp.array([0.9, 0.5, 0.1])
    together = perturb(x, noise, a)
    for i in range(3):
        np.testing.assert_allclose(together[i], perturb(x[i : i + 1], noise[i : i + 1], a[i])[0], rtol=1e-6, atol=1e-7)


def test_perturb_preserves_unit_variance() -> None:
    x, noise = normal(2, 1, 200, 200, 1)
    for a in (0.99, 0.5, 0.01):
        assert np.std(perturb(x, noise, jnp.asarray(a))) == pytest.approx(1.0, abs=0.02)


def test_per_image_values_multiply_images_only_along_the_batch() -> None:
    x = jnp.ones((2, 3, 3, 1))
    assert per_image(2.0, x).shape == ()
    assert per_image(jnp.ones(2), x).shape == (2, 1, 1, 1)


def test_at_whole_times_that_are_real_numbers_alpha_bar_is_the_table() -> None:
    whole = jnp.arange(-1, T)
    np.testing.assert_allclose(
        alpha_bar_at(ALPHA_BAR, whole.astype(jnp.float32)), alpha_bar_at(ALPHA_BAR, whole), rtol=2e-6
    )


def test_between_whole_times_beta_is_constant() -> None:
    """alpha_bar(t + u) = alpha_bar(t) (1 - beta_(t + 1))^u."""
    t, u = np.array([0, 3, 250, 998]), np.array([0.5, 0.25, 0.9, 0.999], np.float32)
    expected = ALPHA_BAR[t] * (1.0 - linear_betas()[t + 1]) ** u
    np.testing.assert_allclose(alpha_bar_at(ALPHA_BAR, jnp.asarray(t + u, jnp.float32)), expected, rtol=2e-6)
    assert alpha_bar_at(ALPHA_BAR, jnp.float32(T - 1)) == pytest.approx(ALPHA_BAR[-1], rel=1e-5)
