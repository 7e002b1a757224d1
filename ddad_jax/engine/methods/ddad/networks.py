"""The networks of DDAD as a config describes them, as the functions that the library takes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ddad_jax.engine.methods.ddad.sections import ModelSettings
from ddad_jax.reuse import Layered
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.student import Student
from ddad_jax.types import Array, EpsFn
from ddad_jax.unet import UNet


def build_unet(m: ModelSettings, size: int) -> UNet:
    """size: side of its pictures."""
    return UNet(
        image_size=size,
        base=m.base,
        channel_mult=m.channel_mult,
        res_blocks=m.res_blocks,
        attention_sizes=m.attention_sizes,
        heads=m.heads,
        dropout=m.dropout,
        patch=m.patch,
        predict=m.predict,
        sigma_data=m.sigma_data,
        groups=m.groups,
        dtype=jnp.dtype(m.dtype),
    )


def init_params(unet: UNet, seed: int) -> Any:
    size = unet.image_size
    return jax.jit(unet.init)(jax.random.key(seed), jnp.zeros((1, size, size, 3)), jnp.zeros(1, int))["params"]


def train_apply(unet: UNet) -> Callable[..., Array]:
    """apply(params, x_t, t, dropout_key) with dropout on where a key is given and the network has any."""

    def apply(params: Any, x_t: Array, t: Array, dropout_key: Array | None) -> Array:
        if dropout_key is None or not unet.dropout:
            return unet.apply({"params": params}, x_t, t)  # type: ignore[return-value]
        return unet.apply({"params": params}, x_t, t, train=True, rngs={"dropout": dropout_key})  # type: ignore[return-value]

    return apply


def eps_fn(unet: UNet, params: Any) -> EpsFn:
    return lambda x_t, t: unet.apply({"params": params}, x_t, t)  # type: ignore[return-value]


SHALLOW = 1
"""Stages of each path of the U-Net that no step leaves out where deep layers are reused (``UNet.with_deep``)."""


def layered(unet: UNet, params: Any, plain: EpsFn) -> Layered:
    """The U-Net with its deep layers apart; plain: the same, without."""

    def call(x_t: Array, t: Array, deep: Array | None = None) -> tuple[Array, Array]:
        return unet.apply({"params": params}, x_t, t, deep, shallow=SHALLOW, method="with_deep")  # type: ignore[return-value]

    return Layered(plain, call, lambda x_t, t, deep: call(x_t, t, deep)[0])


def build_student(m: ModelSettings, size: int) -> Student:
    return Student(build_unet(m, size))


def student_apply(student: Student) -> Callable[..., tuple[Array, Array]]:
    """apply(params, x_t, t, y, w, t_prime) -> (eps, d), without dropout."""

    def apply(params: Any, *inputs: Array) -> tuple[Array, Array]:
        return student.apply({"params": params}, *inputs)  # type: ignore[return-value]

    return apply


def alpha_bar() -> Array:
    return jnp.asarray(alpha_bar_table())
