import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import ALPHA_BAR, MEAN, STD, exact_eps

from ddad_jax.resilience import resilience
from ddad_jax.sampler import noise_of
from ddad_jax.schedule import per_image
from ddad_jax.types import Array

KEYS = jax.random.split(jax.random.key(0), 2)
X = MEAN + STD * jax.random.normal(jax.random.key(1), (2, 3, 4, 3))


def draws(m: int, keys: Array = KEYS) -> Array:
    noise_fn = noise_of(keys, (3, 4, 3))
    return jax.lax.map(noise_fn, jnp.arange(m))


@pytest.mark.parametrize("t", [5, 100, 600])
def test_of_gaussian_pictures_it_is_what_the_equation_says(t: int) -> None:
    """In the mean over noise ((a v)^2 + a (1 - a) (x - m)^2) / (a v + 1 - a)^2, v and m of the pixel."""
    a, v = float(ALPHA_BAR[t]), STD**2
    expected = (((a * v) ** 2 + a * (1 - a) * (X - MEAN) ** 2) / (a * v + 1 - a) ** 2).mean(-1)
    found = resilience(exact_eps, X, t, draws(2000), alpha_bar=ALPHA_BAR)
    np.testing.assert_allclose(found, expected, rtol=0.1)


def test_both_signs_of_a_draw_are_nearer_to_the_mean_than_two_draws() -> None:
    expected = resilience(exact_eps, X, 300, draws(2000), alpha_bar=ALPHA_BAR)
    both = resilience(exact_eps, X, 300, draws(20), alpha_bar=ALPHA_BAR, antithetic=True)
    apart = resilience(exact_eps, X, 300, draws(40), alpha_bar=ALPHA_BAR)
    assert float(jnp.abs(both - expected).mean()) < 1.2 * float(jnp.abs(apart - expected).mean())
    np.testing.assert_array_equal(
        both, resilience(exact_eps, X, 300, jnp.concatenate([draws(20), -draws(20)]), alpha_bar=ALPHA_BAR)
    )


def test_a_picture_is_judged_by_its_own_noise_and_time() -> None:
    def eps_fn(x_t: Array, t: Array) -> Array:
        return x_t * per_image(t, x_t) / 1000

    together = resilience(eps_fn, X, jnp.array([5, 300]), draws(3), alpha_bar=ALPHA_BAR)
    for i, t in enumerate((5, 300)):
        alone = resilience(eps_fn, X[i : i + 1], jnp.array([t]), draws(3, KEYS[i : i + 1]), alpha_bar=ALPHA_BAR)
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-6)


def test_whose_noise_is_all_known_is_0() -> None:
    seen = draws(1)[0]
    assert not resilience(lambda x_t, t: seen, X, 50, seen[None], alpha_bar=ALPHA_BAR).any()
