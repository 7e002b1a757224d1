"""Noise, masks and turning: what is drawn has the shares and sizes that were measured of the published code."""

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.synthetic.perlin import perlin_mask, perlin_noise
from ddad_jax.synthetic.turning import turned

KEYS = jax.random.split(jax.random.key(0), 96)


def test_noise_is_zero_at_the_corners_of_the_lattice_and_smooth_between() -> None:
    noise = perlin_noise(jax.random.uniform(jax.random.key(1), (5, 9)), (64, 64), (4, 8))
    np.testing.assert_allclose(noise[::16, ::8], 0.0, atol=1e-6)
    assert 0.3 < float(jnp.abs(noise).max()) <= 1.0
    assert float(jnp.abs(jnp.diff(noise, axis=0)).max()) < 0.25


def test_masks_are_as_often_empty_and_as_large_as_the_published_ones() -> None:
    """600 draws of the published code at 256 px: 4 % empty, the others 5 % of a picture on average, 25 % at most."""
    masks = np.asarray(jax.jit(jax.vmap(lambda key: perlin_mask(key, (256, 256))))(KEYS))
    shares = masks.mean((1, 2))
    assert (shares == 0).mean() < 0.1
    assert 0.04 < shares[shares > 0].mean() < 0.06 and shares.max() < 0.3


def test_a_picture_that_is_turned_back_is_the_picture_inside() -> None:
    y, x = np.mgrid[:33, :33]
    picture = jnp.asarray(np.stack([np.sin(x / 6), np.cos(y / 5), x + y], -1), jnp.float32)
    back = turned(turned(picture, 30.0), -30.0)
    inside = np.hypot(x - 16, y - 16) < 14
    np.testing.assert_allclose(np.asarray(back)[inside], np.asarray(picture)[inside], atol=0.05)
    np.testing.assert_allclose(turned(picture, 90.0), jnp.rot90(picture, -1), atol=1e-4)  # clockwise
    assert float(turned(picture, 45.0)[0, 0].max()) == 0.0
