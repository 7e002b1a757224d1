"""L4. DRAEM: two networks trained together on damaged pictures; one removes the damage, the other marks it.

Source: Zavrtanik, Kristan and Skocaj 2021, "DRAEM - A discriminatively trained reconstruction embedding for surface
anomaly detection", and the published code.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.focal import focal_losses
from ddad_jax.plain_autoencoder import PlainAutoencoder
from ddad_jax.segmentation_unet import SegmentationUNet
from ddad_jax.ssim import ssim_map, value_range_of
from ddad_jax.types import Array, Variables

PARTS = ("reconstructive", "discriminative")


class NetworkPair(NamedTuple):
    """The second one sees the reconstruction and, behind it, the picture."""

    reconstructive: PlainAutoencoder
    discriminative: SegmentationUNet


class Pass(NamedTuple):
    """reconstruction: [b, h, w, 3], about in [0, 1]. logits: [b, h, w, 2], sound and damaged. batch_stats: as the pass
    left them."""

    reconstruction: Array
    logits: Array
    batch_stats: Any


class Losses(NamedTuple):
    """Of each picture, [b]: mean squared error, 1 - mean SSIM, mean focal loss."""

    l2: Array
    ssim: Array
    focal: Array


def init_networks(networks: NetworkPair, key: Array, shape: tuple[int, int]) -> Variables:
    """{"params": ..., "batch_stats": ...}, each with ``PARTS``; shape: (h, w) of the pictures."""
    first, second = jax.random.split(key)
    of = {
        "reconstructive": networks.reconstructive.init(first, jnp.zeros((1, *shape, 3))),
        "discriminative": networks.discriminative.init(second, jnp.zeros((1, *shape, 6))),
    }
    return {kind: {part: of[part][kind] for part in PARTS} for kind in ("params", "batch_stats")}


def forward(networks: NetworkPair, variables: Variables, pictures: Array, *, train: bool = False) -> Pass:
    """Both networks on [b, h, w, 3] in [0, 1]; train: normalised by the batch, whose statistics run along."""
    ran: dict[str, Any] = {}

    def apply(part: str, x: Array) -> Array:
        own = {kind: variables[kind][part] for kind in ("params", "batch_stats")}
        network = getattr(networks, part)
        if not train:
            ran[part] = own["batch_stats"]
            return network.apply(own, x)
        out, changed = network.apply(own, x, train=True, mutable=["batch_stats"])
        ran[part] = changed["batch_stats"]
        return out

    reconstruction = apply("reconstructive", pictures)
    # Gradients of the marks reach the reconstruction, too, as published.
    logits = apply("discriminative", jnp.concatenate([reconstruction, pictures], -1))
    return Pass(reconstruction, logits, ran)


def damage_probability(logits: Array) -> Array:
    """Probability that a pixel is damaged, [b, h, w]."""
    return jax.nn.softmax(logits, -1)[..., 1]


def losses(passed: Pass, clean: Array, mask: Array, *, ssim_range: str = "unit") -> Losses:
    """What is minimised is their sum, each weighted 1 as published.

    Args:
      clean: [b, h, w, 3] in [0, 1], what should come out. mask: bool [b, h, w].
      ssim_range: Deviation: "unit", values range over 1; published "batch", what ``value_range_of`` reads off the
        reconstructions of the batch, where one pixel below -0.5 changes the loss of all.
    """
    reconstruction = passed.reconstruction
    span = value_range_of(reconstruction) if ssim_range == "batch" else 1.0
    similar = ssim_map(reconstruction, clean, value_range=span)
    return Losses(
        jnp.square(reconstruction - clean).mean((1, 2, 3)),
        1.0 - similar.mean((1, 2, 3)),
        focal_losses(passed.logits, mask.astype(passed.logits.dtype)).mean((1, 2)),
    )
