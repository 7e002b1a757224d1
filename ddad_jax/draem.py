"""L4. DRAEM: two networks trained together on damaged pictures; one removes the damage, the other marks it.

Source: Zavrtanik, Kristan and Skocaj 2021, "DRAEM - A discriminatively trained reconstruction embedding for surface
anomaly detection", and the published code.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.conv_blocks import with_statistics
from ddad_jax.focal import focal_losses
from ddad_jax.plain_autoencoder import PlainAutoencoder
from ddad_jax.segmentation_unet import FOLDS, SegmentationUNet
from ddad_jax.ssim import ssim_map, value_range_of
from ddad_jax.types import Array, Variables
from ddad_jax.weights import unet_variables

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


def published_pair(
    networks: NetworkPair,
    reconstructive: Mapping[str, np.ndarray],
    discriminative: Mapping[str, np.ndarray],
    *,
    bgr: bool = True,
    source: str = "the state dicts",
) -> Variables:
    """Variables from the two state dicts of the published code (``torch_file.read_state_dict``), as of
    ``init_networks``.

    Args:
      bgr: the published code reads pictures as blue, green, red; True turns first and last layers so that these
        networks take and give red, green, blue.

    Raises:
      InputError: says which tensors are missing, not expected, or of which wrong shape.
    """
    found: dict[str, dict[str, Any]] = {"params": {}, "batch_stats": {}}
    for part, state, network, channels in zip(PARTS, (reconstructive, discriminative), networks, (3, 6), strict=True):
        side = FOLDS * network.patch
        like = jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)
        kept = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
        template = jax.eval_shape(network.init, jax.random.key(0), like)
        own: Any = unet_variables(kept, template, source=f"{source} ({part})")
        for kind in found:
            found[kind][part] = own[kind]
    if bgr:
        encoder, decoder = (found["params"]["reconstructive"][name] for name in ("encoder", "decoder"))
        marks = found["params"]["discriminative"]["encoder_segment"]
        encoder["block1_0"]["kernel"] = encoder["block1_0"]["kernel"][:, :, ::-1]
        decoder["fin_out_0"] = {name: leaf[..., ::-1] for name, leaf in decoder["fin_out_0"].items()}
        marks["block1_0"]["kernel"] = marks["block1_0"]["kernel"][:, :, jnp.array([2, 1, 0, 5, 4, 3])]
    return found


def forward(networks: NetworkPair, variables: Variables, pictures: Array, *, train: bool = False) -> Pass:
    """Both networks on [b, h, w, 3] in [0, 1]; train: normalised by the batch, whose statistics run along."""
    ran: dict[str, Any] = {}

    def apply(part: str, x: Array) -> Array:
        own = {kind: variables[kind][part] for kind in ("params", "batch_stats")}
        network = getattr(networks, part)
        out, ran[part] = with_statistics(network, own, x, train=train)
        return out

    reconstruction = apply("reconstructive", pictures)
    # Gradients of the marks reach the reconstruction, too, as published.
    logits = apply("discriminative", jnp.concatenate([reconstruction, pictures], -1))
    return Pass(reconstruction, logits, ran)


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
