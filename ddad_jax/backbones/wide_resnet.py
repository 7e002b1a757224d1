"""L2. ResNet-50 and wide ResNets as feature extractors: the outputs of their stages 1 to 3.

Source: He et al. 2016 (table 1, bottleneck); Zagoruyko and Komodakis 2016 (width); stride in the 3x3
convolution of a block, as torchvision does ("v1.5"). Module names are torchvision's with dots before
numbers turned into underscores: "layer1.0.downsample.0" is ["layer1_0"]["downsample_0"].
"""

import flax.linen as nn
import jax.numpy as jnp

from ddad_jax.backbones.batch_norm import TorchBatchNorm
from ddad_jax.backbones.layers import conv_without_bias, pointwise
from ddad_jax.types import Array


class Bottleneck(nn.Module):
    """relu(bn(conv1x1(relu(bn(conv3x3(relu(bn(conv1x1(x)))))))) + shortcut(x)).

    The shortcut is the identity, or a strided 1x1 convolution with bn where ``project`` is set.
    """

    width: int
    features: int
    stride: int
    project: bool
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        def norm(h: Array, name: str) -> Array:
            return TorchBatchNorm(name=name)(h, use_running_average=not train)

        h = nn.relu(norm(pointwise(x, self.width, 1, "conv1", self.dtype), "bn1"))
        h = nn.relu(norm(conv_without_bias(h, self.width, 3, self.stride, "conv2", self.dtype), "bn2"))
        h = norm(pointwise(h, self.features, 1, "conv3", self.dtype), "bn3")
        if self.project:
            x = norm(pointwise(x, self.features, self.stride, "downsample_0", self.dtype), "downsample_1")
        return nn.relu(h + x)


class WideResNet(nn.Module):
    """images [b, h, w, 3], normalised as the weights expect -> outputs of stages 1 to 3.

    Returns {"layer1": [b, h/4, w/4, 256], "layer2": [b, h/8, w/8, 512], "layer3": [b, h/16, w/16, 1024]}
    in ``dtype``. Stage 4 and the classifier do not exist here: no distance uses them.

    With train=True batch statistics are used and ("batch_stats", ...) moves, see TorchBatchNorm.

    Attributes:
      blocks: blocks in stages 1 to 3; (3, 4, 6) for 50 layers, (3, 4, 23) for 101.
      widen: factor on the inner width of every block, 1 or 2.
      dtype: of the convolutions and their results; parameters and statistics stay float32.
    """

    blocks: tuple[int, int, int] = (3, 4, 6)
    widen: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> dict[str, Array]:
        h = conv_without_bias(x.astype(self.dtype), 64, 7, 2, "conv1", self.dtype)
        h = nn.relu(TorchBatchNorm(name="bn1")(h, use_running_average=not train))
        h = nn.max_pool(h, (3, 3), (2, 2), ((1, 1), (1, 1)))
        outputs = {}
        for stage, count in enumerate(self.blocks, start=1):
            planes = 64 * 2 ** (stage - 1)
            for i in range(count):
                h = Bottleneck(
                    width=planes * self.widen,
                    features=4 * planes,
                    stride=2 if stage > 1 and i == 0 else 1,
                    project=i == 0,
                    dtype=self.dtype,
                    name=f"layer{stage}_{i}",
                )(h, train)
            outputs[f"layer{stage}"] = h
        return outputs


def resnet50(dtype: jnp.dtype = jnp.float32) -> WideResNet:
    """ResNet-50: 8.54 M parameters up to stage 3."""
    return WideResNet((3, 4, 6), 1, dtype)


def wide_resnet50_2(dtype: jnp.dtype = jnp.float32) -> WideResNet:
    """WideResNet-50-2: 24.86 M parameters up to stage 3."""
    return WideResNet((3, 4, 6), 2, dtype)


def wide_resnet101_2(dtype: jnp.dtype = jnp.float32) -> WideResNet:
    """WideResNet-101-2, DDAD's extractor: 82.87 M parameters up to stage 3."""
    return WideResNet((3, 4, 23), 2, dtype)
