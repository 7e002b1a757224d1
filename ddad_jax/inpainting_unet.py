"""L2. RIAD's network: a U-Net that fills in what is missing of a picture."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ddad_jax.backbones.batch_norm import TorchBatchNorm
from ddad_jax.types import Array, Image
from ddad_jax.unet import uniform_fan_in

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of each level, as published: 28.8 million parameters."""


def _conv(features: int, side: int, stride: int, channels: int, name: str, dtype: Any) -> nn.Conv:
    # "SAME" would pad strided convolutions of odd sizes on one side only.
    init = uniform_fan_in(channels * side**2)
    how: Any = {"kernel_init": init, "bias_init": init, "dtype": dtype, "name": name}
    return nn.Conv(features, (side, side), (stride, stride), ((1, 1), (1, 1)), **how)


class _Pair(nn.Module):
    """Convolution, BatchNorm, ReLU, twice; the first one may halve the sides."""

    features: int
    halves: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        side, stride = (4, 2) if self.halves else (3, 1)
        x = _conv(self.features, side, stride, x.shape[-1], "conv1", self.dtype)(x)
        x = nn.relu(TorchBatchNorm(name="bn1")(x, not train))
        x = _conv(self.features, 3, 1, self.features, "conv2", self.dtype)(x)
        return nn.relu(TorchBatchNorm(name="bn2")(x, not train))


class _Up(nn.Module):
    """Twice the sides, the skip behind it, then as ``_Pair``."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, skip: Array, train: bool) -> Array:
        # PyTorch counts the inputs of a transposed convolution by its outputs.
        init = uniform_fan_in(self.features * 16)
        how: Any = {"transpose_kernel": True, "kernel_init": init, "bias_init": init, "dtype": self.dtype}
        wider = nn.ConvTranspose(self.features, (4, 4), (2, 2), ((2, 2), (2, 2)), name="upconv", **how)
        x = jnp.concatenate([wider(x), skip], -1)
        for i in (1, 2):
            x = _conv(self.features, 3, 1, x.shape[-1], f"conv{i}", self.dtype)(x)
            x = nn.relu(TorchBatchNorm(name=f"bn{i}")(x, not train))
        return x


class InpaintingUNet(nn.Module):
    """x -> a picture, by convolutions alone. Nothing tells it where the holes are: they are 0, mid grey.

    Attributes:
      widths: channels of each level, each half the sides of the one before; published ``WIDTHS``.
      dtype: of the inside; parameters, statistics and the last layer stay float32.

    Args:
      x: [b, h, w, c] in [-1, 1], sides multiples of 2^(levels - 1).
      train: BatchNorm takes the batch's statistics, and moves its own ("batch_stats").

    Returns:
      the shape of x, in (-1, 1).

    Source: Zavrtanik et al. 2021; layers and their names as in the unofficial code.
    """

    widths: tuple[int, ...] = WIDTHS
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Image, train: bool = False) -> Image:
        channels, x = x.shape[-1], x.astype(self.dtype)
        skips: list[Array] = []
        for i, width in enumerate(self.widths):
            x = _Pair(width, halves=i > 0, dtype=self.dtype, name=f"down{i + 1}")(x, train)
            skips.append(x)
        for i, width in enumerate(self.widths[-2::-1]):
            x = _Up(width, dtype=self.dtype, name=f"up{i + 1}")(x, skips[-2 - i], train)
        last = _conv(channels, 3, 1, x.shape[-1], "conv_final_0", jnp.float32)
        return jnp.tanh(last(x.astype(jnp.float32)))
