"""L2. The autoencoder of latent diffusion: pictures to a Gaussian over small maps of few channels, and back.

Source: Rombach et al. 2022; names and layers as in the published code, of which DiffAD makes use.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddad_jax.types import Array
from ddad_jax.unet import GroupNorm32, conv, uniform_fan_in

EPS = 1e-6
"""Of its normalisations; those of the noise predictor have 1e-5."""
LOG_VARIANCE = (-30.0, 20.0)


class Posterior(NamedTuple):
    """A Gaussian at each place. mean, log_variance: [b, h, w, z], the latter cut to ``LOG_VARIANCE``."""

    mean: Array
    log_variance: Array

    def sample(self, noise: Array) -> Array:
        return self.mean + jnp.exp(0.5 * self.log_variance) * noise

    def divergence(self) -> Array:
        """KL to the standard normal distribution, summed over a picture, [b]."""
        terms = jnp.square(self.mean) + jnp.exp(self.log_variance) - 1.0 - self.log_variance
        return 0.5 * terms.sum((1, 2, 3))


_norm = functools.partial(GroupNorm32, eps=EPS)


class _Block(nn.Module):
    features: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        h = conv(nn.silu(_norm(name="norm1")(x)), self.features, 3, "conv1", self.dtype)
        h = nn.Dropout(self.dropout, deterministic=not train)(nn.silu(_norm(name="norm2")(h)))
        h = conv(h, self.features, 3, "conv2", self.dtype)
        return h + (x if x.shape[-1] == self.features else conv(x, self.features, 1, "nin_shortcut", self.dtype))


class _Attention(nn.Module):
    """Of one head over all places."""

    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        b, h, w, c = x.shape
        normed = _norm(name="norm")(x)
        q, k, v = (conv(normed, c, 1, name, self.dtype).reshape(b, h * w, c) for name in "qkv")
        weights = jax.nn.softmax(jnp.einsum("bic,bjc->bij", q, k, preferred_element_type=jnp.float32) * c**-0.5)
        mixed = jnp.einsum("bij,bjc->bic", weights.astype(v.dtype), v).reshape(b, h, w, c)
        return x + conv(mixed, c, 1, "proj_out", self.dtype)


class _Middle(nn.Module):
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        x = _Block(x.shape[-1], self.dropout, self.dtype, name="block_1")(x, train)
        x = _Attention(self.dtype, name="attn_1")(x)
        return _Block(x.shape[-1], self.dropout, self.dtype, name="block_2")(x, train)


class _Halving(nn.Module):
    """A zero row below and a zero column to the right, then 3 x 3 with a stride of 2."""

    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        init = uniform_fan_in(9 * x.shape[-1])
        how: Any = {"kernel_init": init, "bias_init": init, "dtype": self.dtype, "name": "conv"}
        return nn.Conv(x.shape[-1], (3, 3), strides=(2, 2), padding=((0, 1), (0, 1)), **how)(x)


class Doubling(nn.Module):
    """Nearest neighbours, then 3 x 3."""

    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return conv(x.repeat(2, axis=1).repeat(2, axis=2), x.shape[-1], 3, "conv", self.dtype)


class _Level(nn.Module):
    """Blocks of one size; then half or twice as high and wide where ``resample`` says so."""

    features: int
    blocks: int
    resample: str
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        for i in range(self.blocks):
            x = _Block(self.features, self.dropout, self.dtype, name=f"block_{i}")(x, train)
        if self.resample == "downsample":
            return _Halving(self.dtype, name="downsample")(x)
        return Doubling(self.dtype, name="upsample")(x) if self.resample else x


class _Coder(nn.Module):
    base: int
    mult: tuple[int, ...]
    blocks: int
    channels: int
    dropout: float
    dtype: Any

    def level(self, i: int, way: str, resample: str) -> _Level:
        blocks = self.blocks + (way == "up")
        return _Level(self.base * self.mult[i], blocks, resample, self.dropout, self.dtype, name=f"{way}_{i}")

    def ended(self, x: Array, features: int) -> Array:
        x = nn.silu(_norm(name="norm_out")(x.astype(jnp.float32)))
        return conv(x, features, 3, "conv_out", jnp.float32)


class _Encoder(_Coder):
    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        x = conv(x.astype(self.dtype), self.base, 3, "conv_in", self.dtype)
        for i in range(len(self.mult)):
            x = self.level(i, "down", "downsample" if i < len(self.mult) - 1 else "")(x, train)
        return self.ended(_Middle(self.dropout, self.dtype, name="mid")(x, train), 2 * self.channels)


class _Decoder(_Coder):
    @nn.compact
    def __call__(self, z: Array, train: bool) -> Array:
        x = conv(z.astype(self.dtype), self.base * self.mult[-1], 3, "conv_in", self.dtype)
        x = _Middle(self.dropout, self.dtype, name="mid")(x, train)
        for i in reversed(range(len(self.mult))):
            x = self.level(i, "up", "upsample" if i else "")(x, train)
        return self.ended(x, 3)


class KLAutoencoder(nn.Module):
    """Pictures [b, h, w, 3] in [0, 1] to a ``Posterior`` of 2^(levels - 1) times smaller maps, and back.

    Attributes:
      base, mult: channels of the levels are base times each of mult; published 128 and (1, 2, 4, 4).
      blocks: a level of the encoder, one more in the decoder; published 2. channels: of the latent; published 4.
      dropout: while it is trained; published 0.5. dtype: of its inside; statistics and last layers stay float32.
    """

    base: int = 128
    mult: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    channels: int = 4
    dropout: float = 0.0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        how: Any = (self.base, self.mult, self.blocks, self.channels, self.dropout, self.dtype)
        self.encoder, self.decoder = _Encoder(*how), _Decoder(*how)
        self.quant_conv = nn.Conv(2 * self.channels, (1, 1))
        self.post_quant_conv = nn.Conv(self.channels, (1, 1))

    @property
    def fold(self) -> int:
        """Sides of its pictures are multiples of this."""
        return int(2 ** (len(self.mult) - 1))

    def encode(self, x: Array, train: bool = False) -> Posterior:
        mean, log_variance = jnp.split(self.quant_conv(self.encoder(x, train)), 2, -1)
        return Posterior(mean, jnp.clip(log_variance, *LOG_VARIANCE))

    def decode(self, z: Array, train: bool = False) -> Array:
        """Not cut to [0, 1]."""
        return self.decoder(self.post_quant_conv(z), train)

    def __call__(self, x: Array, noise: Array, train: bool = False) -> tuple[Array, Posterior]:
        """(the picture of a sample, where it was drawn from)."""
        posterior = self.encode(x, train)
        return self.decode(posterior.sample(noise), train), posterior
