"""L2. The noise predictor eps_theta(x_t, t): the guided-diffusion U-Net as DDAD configures it.

Source: Dhariwal and Nichol 2021; DDAD section 5.2 (DDAD: base 64, 32.95 M parameters; DDAD-S: base 32,
8.26 M). Module names follow the published checkpoint ("down.1.0.in_layers.2" is
["down_1_0"]["in_layers_2"]), so that a name table can load it.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.attention import attention
from ddad_jax.errors import InputError
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table, per_image
from ddad_jax.types import Array

CHANNEL_MULT: dict[int, tuple[float, ...]] = {
    32: (1, 2, 2, 2),
    64: (1, 2, 3, 4),
    128: (1, 1, 2, 3, 4),
    256: (1, 1, 2, 2, 4, 4),
    512: (0.5, 1, 1, 2, 2, 4, 4),
}
"""Widths per level in units of the base, by image size. 64 to 256 as published; 512 is guided-diffusion's
table (the published code crashes there on its fractional width); 32 is ours."""


def uniform_fan_in(fan_in: int) -> nn.initializers.Initializer:
    """U(+-1/sqrt(fan_in)), PyTorch's default for weights and for biases."""

    def init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        bound = 1.0 / math.sqrt(fan_in)
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def conv(x: Array, features: int, size: int, name: str, dtype: jnp.dtype, zero: bool = False) -> Array:
    """A ``size`` x ``size`` convolution that keeps height and width, as PyTorch pads and begins it; or zero at init."""
    init = nn.initializers.zeros if zero else uniform_fan_in(size * size * x.shape[-1])
    pad = size // 2
    layer = nn.Conv(
        features,
        (size, size),
        padding=((pad, pad), (pad, pad)),
        kernel_init=init,
        bias_init=init,
        dtype=dtype,
        name=name,
    )
    return layer(x)


def dense(x: Array, features: int, name: str, dtype: jnp.dtype, zero: bool = False) -> Array:
    init = nn.initializers.zeros if zero else uniform_fan_in(x.shape[-1])
    return nn.Dense(features, kernel_init=init, bias_init=init, dtype=dtype, name=name)(x)


class GroupNorm32(nn.Module):
    """Group normalisation over ``groups`` groups (fewer where they do not divide the channels), in float32.

    mean and variance of each image and group in one pass over the data; scale and bias per channel are
    folded with them into one multiply-add, which XLA fuses with the SiLU that follows.
    """

    groups: int = 32
    eps: float = 1e-5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        c = x.shape[-1]
        groups = math.gcd(self.groups, c)
        scale = self.param("scale", nn.initializers.ones, (c,))
        bias = self.param("bias", nn.initializers.zeros, (c,))
        spatial = tuple(range(1, x.ndim - 1))
        x32 = x.astype(jnp.float32)
        # Channel moments first, then groups of channels: no reshape of the image itself. Centring on the
        # first pixel keeps E[x^2] - E[x]^2 from cancelling where a group's mean is far from zero.
        pivot = x32[(slice(None),) + (slice(0, 1),) * len(spatial)]
        centred = x32 - jax.lax.stop_gradient(pivot)
        shift = jax.lax.stop_gradient(pivot).reshape(x.shape[0], groups, c // groups)
        m1 = centred.mean(spatial).reshape(x.shape[0], groups, c // groups)
        m2 = (centred**2).mean(spatial).reshape(x.shape[0], groups, c // groups)
        channel_mean = m1 + shift
        mean = channel_mean.mean(-1, keepdims=True)
        var = (m2 - m1**2 + (channel_mean - mean) ** 2).mean(-1, keepdims=True)
        inv = jax.lax.rsqrt(var + self.eps)
        gain = jnp.broadcast_to(inv, channel_mean.shape).reshape(x.shape[0], c) * scale[None]
        offset = bias[None] - jnp.broadcast_to(mean, channel_mean.shape).reshape(x.shape[0], c) * gain
        per = (x.shape[0],) + (1,) * len(spatial) + (c,)
        return (x32 * gain.reshape(per) + offset.reshape(per)).astype(x.dtype)


def sinusoid(t: Array, width: int) -> Array:
    """[sin(t w_k) | cos(t w_k)], w_k = 10000^(-k / (width / 2)); t [b] in 0..999 -> float32 [b, width].

    The published order is sin then cos (guided-diffusion has cos first), t enters unscaled.
    """
    half = width // 2
    frequency = np.exp(-np.arange(half) * math.log(10000.0) / half).astype(np.float32)
    angle = t.astype(jnp.float32)[:, None] * frequency[None]
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


class TimeEmbedding(nn.Module):
    """sinusoid -> Linear -> SiLU -> Linear: times [b] -> [b, 4 base]. In float32: it costs nothing, and sixteen bits
    hardly tell neighbouring times apart."""

    base: int

    @nn.compact
    def __call__(self, t: Array) -> Array:
        h = dense(sinusoid(t, self.base), 4 * self.base, "linear_1", jnp.float32)
        return dense(nn.silu(h), 4 * self.base, "linear_3", jnp.float32)


PREDICTIONS = ("eps", "x0", "v", "edm")
"""What a network's output may be read as (``UNet``); the noise follows from it."""


def _preconditioned(
    predict: str, sigma_data: float, x_t: Array, t: Array
) -> tuple[Array, Callable[[Array, Array], Array]]:
    """(what the network is given for x_t [b, h, w, c], (x_t, its output) -> eps).

    Raises:
      InputError: a ``predict`` that is none of PREDICTIONS.
    """
    if predict not in PREDICTIONS:
        raise InputError(f"predict = {predict!r}: expected one of {', '.join(PREDICTIONS)}")
    if predict == "eps":
        return x_t, lambda x_t, out: out
    a = per_image(alpha_bar_at(jnp.asarray(alpha_bar_table()), t), x_t)
    if predict == "x0":
        return x_t, lambda x_t, out: (x_t - jnp.sqrt(a) * out) / jnp.sqrt(1.0 - a)
    if predict == "v":
        return x_t, lambda x_t, out: jnp.sqrt(1.0 - a) * x_t + jnp.sqrt(a) * out
    # With z = x_t / sqrt(a) and sigma = sqrt((1 - a) / a): x0 = c_skip z + c_out F(c_in z), eps = (z - x0) / sigma.
    sigma, variance = jnp.sqrt((1.0 - a) / a), (1.0 - a) / a + sigma_data**2

    def eps(x_t: Array, out: Array) -> Array:
        return sigma / variance * x_t / jnp.sqrt(a) - sigma_data / jnp.sqrt(variance) * out

    return x_t / jnp.sqrt(a * variance), eps


def output_weight(alpha_bar_t: Array, *, predict: str, sigma_data: float = 0.5) -> Array:
    """What a squared error of the noise is multiplied by to be that of the network's own output; like
    ``alpha_bar_t``, in (0, 1).

    1 for "eps", (1 - a) / a for "x0", 1 / a for "v" (Salimans and Ho 2022: SNR + 1 of that of x0), and
    (sigma^2 + sigma_data^2) / sigma_data^2 with sigma^2 = (1 - a) / a for "edm" (Karras et al. 2022, Eq. 8).
    """
    a = alpha_bar_t
    return {
        "eps": jnp.ones_like(a),
        "x0": (1.0 - a) / a,
        "v": 1.0 / a,
        "edm": (1.0 - a) / (a * sigma_data**2) + 1.0,
    }[predict]


def pixels_to_channels(x: Array, p: int) -> Array:
    """[b, h, w, c] -> [b, h / p, w / p, p p c]: each p x p patch becomes the channels of one pixel."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // p, p, w // p, p, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // p, w // p, p * p * c)


def channels_to_pixels(x: Array, p: int) -> Array:
    """The inverse of ``pixels_to_channels``."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, p, p, c // (p * p))
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * p, w * p, c // (p * p))


def _resample(x: Array, how: str) -> Array:
    if how == "down":
        return nn.avg_pool(x, (2, 2), (2, 2))
    if how == "up":
        return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return x


class ResBlock(nn.Module):
    """GN, SiLU, [resample], conv; + time; GN, SiLU, dropout, conv (zero at init); + skip.

    resample: "" | "down" (2x2 mean) | "up" (nearest x2), applied to both paths.
    """

    features: int
    resample: str = ""
    dropout: float = 0.0
    groups: int = 32
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, emb: Array, train: bool = False) -> Array:
        h = nn.silu(GroupNorm32(self.groups, name="in_layers_0")(x))
        h, x = _resample(h, self.resample), _resample(x, self.resample)
        h = conv(h, self.features, 3, "in_layers_2", self.dtype)
        h = h + dense(nn.silu(emb), self.features, "embed_layers_1", self.dtype)[:, None, None, :]
        h = nn.silu(GroupNorm32(self.groups, name="out_layers_0")(h))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = conv(h, self.features, 3, "out_layers_3", self.dtype, zero=True)
        if x.shape[-1] != self.features:
            x = conv(x, self.features, 1, "skip_connection", self.dtype)
        return x + h


class AttentionBlock(nn.Module):
    """x + proj(softmax(q k^T / sqrt(d)) v) over all positions; softmax in float32; proj zero at init.

    The 3C channels of qkv are head-major: [q | k | v] inside each head. attention: ``how`` of ``attention``.
    """

    heads: int
    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        b, h, w, c = x.shape
        qkv = dense(GroupNorm32(self.groups, name="norm")(x).reshape(b, h * w, c), 3 * c, "to_qkv", self.dtype)
        q, k, v = jnp.moveaxis(qkv.reshape(b, h * w, self.heads, 3, c // self.heads), 3, 0)
        mixed = attention(q, k, v, self.attention).reshape(b, h * w, c)
        return x + dense(mixed, c, "proj_out", self.dtype, zero=True).reshape(x.shape)


class UNet(nn.Module):
    """eps_theta(x_t, t): images [b, size, size, c] and times, scalar or [b] -> predicted noise, float32.

    Attributes:
      image_size: side in pixels; must be divisible by patch * 2^(levels - 1).
      base: width unit (DDAD 64, DDAD-S 32).
      channel_mult: width of each level in units of ``base``; empty means the table of the image size.
      res_blocks: per level.
      attention_sizes: feature sizes in pixels that have attention.
      heads: attention heads (DDAD 4, DDAD-S 2: the paper's "attention layers" are heads in its code).
      dropout: in every ResBlock (DDAD 0, DDAD-S 0.3 in the published code, absent from the paper).
      patch: Deviation: published 1. With p > 1 each p x p square of pixels becomes one position with p^2
        times the channels, and back at the end: a p times larger image at the cost of the smaller one.
      predict: Deviation: "x0" reads the network's output as the clean image and returns the noise that belongs
        to it, (x_t - sqrt(alpha_bar_t) x0) / sqrt(1 - alpha_bar_t); published "eps", the output is the noise.
        A picture passes through few channels, white noise does not: with patches of many pixels or a short
        training, a network asked for noise leaves some of it in the picture.
        "v": the output is v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x0, which is noise at small t and the
        picture at large (Salimans and Ho 2022, section 4). "edm": input, output and a skip are scaled so that both
        have unit variance for pictures of standard deviation ``sigma_data`` at every time (Karras et al. 2022, Table
        1); with sigma_data = 1 it is "v" but for the sign.
      sigma_data: of pictures in [-1, 1], for "edm".
      groups: Deviation: of every normalisation; published 32. Where a level has 32 channels that leaves one channel a
        group, which takes out what the time embedding added; a smaller number keeps it.
      dtype: of the computation between the first and the last layer. Parameters, the time embedding, the statistics of
        normalisations, softmax, the last layer, and what is made of its output stay float32.
      attention: "auto" | "plain", see ``attention``.
      remat: a gradient computes the inside of every block a second time instead of keeping it: less memory, about a
        third more time; the same numbers.

    Raises:
      InputError: a size without published widths, or one that the levels do not divide.
      ValueError: images of another size than ``image_size``.
    """

    image_size: int = 256
    base: int = 64
    channel_mult: tuple[float, ...] = ()
    res_blocks: int = 2
    attention_sizes: tuple[int, ...] = (32, 16, 8)
    heads: int = 4
    dropout: float = 0.0
    patch: int = 1
    predict: str = "eps"
    sigma_data: float = 0.5
    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    remat: bool = False

    def __call__(self, x: Array, t: Array, train: bool = False) -> Array:
        return self.with_deep(x, t, train=train)[0]

    @nn.compact
    def with_deep(
        self, x: Array, t: Array, deep: Array | None = None, *, shallow: int = 1, train: bool = False
    ) -> tuple[Array, Array]:
        """(eps, deep): the noise, and the features that the last ``shallow`` up stages are entered with.

        Given the ``deep`` of another call, only the first ``shallow`` down stages and the last ``shallow`` up stages
        run, with the x_t and t of this one; ``deep`` is returned as it is.

        Args:
          deep: Deviation: of an earlier call with the same ``shallow``; published None, everything is computed.
          shallow: stages of each path that every call computes, from 1 to levels (res_blocks + 1); res_blocks + 1 of
            them are one level, the first on the way down is the convolution of the image. With 1 a call costs a tenth
            (DDAD-S at 256 px, multiply-adds), with one level half.

        Raises:
          InputError: a ``shallow`` that is not in this range.

        Source: Ma et al. 2024 (DeepCache).
        """
        if x.shape[1:3] != (self.image_size, self.image_size):
            raise ValueError(f"images are {x.shape[1]}x{x.shape[2]}, the network is for {self.image_size} px")
        mults = self.channel_mult or CHANNEL_MULT.get(self.image_size // self.patch, ())
        if not mults or self.image_size % (self.patch * 2 ** (len(mults) - 1)):
            raise InputError(
                f"image_size = {self.image_size} with patch = {self.patch}: expected image_size / patch to be one of "
                f"{', '.join(map(str, CHANNEL_MULT))}, or channel_mult whose levels halve it without remainder"
            )
        x_t, (x, read) = x, _preconditioned(self.predict, self.sigma_data, x, t)
        x = pixels_to_channels(x, self.patch)
        widths = [int(m * self.base) for m in mults]
        emb = TimeEmbedding(self.base, name="time_embedding")(jnp.broadcast_to(t, x.shape[:1]))

        # 3: ``train``, which decides what is traced.
        res_block: Any = nn.remat(ResBlock, static_argnums=3) if self.remat else ResBlock
        attention_block: Any = nn.remat(AttentionBlock) if self.remat else AttentionBlock

        def res(h: Array, name: str, features: int, resample: str = "") -> Array:
            return res_block(features, resample, self.dropout, self.groups, self.dtype, name=name)(h, emb, train)

        def attend(h: Array, name: str) -> Array:
            return attention_block(self.heads, self.groups, self.dtype, self.attention, name=name)(h)

        stages = len(widths) * (self.res_blocks + 1)
        if not 1 <= shallow <= stages:
            raise InputError(f"shallow = {shallow}: expected 1 to {stages}, the stages of each path of the network")
        computed = stages if deep is None else shallow

        h = conv(x.astype(self.dtype), widths[0], 3, "down_0_0", self.dtype)
        skips = [h]
        for width in widths:
            for block in range(self.res_blocks + 1):
                if len(skips) == computed:
                    break
                stage, halve = f"down_{len(skips)}", block == self.res_blocks
                h = res(h, f"{stage}_0", width, "down" if halve else "")
                if h.shape[1] in self.attention_sizes and not halve:
                    h = attend(h, f"{stage}_1")
                skips.append(h)

        if deep is None:
            deep = res(attend(res(h, "middle_0", widths[-1]), "middle_1"), "middle_2", widths[-1])
        h = deep

        up = [(level, width, block) for level, width in enumerate(widths) for block in range(self.res_blocks, -1, -1)]
        for level, width, block in reversed(up[:computed]):
            if len(skips) == shallow:
                deep = h
            stage = f"up_{stages - len(skips)}"
            h = res(jnp.concatenate([h, skips.pop()], axis=-1), f"{stage}_0", width)
            layer = 1
            if h.shape[1] in self.attention_sizes:
                h = attend(h, f"{stage}_{layer}")
                layer += 1
            if level and block == self.res_blocks:
                h = res(h, f"{stage}_{layer}", width, "up")

        h = nn.silu(GroupNorm32(self.groups, name="out_0")(h.astype(jnp.float32)))
        h = conv(h, x.shape[-1], 3, "out_2", jnp.float32, zero=True)
        return read(x_t, channels_to_pixels(h, self.patch)), deep
