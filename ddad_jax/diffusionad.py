"""L4. DiffusionAD: a noise predictor whose guided one-step prediction is what a picture should look like, and a network
that marks where the picture differs; trained together on damaged pictures.

Source: Zhang et al. 2023, "DiffusionAD: Norm-guided One-step Denoising Diffusion for Anomaly Detection", and the
published code.
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.conv_blocks import with_statistics
from ddad_jax.norm_guided import NormGuided, norm_guided
from ddad_jax.segmentation_unet import SegmentationUNet
from ddad_jax.types import Array, Variables
from ddad_jax.unet import UNet

FOCAL_WEIGHT = 5.0
"""Of the focal loss, beside 1 of the noise and of the smooth L1 loss."""
ALPHA, GAMMA = 0.5, 4.0


class GuidedNetworks(NamedTuple):
    """The second one sees the picture and, behind it, its guided prediction; its output is one logit a pixel."""

    unet: UNet
    segmentation: SegmentationUNet


class Draws(NamedTuple):
    """What is drawn for b pictures: noises [b, h, w, 3], times int [b]."""

    noise: Array
    noise_noisier: Array
    t: Array
    t_noisier: Array


class GuidedPass(NamedTuple):
    """guided: of the noise predictor. logits: [b, h, w]. batch_stats: of the segmentation, as the pass left them."""

    guided: NormGuided
    logits: Array
    batch_stats: Any


class GuidedLosses(NamedTuple):
    """Of each picture, [b]: squared error of the noise at both times added, focal, smooth L1."""

    noise: Array
    focal: Array
    smooth_l1: Array


def init_guided(networks: GuidedNetworks, key: Array, shape: tuple[int, int]) -> Variables:
    """{"params": {"unet", "segmentation"}, "batch_stats": {"segmentation"}}; shape: (h, w) of the pictures."""
    first, second = jax.random.split(key)
    unet: Any = networks.unet.init(first, jnp.zeros((1, *shape, 3)), jnp.zeros((1,), jnp.int32))
    segmentation: Any = networks.segmentation.init(second, jnp.zeros((1, *shape, 6)))
    return {
        "params": {"unet": unet["params"], "segmentation": segmentation["params"]},
        "batch_stats": {"segmentation": segmentation["batch_stats"]},
    }


def guided_forward(
    networks: GuidedNetworks,
    variables: Variables,
    pictures: Array,
    draws: Draws,
    *,
    w: Array | float,
    alpha_bar: Array,
    train: bool = False,
) -> GuidedPass:
    """Both networks on [b, h, w, 3] in [0, 1], as published, where the library's own pictures are in [-1, 1].

    Args:
      train: the segmentation is normalised by the batch, whose statistics run along.
    """
    unet, segmentation = _parts(networks, variables)
    guided = norm_guided(functools.partial(unet[0].apply, unet[1]), pictures, *draws, w=w, alpha_bar=alpha_bar)
    # Gradients of the marks reach the noise predictor through both of its calls.
    both = jnp.concatenate([pictures, guided.x0], -1)
    logits, batch_stats = with_statistics(*segmentation, both, train=train)
    return GuidedPass(guided, logits[..., 0], {"segmentation": batch_stats})


def _parts(networks: GuidedNetworks, variables: Variables) -> Iterator[tuple[Any, Variables]]:
    """Each network and its own variables."""
    for part, network in networks._asdict().items():
        yield network, {kind: of[part] for kind, of in variables.items() if part in of}


def cross_entropy(logits: Array, mask: Array) -> Array:
    """-mask log p - (1 - mask) log(1 - p) with p = sigmoid(logits), of each pixel; mask in [0, 1], grey edges too.

    Deviation: of the logits, where the published code takes p and cuts logarithms at -100.
    """
    return jax.nn.softplus(logits) - logits * mask


def focal_of_marks(logits: Array, mask: Array) -> Array:
    """0.5 (1 - exp(-b))^4 b of each pixel, b its cross entropy."""
    b = cross_entropy(logits, mask)
    return ALPHA * (1.0 - jnp.exp(-b)) ** GAMMA * b


def smooth_l1(a: Array, b: Array) -> Array:
    """d^2 / 2 where d = |a - b| is below 1, else d - 1/2."""
    d = jnp.abs(a - b)
    return jnp.where(d < 1.0, 0.5 * d * d, d - 0.5)


def guided_losses(passed: GuidedPass, draws: Draws, mask: Array) -> GuidedLosses:
    """mask: [b, h, w] in [0, 1]."""
    errors = [
        jnp.square(eps - noise).mean((1, 2, 3))
        for eps, noise in (
            (passed.guided.eps, draws.noise),
            (passed.guided.eps_noisier, draws.noise_noisier),
        )
    ]
    marked = focal_of_marks(passed.logits, mask).mean((1, 2))
    return GuidedLosses(errors[0] + errors[1], marked, smooth_l1(jax.nn.sigmoid(passed.logits), mask).mean((1, 2)))


def batch_losses(of: GuidedLosses, damaged: Array) -> GuidedLosses:
    """Of a batch, each []: of the noise the mean over normal pictures alone, 0 where there is none, so that nobody
    learns to redraw damage; the others over all. damaged: bool [b]."""
    normal = 1.0 - damaged.astype(of.noise.dtype)
    noise = (normal * of.noise).sum() / jnp.maximum(normal.sum(), 1.0)
    return GuidedLosses(noise, of.focal.mean(), of.smooth_l1.mean())


def guided_total(of: GuidedLosses) -> Array:
    """What is minimised."""
    return of.noise + FOCAL_WEIGHT * of.focal + of.smooth_l1


def top_mean(maps: Array, count: int) -> Array:
    """Mean of the ``count`` largest values of each map [b, h, w], [b].

    >>> print(top_mean(jnp.array([[[1.0, 4.0], [2.0, 0.0]]]), 2))
    [3.]
    """
    b, h, w = maps.shape
    return jax.lax.top_k(maps.reshape(b, h * w), min(count, h * w))[0].mean(1)
