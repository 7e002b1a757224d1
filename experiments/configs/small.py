"""Not a config: settings that make any of them end in seconds and learn nothing, for tests of the notebooks."""

from typing import Any

SETTINGS: dict[str, Any] = {
    "data.size": 32,
    "model.channel_mult": (1,),
    "model.attention_sizes": (),
    "model.patch": 4,
    "train.steps": 40,
    "backbone.feature_size": 0,
    "adapt.epochs": 0,
    "output.examples": 3,
}
"""By dotted name: 32 px, a U-Net of one level, 40 steps, a feature extractor as it came, few pictures drawn."""

CANS = {**SETTINGS, "data.kind": "folder", "data.root": "pictures", "data.category": "winter_melon"}
"""The same of cans that ``ddad_jax.data.cans.write_folder`` has written into ``pictures``."""
