"""A network that predicts the clean image is an EpsFn like any other."""

from typing import Any

import golden_unet
import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.conditioning import denoised
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table
from ddad_jax.unet import UNet

SMALL = {"image_size": 16, "base": 8, "channel_mult": (1, 2), "res_blocks": 1, "attention_sizes": (), "heads": 1}


def applied(net: UNet, variables: Any, x_t: jax.Array, t: jax.Array) -> jax.Array:
    return jax.jit(net.apply, compiler_options=golden_unet.fast_compile())(variables, x_t, t)


def drawn(net: UNet, x_t: jax.Array, t: jax.Array) -> Any:
    return jax.jit(net.init, compiler_options=golden_unet.fast_compile())(jax.random.key(0), x_t, t)


def test_what_x0_prediction_returns_is_the_noise_that_belongs_to_its_output() -> None:
    as_eps, as_x0 = UNet(**SMALL), UNet(**SMALL, predict="x0")
    x_t = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    t = jnp.array([30, 700])
    variables = drawn(as_eps, x_t, t)
    kernel = jax.random.normal(jax.random.key(2), variables["params"]["out_2"]["kernel"].shape)
    variables["params"]["out_2"]["kernel"] = 0.1 * kernel
    output, eps = (applied(net, variables, x_t, t) for net in (as_eps, as_x0))
    a = alpha_bar_at(jnp.asarray(alpha_bar_table()), t)
    np.testing.assert_allclose(denoised(x_t, eps, a), output, atol=2e-5)
    assert float(jnp.abs(output).max()) > 0.1


def test_a_scalar_time_serves_the_whole_batch() -> None:
    net = UNet(**SMALL, predict="x0")
    x_t = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    variables = drawn(net, x_t, jnp.array([5, 5]))
    alone, whole = (applied(net, variables, x_t, t) for t in (jnp.asarray(5), jnp.array([5, 5])))
    np.testing.assert_allclose(alone, whole, atol=1e-6)
