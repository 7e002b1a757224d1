"""L2. The reconstructive network of DRAEM: an autoencoder without skip connections, which removes damage.

Source: Zavrtanik et al. 2021, "DRAEM"; names and layers as in the published code.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ddad_jax.conv_blocks import double_conv, halved, plain_conv, up_conv
from ddad_jax.types import Array
from ddad_jax.unet import channels_to_pixels, pixels_to_channels


class _Encoder(nn.Module):
    base: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        for i, width in enumerate((1, 2, 4, 8, 8), 1):
            x = double_conv(halved(x) if i > 1 else x, width * self.base, f"block{i}", train, self.dtype)
        return x


class _Decoder(nn.Module):
    base: int
    out: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        for i, (raised, width) in enumerate(((8, 4), (4, 2), (2, 1), (1, 1)), 1):
            x = up_conv(x, raised * self.base, f"up{i}", train, self.dtype)
            x = double_conv(x, width * self.base, f"db{i}", train, self.dtype, inner=raised * self.base)
        return plain_conv(x, self.out, "fin_out_0", None)


class PlainAutoencoder(nn.Module):
    """The picture without its damage, float32 [b, h, w, out]; values may leave the range of the input.

    Attributes:
      base: channels of the first level, published 128 (69.05 M parameters).
      patch: side of the squares of pixels that become channels. Deviation: published 1; 2 costs about a quarter.
      dtype: of its inside; statistics and the last layer stay float32.

    Args:
      x: [b, h, w, c], h and w multiples of 16 patch. train: as of ``SegmentationUNet``.
    """

    base: int = 128
    out: int = 3
    dtype: Any = jnp.float32
    patch: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        p = self.patch
        bottom = _Encoder(self.base, self.dtype, name="encoder")(pixels_to_channels(x, p), train)
        return channels_to_pixels(_Decoder(self.base, self.out * p * p, self.dtype, name="decoder")(bottom, train), p)
