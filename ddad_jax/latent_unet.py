"""L2. The noise predictor of latent diffusion, given a condition beside what it denoises.

Source: Dhariwal and Nichol 2021, as Rombach et al. 2022 have it; names and layers as in the published code. Beside
``unet.UNet`` it resamples by convolutions, has as many heads as a width of 32 gives, and embeds cosines first.
"""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ddad_jax.attention import attention
from ddad_jax.kl_autoencoder import Doubling
from ddad_jax.types import Array
from ddad_jax.unet import GroupNorm32, conv, dense, uniform_fan_in


def cosine_first(t: Array, width: int) -> Array:
    """cos and then sin of t 10000^(-i / (width / 2)), [b, width]."""
    half = width // 2
    angle = t.astype(jnp.float32)[:, None] * jnp.exp(-math.log(10000.0) / half * jnp.arange(half))[None]
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], -1)


class _Block(nn.Module):
    """GN, SiLU, conv; + time; GN, SiLU, conv (zero at init); + skip."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, emb: Array) -> Array:
        h = conv(nn.silu(GroupNorm32(name="in_layers_0")(x)), self.features, 3, "in_layers_2", self.dtype)
        h = h + dense(nn.silu(emb), self.features, "emb_layers_1", self.dtype)[:, None, None]
        h = nn.silu(GroupNorm32(name="out_layers_0")(h))
        h = conv(h, self.features, 3, "out_layers_3", self.dtype, zero=True)
        return h + (x if x.shape[-1] == self.features else conv(x, self.features, 1, "skip_connection", self.dtype))


class _Attention(nn.Module):
    """The 3C channels of qkv are head-major: [q | k | v] inside each head."""

    head_channels: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        b, h, w, c = x.shape
        heads = max(1, c // self.head_channels)
        flat = GroupNorm32(name="norm")(x).reshape(b, h * w, c)
        qkv = dense(flat, 3 * c, "qkv", self.dtype).reshape(b, h * w, heads, 3, c // heads)
        mixed = attention(*jnp.moveaxis(qkv, 3, 0)).reshape(b, h * w, c)
        return x + dense(mixed, c, "proj_out", self.dtype, zero=True).reshape(x.shape)


class _Halving(nn.Module):
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        init = uniform_fan_in(9 * x.shape[-1])
        how: Any = {"kernel_init": init, "bias_init": init, "dtype": self.dtype, "name": "op"}
        return nn.Conv(x.shape[-1], (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)), **how)(x)


class LatentUNet(nn.Module):
    """eps of latents [b, h, w, z] laid on conditions [b, h, w, z], at times [b]; float32 [b, h, w, out].

    Attributes:
      base, mult, res_blocks: published 256, (1, 2, 4), 2. head_channels: published 32. out: channels z, published 4.
      dtype: of its inside; times, statistics and the last layer stay float32.
    """

    base: int = 256
    mult: tuple[int, ...] = (1, 2, 4)
    res_blocks: int = 2
    head_channels: int = 32
    out: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array) -> Array:
        emb = dense(cosine_first(t, self.base), 4 * self.base, "time_embed_0", jnp.float32)
        emb = dense(nn.silu(emb), 4 * self.base, "time_embed_2", jnp.float32)
        widths = [self.base * m for m in self.mult]

        def stage(h: Array, features: int, name: str) -> Array:
            h = _Block(features, self.dtype, name=f"{name}_0")(h, emb)
            return _Attention(self.head_channels, self.dtype, name=f"{name}_1")(h)

        h = conv(x.astype(self.dtype), self.base, 3, "input_blocks_0_0", self.dtype)
        skips = [h]
        for level, width in enumerate(widths):
            for _ in range(self.res_blocks):
                h = stage(h, width, f"input_blocks_{len(skips)}")
                skips.append(h)
            if level < len(widths) - 1:
                h = _Halving(self.dtype, name=f"input_blocks_{len(skips)}_0")(h)
                skips.append(h)
        h = stage(h, widths[-1], "middle_block")
        h = _Block(widths[-1], self.dtype, name="middle_block_2")(h, emb)
        n = 0
        for level, width in reversed([*enumerate(widths)]):
            for i in range(self.res_blocks + 1):
                h = stage(jnp.concatenate([h, skips.pop()], -1), width, f"output_blocks_{n}")
                if level and i == self.res_blocks:
                    h = Doubling(self.dtype, name=f"output_blocks_{n}_2")(h)
                n += 1
        h = nn.silu(GroupNorm32(name="out_0")(h.astype(jnp.float32)))
        return conv(h, self.out, 3, "out_2", jnp.float32, zero=True)
