import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import ALPHA_BAR, MEAN, STD, exact_eps
from scipy.stats import norm

from ddad_jax.inversion import inverted, norms, surprise
from ddad_jax.sampler import trajectory
from ddad_jax.timesteps import trailing, uniform
from ddad_jax.types import Array

X = MEAN + STD * jax.random.normal(jax.random.key(0), (4, 8, 8, 3))


def test_in_many_calls_pictures_become_the_noise_they_are_made_of() -> None:
    latent = inverted(exact_eps, X, uniform(999, 999), alpha_bar=ALPHA_BAR).latent
    np.testing.assert_allclose(latent, (X - MEAN) / STD, rtol=0.02, atol=0.02)


def test_the_way_back_is_the_sampler() -> None:
    """From where the last but one of many calls arrives, DDIM comes back to the picture."""
    grid = uniform(500, 500)
    start = inverted(exact_eps, X, grid, alpha_bar=ALPHA_BAR).states[-2]
    back = trajectory(exact_eps, start, grid, eta=0.0, alpha_bar=ALPHA_BAR, noise_fn=lambda i: jnp.zeros_like(X)).x0
    np.testing.assert_allclose(back, X, atol=0.02)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_last_state_is_the_last_noise_predicted_and_calls_are_as_many_as_steps(steps: int) -> None:
    seen: list[Array] = []

    def eps_fn(x_t: Array, t: Array) -> Array:
        seen.append(t)
        return exact_eps(x_t, t)

    with jax.disable_jit():
        found = inverted(eps_fn, X, trailing(900, steps), alpha_bar=ALPHA_BAR)
    assert [int(t) for t in seen] == trailing(900, steps).t[::-1].tolist()
    before = X if steps == 1 else found.states[-2]
    np.testing.assert_array_equal(found.latent, exact_eps(before, jnp.asarray(900)))


def test_a_batch_mate_changes_nothing() -> None:
    together = inverted(exact_eps, X, uniform(999, 3), alpha_bar=ALPHA_BAR).latent
    alone = inverted(exact_eps, X[2:3], uniform(999, 3), alpha_bar=ALPHA_BAR).latent
    np.testing.assert_allclose(together[2], alone[0], rtol=1e-5)


def test_length_and_surprise_are_those_of_a_standard_normal() -> None:
    np.testing.assert_allclose(norms(X), np.linalg.norm(X, axis=-1), rtol=1e-6)
    np.testing.assert_allclose(surprise(X), -norm.logpdf(np.asarray(X)).sum((1, 2, 3)), rtol=1e-5)
