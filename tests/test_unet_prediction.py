"""A network that predicts the clean image is an EpsFn like any other."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.conditioning import denoised
from ddad_jax.errors import InputError
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table, perturb
from ddad_jax.types import Array
from ddad_jax.unet import PREDICTIONS, UNet, _preconditioned, output_weight

SMALL: dict[str, Any] = {
    "image_size": 8,
    "base": 8,
    "channel_mult": (1,),
    "res_blocks": 1,
    "attention_sizes": (),
    "heads": 1,
}


X_T, TIMES = jax.random.normal(jax.random.key(1), (2, 8, 8, 3)), jnp.array([30, 700])
A = alpha_bar_at(jnp.asarray(alpha_bar_table()), TIMES)[:, None, None, None]


def applied(net: UNet, variables: Any, x_t: Array, t: Array) -> Any:
    return jax.jit(net.apply)(variables, x_t, t)


@functools.cache
def variables() -> Any:
    found = jax.jit(UNet(**SMALL).init)(jax.random.key(0, impl="rbg"), X_T, TIMES)  # which compiles soonest
    kernel = jax.random.normal(jax.random.key(2), found["params"]["out_2"]["kernel"].shape)
    found["params"]["out_2"]["kernel"] = 0.1 * kernel
    return found


def predicted(sign: float = 1.0, **how: Any) -> Array:
    """The noise by the same parameters, their output times ``sign``, read in some way."""
    last = jax.tree.map(lambda p: sign * p, variables()["params"]["out_2"])
    return applied(UNet(**SMALL, **how), {"params": {**variables()["params"], "out_2": last}}, X_T, TIMES)


def test_what_x0_prediction_returns_is_the_noise_that_belongs_to_its_output() -> None:
    output, eps = predicted(), predicted(predict="x0")
    np.testing.assert_allclose(denoised(X_T, eps, A[:, 0, 0, 0]), output, atol=2e-5)
    assert float(jnp.abs(output).max()) > 0.1


def test_what_v_prediction_returns_is_the_noise_that_belongs_to_its_output() -> None:
    output, eps = predicted(), predicted(predict="v")
    x0 = denoised(X_T, eps, A[:, 0, 0, 0])
    np.testing.assert_allclose(jnp.sqrt(A) * eps - jnp.sqrt(1 - A) * x0, output, atol=2e-5)


def test_preconditioning_for_pictures_of_unit_variance_is_v_but_for_the_sign() -> None:
    np.testing.assert_allclose(predicted(-1.0, predict="edm", sigma_data=1.0), predicted(predict="v"), atol=2e-5)
    assert float(jnp.abs(predicted(predict="edm") - predicted(predict="v")).max()) > 0.1


@pytest.mark.parametrize("t", [0, 100, 900])
def test_what_a_preconditioned_network_reads_and_puts_out_has_unit_variance(t: int) -> None:
    """The output that gives the right noise is found from what is read of zero and of one."""
    rng = np.random.default_rng(0)
    x, noise = (jnp.asarray(rng.standard_normal((1, 64, 64, 3)), jnp.float32) for _ in range(2))
    x_t = perturb(0.3 * x, noise, alpha_bar_at(jnp.asarray(alpha_bar_table()), jnp.asarray(t)))
    given, read = _preconditioned("edm", 0.3, x_t, jnp.asarray(t))
    zero, one = (read(x_t, jnp.full_like(x_t, output)) for output in (0.0, 1.0))
    wanted = (noise - zero) / (one - zero)
    assert float(given.std()) == pytest.approx(1.0, abs=0.03) == float(wanted.std())


def test_an_unknown_prediction_is_refused() -> None:
    with pytest.raises(InputError, match="predict = 'score': expected one of eps, x0, v, edm"):
        predicted(predict="score")


def test_a_scalar_time_serves_the_whole_batch() -> None:
    net = UNet(**SMALL, predict="x0")
    alone, whole = (applied(net, variables(), X_T, t) for t in (jnp.asarray(5), jnp.array([5, 5])))
    np.testing.assert_allclose(alone, whole, atol=1e-6)


@pytest.mark.parametrize("predict", PREDICTIONS)
def test_the_weight_makes_an_error_of_the_noise_one_of_the_output(predict: str) -> None:
    t, a = jnp.array([0, 400, 999]), jnp.asarray(alpha_bar_table())[jnp.array([0, 400, 999])]
    x_t = jnp.zeros((3, 1, 1, 1))
    _, read = _preconditioned(predict, 0.3, x_t, t)
    moved = read(x_t, jnp.full_like(x_t, 2.0)) - read(x_t, jnp.zeros_like(x_t))  # the output is off by 2
    weight = output_weight(a, predict=predict, sigma_data=0.3)
    np.testing.assert_allclose(weight * moved[:, 0, 0, 0] ** 2, 4.0, rtol=1e-4)
