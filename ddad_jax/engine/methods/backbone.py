"""The feature extractor that a config names."""

from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from ddad_jax.backbones import Backbone, get_backbone


def build_backbone(c: ConfigDict) -> Backbone:
    return get_backbone(c.backbone.name, jnp.dtype(c.backbone.dtype))


def backbone_settings(c: ConfigDict) -> dict[str, Any]:
    """Those of the config, but where its weights lie on this machine."""
    return {name: value for name, value in c.backbone.items() if name != "weights"}


def backbone_columns(c: ConfigDict) -> dict[str, Any]:
    """What rows say of it."""
    return {f"backbone_{name}": value for name, value in backbone_settings(c).items()}
