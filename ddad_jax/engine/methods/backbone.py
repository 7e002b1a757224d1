"""The feature extractor that the settings name."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp

from ddad_jax.backbones import BACKBONES, Backbone, get_backbone
from ddad_jax.engine.settings.need import Need
from ddad_jax.engine.settings.sections import BackboneSettings


def build_backbone(b: BackboneSettings) -> Backbone:
    return get_backbone(b.name, jnp.dtype(b.dtype))


def need_stages(b: BackboneSettings, need: Need, layers: Mapping[str, Iterable[str]]) -> None:
    """layers: flag -> names that must be stages of the backbone."""
    stages = BACKBONES[b.name].stages
    for flag, names in layers.items():
        expected = f"some of {', '.join(stages)}, the stages of backbone.name = {b.name}"
        need(flag, {*names} <= {*stages}, expected, ["backbone.name"])


def backbone_settings(b: BackboneSettings) -> dict[str, Any]:
    """All but where its weights lie on this machine."""
    return {name: value for name, value in b.items() if name != "weights"}


def backbone_columns(b: BackboneSettings) -> dict[str, Any]:
    """What rows say of it."""
    return {f"backbone_{name}": value for name, value in backbone_settings(b).items()}
