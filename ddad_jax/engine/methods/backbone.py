"""The feature extractor that a config names."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from ddad_jax.backbones import Backbone, get_backbone


def build_backbone(c: ConfigDict) -> Backbone:
    return get_backbone(c.backbone.name, jnp.dtype(c.backbone.dtype))
