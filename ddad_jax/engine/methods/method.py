"""What a point of a sweep is, and how a row of a table says it."""

import json
from typing import Any

from ddad_jax.backbones import BACKBONES
from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint, ScorePoint, recon_grid

SETTINGS = (*ReconPoint._fields, *ScorePoint._fields)
"""The columns that tell one row from another."""

UNSAID = {**ReconPoint._field_defaults, **ScorePoint._field_defaults}
"""What a row of a journal from before a setting existed was made with."""


Point = tuple[ReconPoint, ScorePoint]


def settings_of(recon: ReconPoint, score: ScorePoint) -> dict[str, Any]:
    return {**recon._asdict(), **score._asdict(), "layers": "+".join(score.layers)}


def point_of(row: dict[str, Any]) -> Point:
    """The point of a row: the inverse of ``settings_of``, for rows that come from a file.

    Raises:
      InputError: a value out of range; KeyError, TypeError, ValueError, AttributeError: not a row at all.
    """
    row = {**UNSAID, **row}
    (recon,) = recon_grid(**{name: (row[name],) for name in ReconPoint._fields})
    layers = tuple(row["layers"].split("+"))
    stages = {stage: None for backbone in BACKBONES.values() for stage in backbone.stages}
    if not set(layers) <= set(stages):
        raise InputError(
            f"layers = {row['layers']!r}: expected stages of a backbone ({', '.join(stages)}), joined by +"
        )
    flags = bool(row["standardise"]), bool(row["mask_after"])
    return recon, ScorePoint(float(row["v"]), layers, float(row["sigma"]), *flags, float(row["feature_weight"]))


def key_of(row: dict[str, Any]) -> str:
    return json.dumps({name: row[name] for name in SETTINGS})
