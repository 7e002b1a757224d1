"""The settings that trainings have in common, whatever they train: how they learn, and how the device does it."""

import math
from dataclasses import dataclass

from ddad_jax.attention import ATTENTION
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.setting import (
    BOOL,
    COUNT,
    MINUTES,
    above,
    below_one,
    none_or_more,
    number,
    one_of,
    setting,
    whole_number,
)

BATCH = whole_number(1, 2**20)
DECAY = number(0, expected="0 (none) or more, finite")
_EMA = below_one("0 (none) up to below 1")
_CLIP = number(0, math.inf, "0 (no clipping) or more")


@dataclass(frozen=True)
class TrainingSettings(Section):
    """What all trainings have in common."""

    steps: int = setting(20_000, COUNT, "batches")
    max_minutes: float = setting(0.0, MINUTES, "0: no limit")
    batch_size: int = setting(16, BATCH, "pictures, over all devices")
    learning_rate: float = setting(3e-4, above(0), "of Adam")
    weight_decay: float = setting(2.5e-7, DECAY, "L2 coupled to the gradient; 0.05 with reduce = sum, as published")
    warmup_steps: int = setting(200, none_or_more("no warm-up"), "of a rate that rises from 0; published 0")
    clip_norm: float = setting(1.0, _CLIP, "of the gradient of all parameters; 0: none, as published")
    accumulate: int = setting(1, COUNT, "batches an update; published 1")
    ema_decay: float = setting(0.999, _EMA, "of the average that is used afterwards; 0: none, as published")
    log_every: int = setting(50, COUNT, "steps")
    validate_every: int = setting(500, COUNT, "steps")
    checkpoint_every: int = setting(500, COUNT, "steps")

    @property
    def drops(self) -> dict[int, float]:
        """Number of an update, from 0 -> what the learning rate is multiplied by from there on."""
        return {}


@dataclass(frozen=True)
class DeviceSettings(Section):
    """How a device computes: numbers change by rounding at most, so a workdir may be gone on with otherwise."""

    attention: str = setting(
        "auto", one_of(*ATTENTION), "| plain: not by the fused kernel where a GPU has one, but as everywhere else"
    )
    remat: bool = setting(
        False, BOOL, "a gradient computes blocks twice and keeps an eighth: larger batches, a third more time"
    )
    dispatch: int = setting(
        50, COUNT, "updates at most that a training asks of the device at once, and about a second's worth of them"
    )
    pictures_mib: int = setting(
        1024, none_or_more("none"), "MiB of training pictures that may lie on the device; more are streamed to it"
    )
