"""The feature extractor that a config names."""

import jax.numpy as jnp

from ddad_jax.backbones import Backbone, get_backbone
from ddad_jax.engine.methods.ddad.sections import DDADSettings


def build_backbone(c: DDADSettings) -> Backbone:
    return get_backbone(c.backbone.name, jnp.dtype(c.backbone.dtype))
