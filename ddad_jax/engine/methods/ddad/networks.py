"""The networks of DDAD as a config describes them, as the functions that the library takes."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ddad_jax.engine.methods.ddad.sections import ModelSettings
from ddad_jax.engine.settings.training import DeviceSettings
from ddad_jax.gaussian_prior import PicturePrior, gaussian_eps
from ddad_jax.gaussian_skip import skipped
from ddad_jax.reuse import Layered
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.simplex import simplex_noise
from ddad_jax.student import Student
from ddad_jax.types import Array, EpsFn, NoiseDraw
from ddad_jax.unet import UNet

USUAL = DeviceSettings()


def build_unet(m: ModelSettings, size: int, device: DeviceSettings = USUAL) -> UNet:
    """size: side of its pictures; device: how it computes, which changes no more than rounding. Beside a Gaussian its
    output is read as that asks (``gaussian_skip``)."""
    return UNet(
        image_size=size,
        base=m.base,
        channel_mult=m.channel_mult,
        res_blocks=m.res_blocks,
        attention_sizes=m.attention_sizes,
        heads=m.heads,
        dropout=m.dropout,
        patch=m.patch,
        predict="eps" if m.prior == "gaussian" else m.predict,
        sigma_data=m.sigma_data,
        groups=m.groups,
        dtype=jnp.dtype(m.dtype),
        attention=device.attention,
        remat=device.remat,
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


def with_prior(prior: PicturePrior | None, params: Any) -> Any:
    """Parameters to sample with, of a network (None for none) that adds to a Gaussian; of a network alone its own."""
    if prior is None:
        return params
    return {PRIOR: prior._asdict(), **({} if params is None else {NETWORK: params})}


PRIOR, NETWORK = "gaussian_prior", "network"


def train_with_prior(prior: PicturePrior | None, apply: Callable[..., Array]) -> Callable[..., Array]:
    """``apply`` of the network that adds to the Gaussian; its parameters are the network's alone."""
    if prior is None:
        return apply

    def skipping(params: Any, x_t: Array, t: Array, dropout_key: Array | None) -> Array:
        given, eps = skipped(prior, x_t, t, alpha_bar())
        return eps(apply(params, given, t, dropout_key))

    return skipping


def eps_fn(unet: UNet, params: Any) -> EpsFn:
    """Of a network, of a Gaussian, or of a network that adds to one: as the parameters are (``with_prior``)."""
    if PRIOR not in params:
        return lambda x_t, t: unet.apply({"params": params}, x_t, t)  # type: ignore[return-value]
    prior = PicturePrior(**params[PRIOR])
    if NETWORK not in params:
        return gaussian_eps(prior, alpha_bar())

    def skipping(x_t: Array, t: Array) -> Array:
        given, eps = skipped(prior, x_t, t, alpha_bar())
        return eps(unet.apply({"params": params[NETWORK]}, given, t))  # type: ignore[arg-type]

    return skipping


SHALLOW = 1
"""Stages of each path of the U-Net that no step leaves out where deep layers are reused (``UNet.with_deep``)."""


def layered(unet: UNet, params: Any, plain: EpsFn) -> Layered:
    """The noise predictor with the U-Net's deep layers apart; plain: the same, without."""
    prior = PicturePrior(**params[PRIOR]) if PRIOR in params else None
    own = params if prior is None else params.get(NETWORK)

    def call(x_t: Array, t: Array, deep: Array | None = None) -> tuple[Array, Array]:
        if own is None:
            return plain(x_t, t), jnp.zeros(())
        given, eps = (x_t, None) if prior is None else skipped(prior, x_t, t, alpha_bar())
        found: Any = unet.apply({"params": own}, given, t, deep, shallow=SHALLOW, method="with_deep")
        return (found[0] if eps is None else eps(found[0])), found[1]

    return Layered(plain, call, lambda x_t, t, deep: call(x_t, t, deep)[0])


def build_student(m: ModelSettings, size: int, device: DeviceSettings = USUAL) -> Student:
    return Student(build_unet(m, size, device))


def student_apply(student: Student) -> Callable[..., tuple[Array, Array]]:
    """apply(params, x_t, t, y, w, t_prime) -> (eps, d), without dropout."""

    def apply(params: Any, *inputs: Array) -> tuple[Array, Array]:
        return student.apply({"params": params}, *inputs)  # type: ignore[return-value]

    return apply


def drawn_noise(m: ModelSettings, size: int) -> NoiseDraw:
    """Of the noise that the network is trained with, and asked about; size: side of its pictures."""
    if m.noise == "gaussian":
        return jax.random.normal
    how: Any = {"wavelength": m.wavelength * size / 256.0, "octaves": m.octaves, "persistence": m.persistence}
    return functools.partial(simplex_noise, published=m.noise == "simplex_published", **how)


def alpha_bar() -> Array:
    return jnp.asarray(alpha_bar_table())
