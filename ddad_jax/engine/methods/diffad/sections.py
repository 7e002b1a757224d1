"""Points and settings of DiffAD: the latent it samples in, and the three trainings."""

from dataclasses import dataclass
from typing import NamedTuple

from ddad_jax.diffad import CONDITIONS, PUBLISHED_GRID, PURE
from ddad_jax.engine.methods.damage import DamageSettings
from ddad_jax.engine.methods.marks import MarkScoreSettings
from ddad_jax.engine.methods.trained.sections import NetworkTrainingSettings
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.sections import LABEL_FREE, Settings, SweepSettings
from ddad_jax.engine.settings.setting import (
    BOOL,
    COUNT,
    DTYPE,
    TEXT,
    number,
    one_of,
    setting,
    swept,
    tuple_of,
    whole_number,
)
from ddad_jax.engine.settings.training import BATCH, DECAY, DeviceSettings
from ddad_jax.schedule import T
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS

_SHARE = number(0, 1, "a share from 0 to 1")
_WIDTH = whole_number(1, 1024)
_LEVELS = tuple_of(_WIDTH)
_GRID = one_of(PUBLISHED_GRID, *GRIDS)


class Sampled(NamedTuple):
    """Another value is another pass over the pictures. Fields: as in ``DiffADOwnSettings``."""

    steps: int = 10
    solver: str = "ddim"
    grid: str = PUBLISHED_GRID
    eta: float = 0.0
    t_prime: int = PURE
    condition_time: int = 0
    share: float = 0.5
    draws: int = 1
    seed: int = 0


@dataclass(frozen=True)
class DiffADOwnSettings(Section):
    """How the trained networks are asked."""

    origin: str = setting(LABEL_FREE, TEXT, "how its values were come by, as the report says it")
    steps: int = setting(10, whole_number(1, T - 1), "of the sampling; published 10")
    solver: str = setting("ddim", one_of(*SOLVERS), "of the sampling; published ddim")
    grid: str = setting(PUBLISHED_GRID, _GRID, "of its times")
    eta: float = setting(0.0, _SHARE, "noise of its steps; published 0")
    t_prime: int = setting(
        PURE, whole_number(1, PURE), "where it begins: 999 is pure noise, as published; before, the picture's own "
        "latent noised to it",
    )  # fmt: skip
    condition_time: int = setting(
        0, whole_number(0, T - 1), "to which the condition is noised; published 0, not at all, and some noise where "
        "whole parts are missing",
    )  # fmt: skip
    share: float = setting(0.5, _SHARE, "of the picture's own latent in the picture between; published 0.5")
    draws: int = setting(1, COUNT, "of the start, whose marks are averaged; published 1")
    batch_size: int = setting(16, BATCH, "pictures in one call")


@dataclass(frozen=True)
class LatentNetworkSettings(Section):
    """The three networks."""

    autoencoder: int = setting(128, _WIDTH, "channels of the autoencoder's first level; published 128")
    autoencoder_mult: tuple[int, ...] = setting((1, 2, 4, 4), _LEVELS, "of its levels, each half as large as the last")
    autoencoder_blocks: int = setting(2, whole_number(1, 64), "a level; published 2")
    channels: int = setting(4, _WIDTH, "of a latent; published 4")
    unet: int = setting(256, _WIDTH, "channels of the noise predictor's first level; published 256")
    unet_mult: tuple[int, ...] = setting((1, 2, 4), _LEVELS, "of its levels")
    unet_blocks: int = setting(2, whole_number(1, 64), "a level; published 2")
    head_channels: int = setting(32, _WIDTH, "of a head of attention; published 32")
    between: bool = setting(True, BOOL, "whether the network that marks is shown the picture between; published true")
    discriminative: int = setting(64, _WIDTH, "channels of the first level of the one that marks; published 64")
    dtype: str = setting("float32", DTYPE, "| bfloat16, for GPUs and TPUs: of their inside; statistics stay float32")


@dataclass(frozen=True)
class AutoencoderTrainingSettings(NetworkTrainingSettings):
    """The training of the autoencoder."""

    structure: float = setting(
        0.1, number(0), "of 1 - SSIM beside the absolute error; published the distance of foreign features"
    )
    divergence: float = setting(1e-6, number(0), "of the posterior to the normal distribution; published 1e-6")
    dropout: float = setting(0.0, number(0, 0.99), "in the autoencoder; published 0.5")


@dataclass(frozen=True)
class LatentTrainingSettings(NetworkTrainingSettings):
    """The training of the noise predictor."""

    weight_decay: float = setting(0.0, DECAY, "L2 coupled to the gradient; published decoupled, 0.01")
    condition: str = setting(
        "noisy", one_of(*CONDITIONS), "what it learns beside: the damaged picture's latent with noise, as it is, or "
        "none; published noisy",
    )  # fmt: skip
    normalise: bool = setting(
        True, BOOL, "latents by their deviation, which runs along, so that times mean what they say; published as they "
        "are",
    )  # fmt: skip


@dataclass(frozen=True)
class MarkTrainingSettings(NetworkTrainingSettings):
    """The training of the network that marks."""

    sampling_steps: int = setting(4, whole_number(1, T - 1), "of what it learns to compare; published 50")
    sampling_solver: str = setting("dpm2m", one_of(*SOLVERS), "of the same; published ddim")
    sampling_grid: str = setting("trailing", _GRID, "of the same; published: published")


@dataclass(frozen=True)
class LatentSweepSettings(SweepSettings):
    """What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    alone."""

    steps: tuple[int, ...] = swept(DiffADOwnSettings, "steps")
    solver: tuple[str, ...] = swept(DiffADOwnSettings, "solver")
    grid: tuple[str, ...] = swept(DiffADOwnSettings, "grid")
    eta: tuple[float, ...] = swept(DiffADOwnSettings, "eta")
    t_prime: tuple[int, ...] = swept(DiffADOwnSettings, "t_prime")
    condition_time: tuple[int, ...] = swept(DiffADOwnSettings, "condition_time")
    share: tuple[float, ...] = swept(DiffADOwnSettings, "share")
    draws: tuple[int, ...] = swept(DiffADOwnSettings, "draws")
    window: tuple[int, ...] = swept(MarkScoreSettings, "window")
    sigma: tuple[float, ...] = swept(MarkScoreSettings, "sigma")


@dataclass(frozen=True)
class DiffADSettings(Settings):
    """Of a run of DiffAD: the published sizes."""

    method: str = setting("diffad", TEXT, "what is learnt, and what it measures; the sections of a config are its own")
    diffad: DiffADOwnSettings = DiffADOwnSettings()
    model: LatentNetworkSettings = LatentNetworkSettings()
    damage: DamageSettings = DamageSettings()
    autoencoder: AutoencoderTrainingSettings = AutoencoderTrainingSettings()
    latent: LatentTrainingSettings = LatentTrainingSettings()
    train: MarkTrainingSettings = MarkTrainingSettings()
    device: DeviceSettings = DeviceSettings()
    score: MarkScoreSettings = MarkScoreSettings()
    sweep: LatentSweepSettings = LatentSweepSettings()
