"""Settings of DDAD on features: of the diffusion that judges, of what its noise predictor is made of, and of sweeps."""

from dataclasses import dataclass
from typing import NamedTuple

from ddad_jax import gaussian_prior
from ddad_jax.engine.methods.feature_ddad import priors
from ddad_jax.engine.methods.memory.sections import BATCH, PATCH, MapScoreSettings
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.sections import LABEL_FREE, SEEDS, Settings, SweepSettings
from ddad_jax.engine.settings.setting import LAYERS, TEXT, above, number, one_of, setting, swept, whole_number
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS


class Diffused(NamedTuple):
    """Another value is another pass over the pictures. Fields: as in ``DiffusionSettings``."""

    layers: tuple[str, ...] = ("layer2", "layer3")
    patch: int = 3
    channels: int = 0
    prior: str = "position"
    pooled: float = gaussian_prior.POOLED
    share: float = gaussian_prior.SHARE
    rank: int = gaussian_prior.RANK
    scoring: str = "reconstruction"
    residual: str = "distance"
    w: float = 1.0
    t_prime: int = 250
    steps: int = 3
    eta: float = 0.0
    grid: str = "trailing"
    solver: str = "ddim"
    start_noise: float = 0.0
    draws: int = 4
    pool: int = 1
    bank: int = priors.BANK
    choice: str = "coreset"
    bandwidth: float = priors.BANDWIDTH
    seed: int = 0

    @property
    def reconstructs(self) -> bool:
        return self.scoring == "reconstruction"

    @property
    def draws_noise(self) -> bool:
        own = self.start_noise > 0 or (self.eta > 0 and SOLVERS[self.solver].stochastic)
        return self.scoring == "resilience" or (self.reconstructs and own)


NEWER = ("pool", "bank", "choice", "bandwidth")
"""Fields that memories from before there were any do not name."""

ORIGIN = f"{LABEL_FREE}, but for layers, pooled and steps, which were settled with results on four data sets in view"
"""share: where held-out normal pictures were likeliest. prior: which finds synthetic defects better, on three sets. T':
the paper's; w: so that no blend passes the picture."""


@dataclass(frozen=True)
class DiffusionSettings(Section):
    """The diffusion that a verdict uses."""

    origin: str = setting(ORIGIN, TEXT, "how its values were come by, as the report says it")
    layers: tuple[str, ...] = setting(
        ("layer2", "layer3"), LAYERS, "of the backbone; the first sets the grid of positions"
    )
    patch: int = setting(3, PATCH, "side of the neighbourhood whose mean a position is, in positions")
    pool: int = setting(
        1, whole_number(1, 99), "side of the squares of positions whose means are the positions of a coarser grid; 1: "
        "none",
    )  # fmt: skip
    channels: int = setting(
        0, whole_number(0, 2**14, "0 (all) or a number of channels"), "so many of all, drawn by sweep.seed; 0: all"
    )
    prior: str = setting(
        "position", one_of(*priors.PRIORS),
        "what normal features are: each position by itself a Gaussian; | picture: the whole map a Gaussian, in a few "
        "directions; | patches: each position one of the patches of a bank, wherever that one was seen",
    )  # fmt: skip
    pooled: float = setting(
        gaussian_prior.POOLED, number(0, 1e9),
        "pictures that the covariance of all positions counts as, with prior = position",
    )  # fmt: skip
    share: float = setting(
        gaussian_prior.SHARE, above(0, 1e3), "of the mean variance, added to every variance of a Gaussian"
    )
    rank: int = setting(
        gaussian_prior.RANK, whole_number(1, 2**12), "directions with a variance of their own, with prior = picture"
    )
    bank: int = setting(
        priors.BANK, whole_number(1, priors.MOST_ROWS), "patches at most that are remembered, with prior = patches"
    )
    choice: str = setting(
        "coreset", one_of(*priors.CHOICES),
        "of these patches: each the farthest from those before it, as PatchCore's; | even: spread over all pictures",
    )  # fmt: skip
    bandwidth: float = setting(
        priors.BANDWIDTH, number(0, 1e6),
        "variance of a patch's own noise, as a share of the median squared distance between neighbouring patches, with "
        "prior = patches",
    )  # fmt: skip
    scoring: str = setting(
        "reconstruction", one_of("reconstruction", "inversion", "resilience"),
        "distance to the reconstruction, as DDAD; | inversion: length of the noise that a picture is led to, as "
        "InversionAD; | resilience: the part of a little noise that is not seen, as Score-PR",
    )  # fmt: skip
    residual: str = setting(
        "distance", one_of("distance", "mahalanobis"),
        "of picture and reconstruction: their distance; | mahalanobis: in the spread of training pictures' own",
    )  # fmt: skip
    w: float = setting(1.0, number(0, expected="a finite number, 0 (no conditioning) or more"), "of a reconstruction")
    t_prime: int = setting(
        250,
        whole_number(1, 999),
        "T', the time at which a reconstruction begins, an inversion ends, resilience is measured",
    )
    steps: int = setting(3, whole_number(1, 999), "of a reconstruction or an inversion; published 3 for inversion")
    eta: float = setting(0.0, number(0, 1, "a number from 0 (deterministic) to 1"), "of the noise of a step of ddim")
    grid: str = setting(
        "trailing",
        one_of(*sorted(GRIDS)),
        "of the times; inversion published: uniform in the code, trailing in the paper",
    )
    solver: str = setting("ddim", one_of(*sorted(SOLVERS)), "of a reconstruction, a name of ddad_jax/solvers")
    start_noise: float = setting(0.0, number(0, expected="0 (the scaled picture) or more"), "published 1")
    draws: int = setting(
        4, whole_number(1, 2**10), "of noise, each with both signs, with scoring = resilience; published 3"
    )
    batch_size: int = setting(16, BATCH, "pictures in one call")


@dataclass(frozen=True)
class DiffusionSweepSettings(SweepSettings):
    """What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    alone."""

    layers: tuple[tuple[str, ...], ...] = swept(DiffusionSettings, "layers")
    patch: tuple[int, ...] = swept(DiffusionSettings, "patch")
    pool: tuple[int, ...] = swept(DiffusionSettings, "pool")
    channels: tuple[int, ...] = swept(DiffusionSettings, "channels")
    prior: tuple[str, ...] = swept(DiffusionSettings, "prior")
    pooled: tuple[float, ...] = swept(DiffusionSettings, "pooled")
    share: tuple[float, ...] = swept(DiffusionSettings, "share")
    rank: tuple[int, ...] = swept(DiffusionSettings, "rank")
    bank: tuple[int, ...] = swept(DiffusionSettings, "bank")
    choice: tuple[str, ...] = swept(DiffusionSettings, "choice")
    bandwidth: tuple[float, ...] = swept(DiffusionSettings, "bandwidth")
    scoring: tuple[str, ...] = swept(DiffusionSettings, "scoring")
    residual: tuple[str, ...] = swept(DiffusionSettings, "residual")
    w: tuple[float, ...] = swept(DiffusionSettings, "w")
    t_prime: tuple[int, ...] = swept(DiffusionSettings, "t_prime")
    steps: tuple[int, ...] = swept(DiffusionSettings, "steps")
    eta: tuple[float, ...] = swept(DiffusionSettings, "eta")
    grid: tuple[str, ...] = swept(DiffusionSettings, "grid")
    solver: tuple[str, ...] = swept(DiffusionSettings, "solver")
    start_noise: tuple[float, ...] = swept(DiffusionSettings, "start_noise")
    draws: tuple[int, ...] = swept(DiffusionSettings, "draws")
    seed: tuple[int, ...] = setting((0,), SEEDS, "of noise, and of the channels that are drawn")
    sigma: tuple[float, ...] = swept(MapScoreSettings, "sigma")
    repeat_edge: tuple[bool, ...] = swept(MapScoreSettings, "repeat_edge")


@dataclass(frozen=True)
class FeatureDDADSettings(Settings):
    """Of a run of DDAD in feature space whose noise predictor is made of normal pictures, not trained."""

    method: str = setting(
        "feature_ddad", TEXT, "what is learnt, and what it measures; the sections of a config are its own"
    )
    feature_ddad: DiffusionSettings = DiffusionSettings()
    score: MapScoreSettings = MapScoreSettings()
    sweep: DiffusionSweepSettings = DiffusionSweepSettings()
