"""The feature extractor that a config names."""

import jax.numpy as jnp

from ddad_jax.backbones import Backbone, get_backbone
from ddad_jax.engine.settings.sections import BackboneSettings


def build_backbone(b: BackboneSettings) -> Backbone:
    return get_backbone(b.name, jnp.dtype(b.dtype))
