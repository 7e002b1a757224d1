"""L2. Convolutions as PyTorch pads them, for networks with torchvision's weights."""

import flax.linen as nn
import jax.numpy as jnp

from ddad_jax.types import Array


def conv_without_bias(x: Array, features: int, size: int, stride: int, name: str, dtype: jnp.dtype) -> Array:
    """A size x size convolution without bias, padded by size // 2 on every side; call it in a ``nn.compact`` method.

    Args:
      x: [b, h, w, c].
      features: channels of the result.
      size: of the window in pixels, odd.
      stride: in pixels.
      name: of the submodule.
      dtype: of the computation; the kernel stays float32.
    """
    # "SAME" would pad strided convolutions on one side only; PyTorch pads both sides alike.
    pad = size // 2
    module = nn.Conv(
        features,
        (size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        use_bias=False,
        dtype=dtype,
        name=name,
    )
    return module(x)


def pointwise(x: Array, features: int, stride: int, name: str, dtype: jnp.dtype) -> Array:
    """A 1x1 ``conv_without_bias``; its kernel is [c, features]."""
    # It is a matrix product; said so, XLA's CPU code is up to twice as fast.
    return nn.Dense(features, use_bias=False, dtype=dtype, name=name)(x[:, ::stride, ::stride])
