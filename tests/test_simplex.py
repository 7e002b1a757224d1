"""Simplex noise as a noise of diffusion: mean 0, variance 1, long waves, and a field for each picture and channel."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.simplex import published_field, published_order, simplex_noise

draw = partial(simplex_noise, shape=(12, 12, 2), wavelength=8.0, octaves=2)


def test_mean_variance_and_waves(key: jax.Array) -> None:
    fields = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(key, 400)))
    assert fields.shape == (400, 12, 12, 2)
    np.testing.assert_allclose(fields.mean(0), 0.0, atol=0.25)
    np.testing.assert_allclose(fields.var(0).mean(), 1.0, atol=0.05)
    # Each pixel has it, those on lattice points of one slice among them.
    np.testing.assert_allclose(fields.var(0), 1.0, atol=0.35)
    near, far = ((fields[:, :-n] * fields[:, n:]).mean() for n in (1, 9))
    assert near > 0.5
    assert abs(far) < 0.1
    assert abs((fields[..., 0] * fields[..., 1]).mean()) < 0.05


def test_a_field_is_a_function_of_its_key(key: jax.Array) -> None:
    keys = jax.random.split(key, 3)
    every, alone = jax.jit(jax.vmap(draw))(keys), jax.jit(draw)(keys[2])
    np.testing.assert_allclose(every[2], alone, atol=1e-5)
    assert not np.allclose(every[0], every[1], atol=0.1)


def test_published_fields_vary_with_the_slice_alone() -> None:
    order = published_order(7)

    def field(at: jax.Array | int) -> jax.Array:
        return published_field(order, (4, 4), at, wavelength=8.0, octaves=1)

    fixed, first, traced = map(np.asarray, jax.jit(lambda at: (field(3), *jax.vmap(field)(at)))(jnp.array([0, 3])))
    assert first[0, 0] == 0  # on a lattice point
    assert np.abs(first - fixed).max() > 0.05
    np.testing.assert_allclose(traced, fixed, atol=2e-4)
