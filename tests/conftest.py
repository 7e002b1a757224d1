"""Every test runs with rank promotion forbidden: broadcasting over a missing axis is how batches leak."""

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_enable_x64", False)


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)
