"""L2. The student: the teacher's U-Net with target, w and T' among its inputs and a correction as a second output.

What is added is zero at first, so a student begins as its teacher and whatever it learns is gain.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddad_jax.types import Array, Image
from ddad_jax.unet import CHANNEL_MULT, UNet, channels_to_pixels, conv, pixels_to_channels, sinusoid

W_UNIT, START_UNIT = 10.0, 0.1
"""w enters in tenths and T' in tens: ``sinusoid`` tells neighbours of 1 well apart, and the teacher's answer
changes little between w = 3.0 and 3.1 or between T' = 240 and 250."""


class SettingEmbedding(nn.Module):
    """sinusoid -> Linear -> SiLU -> Linear, the last one zero at init: values [b] -> [b, 4 base]."""

    base: int

    @nn.compact
    def __call__(self, value: Array) -> Array:
        h = nn.Dense(4 * self.base, name="linear_1")(sinusoid(value, self.base))
        zero = nn.initializers.zeros
        return nn.Dense(4 * self.base, kernel_init=zero, name="linear_3")(nn.silu(h))


class Student(nn.Module):
    """(eps, d) = student(x_t, t, y, w, T'): the U-Net's noise and a correction of the steered clean image.

    y enters beside x_t through a convolution of its own, w and T' through embeddings added to that of the time, and
    d leaves beside eps. Steering blends the U-Net's clean image with y and gives it no weight at all where
    w (1 - alpha_bar_t) = 1; d is added behind the blend, so that the network has a say there too.

    Attributes:
      unet: the teacher's network. Its layers keep their names, under "unet", so its parameters fit as they are.

    Args:
      x_t: noised images [b, h, w, c]. t: their times, scalar or [b].
      y: targets, the shape of x_t, in [-1, 1]. w: strength >= 0, scalar or [b].
      t_prime: the time the images were noised to, scalar or [b]. t alone does not say it: T'/2 is the second
        call of one T' and the first of another.

    Returns:
      eps, d: float32, the shape of x_t; d is zero at init.

    Source: w as an input of a student after Meng et al. 2023, section 3.1; the rest is ours.
    """

    unet: UNet

    @nn.compact
    def __call__(self, x_t: Array, t: Array, y: Image, w: Array, t_prime: Array) -> tuple[Array, Array]:
        unet, batch = self.unet, x_t.shape[:1]
        w, t_prime = (jnp.broadcast_to(jnp.asarray(v, jnp.float32), batch) for v in (w, t_prime))
        settings = SettingEmbedding(unet.base, name="w_embedding")(W_UNIT * w)
        settings += SettingEmbedding(unet.base, name="start_embedding")(START_UNIT * t_prime)
        first = (unet.channel_mult or CHANNEL_MULT[unet.image_size // unet.patch])[0]
        target = pixels_to_channels(y, unet.patch).astype(unet.dtype)
        target = conv(target, int(first * unet.base), 3, "target", unet.dtype, zero=True)
        features: list[Array] = []

        def widened(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            out = call(*args, **kwargs)
            if context.module.name == "time_embedding":
                return out + settings
            if context.module.name == "down_0_0":
                return out + target
            if context.module.name == "out_2":
                features.extend(args)
            return out

        # Found by the names of the published checkpoint's layers; the U-Net itself knows of no student.
        with nn.intercept_methods(widened):
            eps = unet(x_t, t)
        channels = unet.patch**2 * x_t.shape[-1]
        d = conv(features[0], channels, 3, "correction", jnp.float32, zero=True)
        return eps, channels_to_pixels(d, unet.patch)


def init_student(student: Student, teacher: Any, key: Array) -> Any:
    """Parameters of a student that is its teacher still; ``teacher``: the parameters of ``student.unet``, copied."""
    size = student.unet.image_size
    x, one = jnp.zeros((1, size, size, 3)), jnp.zeros(1)

    @jax.jit
    def added(key: Array) -> Any:
        params = student.init(key, x, jnp.zeros(1, int), x, one, one)["params"]
        return {name: tree for name, tree in params.items() if name != "unet"}

    return {**added(key), "unet": jax.tree.map(jnp.array, teacher)}
