"""A Gaussian as the skip of a network: EDM where it has one variance, and itself where the network is silent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.gaussian_prior import PicturePrior, gaussian_eps
from ddad_jax.gaussian_skip import reach, skipped
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table, perturb
from ddad_jax.types import Array

ALPHA_BAR = jnp.asarray(alpha_bar_table())
TIMES = jnp.array([0, 5, 100, 500, 999])
SIDE = 4


def drawn(n: int, seed: int = 0) -> tuple[PicturePrior, Array]:
    """A Gaussian of three directions, and pictures of it."""
    keys = jax.random.split(jax.random.key(seed), 4)
    basis, _ = jnp.linalg.qr(jax.random.normal(keys[0], (SIDE * SIDE * 3, 3)))
    mean = jax.random.normal(keys[1], (SIDE, SIDE, 3)) * 0.3
    prior = PicturePrior(mean, basis.T.reshape(3, SIDE, SIDE, 3), jnp.array([4.0, 1.0, 0.3]), jnp.array(0.02))
    along = jax.random.normal(keys[2], (n, 3)) * jnp.sqrt(prior.variance - prior.rest)[None]
    noise = jax.random.normal(keys[3], (n, SIDE, SIDE, 3)) * jnp.sqrt(prior.rest)
    return prior, mean[None] + jnp.einsum("nr,rhwd->nhwd", along, prior.basis) + noise


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_of_one_variance_and_mean_0_it_is_edm(sigma: float) -> None:
    one = jnp.array(sigma**2)
    flat = PicturePrior(jnp.zeros((SIDE, SIDE, 3)), drawn(1)[0].basis, jnp.full(3, one), one)
    x_t, out = jax.random.normal(jax.random.key(0), (2, 5, SIDE, SIDE, 3))
    a = alpha_bar_at(ALPHA_BAR, TIMES)[:, None, None, None]
    s, z = (1 - a) / a, x_t / jnp.sqrt(a)
    given, eps = skipped(flat, x_t, TIMES, ALPHA_BAR)
    np.testing.assert_allclose(given, z / jnp.sqrt(s + one), rtol=1e-5)
    x0 = one / (s + one) * z + jnp.sqrt(s * one / (s + one)) * out
    np.testing.assert_allclose(jnp.sqrt(s) * eps(out), z - x0, rtol=1e-3, atol=2e-4 * float(jnp.abs(z).max()))


def test_a_silent_network_leaves_the_gaussian() -> None:
    prior, x_t = drawn(5)
    _, eps = skipped(prior, x_t, TIMES, ALPHA_BAR)
    np.testing.assert_allclose(eps(jnp.zeros_like(x_t)), gaussian_eps(prior, ALPHA_BAR)(x_t, TIMES), rtol=1e-6)


@pytest.mark.parametrize("t", [5, 100, 500])
def test_what_is_given_and_what_is_to_be_put_out_have_unit_variance(t: int) -> None:
    prior, x_0 = drawn(4000)
    noise = jax.random.normal(jax.random.key(1), x_0.shape)
    a = alpha_bar_at(ALPHA_BAR, jnp.asarray(t))
    x_t = perturb(x_0, noise, a)
    given, eps = skipped(prior, x_t, jnp.asarray(t), ALPHA_BAR)
    asked = (eps(jnp.zeros_like(x_t)) - noise) / reach(prior, a)
    np.testing.assert_allclose([jnp.square(given).mean(), jnp.square(asked).mean()], 1.0, rtol=0.05)
