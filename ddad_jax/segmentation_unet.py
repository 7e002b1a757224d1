"""L2. The discriminative network: a U-Net that marks, pixel by pixel, what does not belong there.

Shared by the methods that compare a picture with its reconstruction by a network: DRAEM (6 channels in, 2 out),
DiffusionAD (6, 1) and DiffAD (9, 2).

Source: Zavrtanik et al. 2021, "DRAEM"; names and layers as in the published code.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddad_jax.conv_blocks import double_conv, halved, plain_conv, up_conv
from ddad_jax.types import Array
from ddad_jax.unet import channels_to_pixels, pixels_to_channels

FOLDS = 32
"""Sides of its pictures are multiples of this: five halvings."""


def damage_probability(logits: Array) -> Array:
    """Of each pixel, [b, h, w]; logits: [b, h, w, 2], sound and damaged."""
    return jax.nn.softmax(logits, -1)[..., 1]


class _Encoder(nn.Module):
    base: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> list[Array]:
        found: list[Array] = []
        for i, width in enumerate((1, 2, 4, 8, 8, 8), 1):
            x = double_conv(halved(x) if found else x, width * self.base, f"block{i}", train, self.dtype)
            found.append(x)
        return found


class _Decoder(nn.Module):
    base: int
    out: int
    dtype: Any

    @nn.compact
    def __call__(self, maps: list[Array], train: bool) -> Array:
        *skips, x = maps
        widths = (("up_b", "db_b", 8, 8), ("up1", "db1", 4, 4), ("up2", "db2", 2, 2), ("up3", "db3", 1, 1),
                  ("up4", "db4", 1, 1))  # fmt: skip
        for (up, block, raised, width), skip in zip(widths, reversed(skips), strict=True):
            x = up_conv(x, raised * self.base, up, train, self.dtype)
            x = double_conv(jnp.concatenate([x, skip], -1), width * self.base, block, train, self.dtype)
        return plain_conv(x, self.out, "fin_out_0", None)


class SegmentationUNet(nn.Module):
    """Logits of each pixel, float32 [b, h, w, out], of pictures laid on each other [b, h, w, c].

    Attributes:
      base: channels of the first level, published 64 (28.4 M parameters with 6 channels in).
      patch: side of the squares of pixels that become channels. Deviation: published 1; 2 costs about a quarter.
      out: classes of a pixel. dtype: of its inside; statistics and the last layer stay float32.

    Args:
      x: h and w multiples of 32 patch. train: normalised by the batch, whose statistics then run along.
    """

    base: int = 64
    out: int = 2
    dtype: Any = jnp.float32
    patch: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        p = self.patch
        maps = _Encoder(self.base, self.dtype, name="encoder_segment")(pixels_to_channels(x, p), train)
        out = _Decoder(self.base, self.out * p * p, self.dtype, name="decoder_segment")(maps, train)
        return channels_to_pixels(out, p)
