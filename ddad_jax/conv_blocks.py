"""L2. Blocks of plain convolutional networks, named and begun as the published DRAEM has them.

Layers are made in the scope of the module that calls: "block1" becomes "block1_0", "block1_1", "block1_3" and
"block1_4", so that a name table can load published weights ("block1.0.weight").
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddad_jax.image import upsample
from ddad_jax.types import Array, Variables
from ddad_jax.unet import uniform_fan_in

EPS, MOMENTUM = 1e-5, 0.9
"""Of normalisations: PyTorch's, whose momentum is 0.1 in its own sense."""
SPREAD = 0.02
"""Standard deviation of fresh weights, about 0 of convolutions and about 1 of normalisations."""


def _about_one(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    return 1.0 + SPREAD * jax.random.normal(key, shape, dtype)


def _over_pixels(of_channels: Array) -> Array:
    return of_channels[None, None, None]


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(var + 1e-5) scale + bias, by channel; of the batch in training, else as it ran along.

    The running variance is the unbiased one, n / (n - 1) of that which normalises, n = b h w; Flax's own is biased.
    In float32 whatever ``dtype`` is computed in.

    Source: Ioffe and Szegedy 2015; PyTorch.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        width = x.shape[-1]
        scale, bias = self.param("scale", _about_one, (width,)), self.param("bias", nn.initializers.zeros, (width,))
        mean_ran = self.variable("batch_stats", "mean", jnp.zeros, (width,))
        var_ran = self.variable("batch_stats", "var", jnp.ones, (width,))
        x = x.astype(scale.dtype)
        if train:
            mean = x.mean((0, 1, 2))
            var = jnp.square(x - _over_pixels(mean)).mean((0, 1, 2))
            if not self.is_initializing():
                n = x.size // width
                mean_ran.value = MOMENTUM * mean_ran.value + (1.0 - MOMENTUM) * mean
                var_ran.value = MOMENTUM * var_ran.value + (1.0 - MOMENTUM) * var * (n / max(n - 1, 1))
        else:
            mean, var = mean_ran.value, var_ran.value
        scale = scale * jax.lax.rsqrt(var + EPS)
        return ((x - _over_pixels(mean)) * _over_pixels(scale) + _over_pixels(bias)).astype(self.dtype)


def plain_conv(x: Array, features: int, name: str, dtype: Any = jnp.float32) -> Array:
    """3 x 3, height and width kept, zeros outside."""
    layer = nn.Conv(
        features, (3, 3), padding=((1, 1), (1, 1)), dtype=dtype, name=name,
        kernel_init=nn.initializers.normal(SPREAD), bias_init=uniform_fan_in(9 * x.shape[-1]),
    )  # fmt: skip
    return layer(x)


def double_conv(
    x: Array, features: int, name: str, train: bool, dtype: Any = jnp.float32, *, inner: int | None = None
) -> Array:
    """[convolution, normalisation, ReLU] twice; inner: channels between them, None for ``features``."""
    for conv, norm, width in ((0, 1, inner or features), (3, 4, features)):
        x = plain_conv(x, width, f"{name}_{conv}", dtype)
        x = nn.relu(BatchNorm(dtype, name=f"{name}_{norm}")(x, train))
    return x


def up_conv(x: Array, features: int, name: str, train: bool, dtype: Any = jnp.float32) -> Array:
    """Twice as high and wide, bilinear with aligned corners; then convolution, normalisation, ReLU."""
    _, h, w, _ = x.shape
    x = plain_conv(upsample(x, (2 * h, 2 * w)).astype(dtype), features, f"{name}_1", dtype)
    return nn.relu(BatchNorm(dtype, name=f"{name}_2")(x, train))


def with_statistics(network: nn.Module, variables: Variables, x: Array, *, train: bool) -> tuple[Array, Any]:
    """(what the network makes of ``x``, its running statistics as the pass left them); train: normalised by the batch,
    whose statistics run along."""
    if not train:
        return network.apply(variables, x), variables["batch_stats"]  # type: ignore[return-value]
    out, changed = network.apply(variables, x, train=True, mutable=["batch_stats"])
    return out, changed["batch_stats"]


def halved(x: Array) -> Array:
    """The largest of each 2 x 2 square; an odd last row or column is dropped."""
    return nn.max_pool(x, (2, 2), (2, 2))
