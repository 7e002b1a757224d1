"""The feature extractor that the settings name."""

from typing import Any

import jax.numpy as jnp

from ddad_jax.backbones import Backbone, get_backbone
from ddad_jax.engine.settings.sections import BackboneSettings


def build_backbone(b: BackboneSettings) -> Backbone:
    return get_backbone(b.name, jnp.dtype(b.dtype))


def backbone_settings(b: BackboneSettings) -> dict[str, Any]:
    """All but where its weights lie on this machine."""
    return {name: value for name, value in b.items() if name != "weights"}


def backbone_columns(b: BackboneSettings) -> dict[str, Any]:
    """What rows say of it."""
    return {f"backbone_{name}": value for name, value in backbone_settings(b).items()}
