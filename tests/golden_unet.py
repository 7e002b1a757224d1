"""The U-Net a golden case was made with, and its weights; shared by the parity tests."""

import functools
from typing import Any

import golden_files as golden
import jax
import jax.numpy as jnp

from ddad_jax.types import Variables
from ddad_jax.unet import UNet
from ddad_jax.weights import unet_variables


def unet_of(case: dict[str, Any], image_size: int) -> UNet:
    """The network of a case; one that names only its weights is described by the U-Net case that shares them."""
    described = [c for _, c in golden.cases("unet_") if c["state"] == case["state"]]
    spec = case if "base" in case else (described or [{}])[0]
    base = spec.get("base") or golden.state(case["state"])["down.0.0.weight"].shape[0]
    # The published command line has two networks: base 64 with 4 heads, base 32 with 2.
    return UNet(image_size, base, heads=spec.get("heads", base // 16), dropout=spec.get("dropout", 0.0))


@functools.cache
def loaded(net: UNet, state: str) -> Variables:
    side = net.image_size
    template = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, side, side, 3)), jnp.zeros((1,)))
    return unet_variables(golden.state(state), template, source=state)
