"""DiffAD behind the seam: an autoencoder, a diffusion model of its latents given that of the picture, and a network
that marks where the picture differs from what is drawn.

Three trainings, each on pictures that are damaged on the fly where it needs damage; no defect is seen. Any solver and
grid of this library samples in the latent.

Source: Zhang et al. 2023, "Unsupervised Surface Anomaly Detection with Diffusion Probabilistic Model", and the
published code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax import diffad as core
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.draem import DamageSettings, Marked, MarkScoreSettings, judged_marks
from ddad_jax.engine.methods.point import SIGMA_STEP, SearchableSetting
from ddad_jax.engine.methods.textures import texture_columns, textures_of
from ddad_jax.engine.methods.trained.method import Networks, TrainedMethod
from ddad_jax.engine.methods.trained.sections import NetworkTrainingSettings
from ddad_jax.engine.settings.need import Need
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
from ddad_jax.errors import InputError
from ddad_jax.kl_autoencoder import KLAutoencoder
from ddad_jax.latent_unet import LatentUNet
from ddad_jax.pair_program import pair_keys
from ddad_jax.sampler import noise_of
from ddad_jax.schedule import T, alpha_bar_at, perturb
from ddad_jax.segmentation_unet import FOLDS, SegmentationUNet
from ddad_jax.solvers import SOLVERS
from ddad_jax.synthetic.blending import DamagedPictures, DamageShares, damaged_pictures
from ddad_jax.timesteps import GRIDS
from ddad_jax.types import Array, Variables

_SHARE = number(0, 1, "a share from 0 to 1")
_WIDTH = whole_number(1, 1024)
_LEVELS = tuple_of(_WIDTH)
_GRID = one_of(core.PUBLISHED_GRID, *GRIDS)
FIRST = np.int32(0)
"""Of several draws."""
MOMENTUM = 0.99
"""Of the running deviation of latents."""


class Sampled(NamedTuple):
    """Another value is another pass over the pictures. Fields: as in ``DiffADOwnSettings``."""

    steps: int = 10
    solver: str = "ddim"
    grid: str = core.PUBLISHED_GRID
    eta: float = 0.0
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
    grid: str = setting(core.PUBLISHED_GRID, _GRID, "of its times")
    eta: float = setting(0.0, _SHARE, "noise of its steps; published 0")
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

    ema_decay: float = setting(0.999, number(0, 1), "of the average that is used afterwards; published 0.9999")
    weight_decay: float = setting(0.0, DECAY, "L2 coupled to the gradient; published decoupled, 0.01")
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


def latent_networks(m: LatentNetworkSettings, dropout: float = 0.0) -> core.LatentNetworks:
    dtype = jnp.dtype(m.dtype)
    return core.LatentNetworks(
        KLAutoencoder(m.autoencoder, m.autoencoder_mult, m.autoencoder_blocks, m.channels, dropout, dtype),
        LatentUNet(m.unet, m.unet_mult, m.unet_blocks, m.head_channels, m.channels, dtype),
        SegmentationUNet(m.discriminative, 2, dtype=dtype),
    )


class DiffAD(TrainedMethod):
    """``method.Method``."""

    name, title, settings = "diffad", "DiffAD", DiffADSettings
    costly, cheap = Sampled, Marked
    stages = ("autoencoder", "latent", "train")
    trained_with: Mapping[str, tuple[str, ...]] = {
        "autoencoder": ("model",), "latent": ("model", "damage", "autoencoder"),
        "train": ("model", "damage", "autoencoder", "latent"),
    }  # fmt: skip
    figures: Mapping[str, tuple[str, ...]] = {"autoencoder": core.AutoencoderLosses._fields}
    axes: Mapping[str, SearchableSetting] = {
        "steps": SearchableSetting("diffad.steps", 1, 50, step=1, whole=True, costly=True),
        "condition_time": SearchableSetting("diffad.condition_time", 0, 500, step=50, whole=True, costly=True),
        "share": SearchableSetting("diffad.share", 0.0, 1.0, costly=True),
        "window": SearchableSetting("score.window", 3, 41, step=2, whole=True),
        "sigma": SearchableSetting("score.sigma", 0.0, 12.0, step=SIGMA_STEP),
    }
    searched = ("steps", "share", "window", "sigma")
    printed = ("steps", "solver", "grid", "condition_time", "share", "window", "sigma")

    # --- Settings

    def together(self, c: DiffADSettings, need: Need) -> None:
        super().together(c, need)
        side = max(FOLDS, 2 ** (len(c.model.autoencoder_mult) + len(c.model.unet_mult) - 2))
        near = max(1, round(c.data.size / side)) * side
        need("data.size", c.data.size % side == 0, f"a multiple of {side}, such as {near}")
        rest = f"at most {1 - c.damage.perlin:g}, as damage.perlin = {c.damage.perlin:g}"
        need("damage.cutout", c.damage.cutout + c.damage.perlin <= 1.0, rest, ["damage.perlin"])
        asked = [(c.diffad.grid, c.diffad.steps), (c.train.sampling_grid, c.train.sampling_steps)]
        for (name, steps), flag in zip(asked, ("diffad.steps", "train.sampling_steps"), strict=True):
            try:
                core.latent_grid(name, steps)
            except InputError as error:
                need(flag, False, f"what a grid {name} takes: {error}")

    def random(self, costly: Sampled) -> bool:
        return True

    # --- The mathematics

    def init(self, c: DiffADSettings, stage: str, key: Array) -> Variables:
        networks, size = latent_networks(c.model), c.data.size
        side = size // networks.autoencoder.fold
        latent = jnp.zeros((1, side, side, c.model.channels))
        if stage == "autoencoder":
            return networks.autoencoder.init(key, jnp.zeros((1, size, size, 3)), latent)
        if stage == "train":
            return networks.segmentation.init(key, jnp.zeros((1, size, size, 9)))
        params: Any = networks.unet.init(key, jnp.concatenate([latent, latent], -1), jnp.zeros(1, jnp.int32))
        return {**params, "batch_stats": {"variance": jnp.ones(())}}

    def materials(self, c: DiffADSettings, stage: str, data: Data) -> dict[str, Any]:
        if stage == "autoencoder":
            return {}
        return {"textures": textures_of(c.damage, c.data.size, c.seed)}

    def loss(
        self, c: DiffADSettings, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, key: Array
    ) -> tuple[Array, tuple[dict[str, Array], dict[str, Any]]]:
        keys = jax.random.split(key, len(x))
        if stage == "autoencoder":
            of = self._coding(c, variables, x, keys, dropout=key)
            return self._coding_total(c, of).mean(), ({k: v.mean() for k, v in of._asdict().items()}, {})
        if stage == "latent":
            errors, variance = self._denoising(c, variables, given, x, keys)
            ran = variables["batch_stats"]["variance"]
            moved = MOMENTUM * ran + (1.0 - MOMENTUM) * variance if c.latent.normalise else ran
            return errors.mean(), ({}, {"batch_stats": {"variance": jax.lax.stop_gradient(moved)}})
        losses, moved = self._marking(c, variables, given, x, keys, train=True)
        return losses.mean(), ({}, {"batch_stats": moved})

    def validation(
        self, c: DiffADSettings, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array
    ) -> Array:
        if stage == "autoencoder":
            return self._coding_total(c, self._coding(c, variables, x, keys))
        if stage == "latent":
            return self._denoising(c, variables, given, x, keys)[0]
        return self._marking(c, variables, given, x, keys, train=False)[0]

    def _coding(
        self, c: DiffADSettings, variables: Variables, x: Array, keys: Array, dropout: Array | None = None
    ) -> core.AutoencoderLosses:
        pictures, train = (x + 1.0) / 2.0, dropout is not None and c.autoencoder.dropout > 0
        network = latent_networks(c.model, c.autoencoder.dropout).autoencoder
        noise = _normal(keys, self._latent_shape(c))
        how: Any = {"rngs": {"dropout": dropout}} if train else {}
        coded: Any = network.apply(variables, pictures, noise, train=train, **how)
        decoded, posterior = coded
        return core.autoencoder_losses(decoded, posterior, pictures)

    def _coding_total(self, c: DiffADSettings, of: core.AutoencoderLosses) -> Array:
        return of.l1 + c.autoencoder.structure * of.structure + c.autoencoder.divergence * of.divergence

    def _denoising(
        self, c: DiffADSettings, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array
    ) -> tuple[Array, Array]:
        """(error of each picture, variance of the clean latents)."""
        of_damage, of_z, of_c, of_noise, of_t, of_later = jax.vmap(lambda key: jax.random.split(key, 6))(keys).T
        networks, pictures, shape = (
            latent_networks(c.model),
            self._damaged(c, given, x, of_damage),
            self._latent_shape(c),
        )
        z = self._encoded(c, given["autoencoder"], pictures.clean).sample(_normal(of_z, shape))
        condition, scale = self._encoded(c, given["autoencoder"], pictures.damaged).mean, _scale(variables)
        times = (jax.vmap(lambda key: jax.random.randint(key, (), 0, T))(k) for k in (of_t, of_later))
        errors = core.noise_errors(
            networks.unet, {"params": variables["params"]}, z / scale, condition / scale, _normal(of_noise, shape),
            _normal(of_c, shape), *times, alpha_bar=_table(),
        )  # fmt: skip
        return errors, z.var()

    def _marking(
        self, c: DiffADSettings, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array, *, train: bool
    ) -> tuple[Array, Any]:
        """(focal loss of each picture, statistics)."""
        of_damage, of_start = jax.vmap(lambda key: jax.random.split(key, 2))(keys).T
        pictures, s = self._damaged(c, given, x, of_damage), c.train
        point = Sampled(s.sampling_steps, s.sampling_solver, s.sampling_grid, share=c.diffad.share)
        # What it learns to compare is drawn for it and not learnt with it.
        drawn = jax.lax.stop_gradient(
            self._drawn(c, point, given, pictures.damaged, of_start, jnp.zeros((), jnp.int32))
        )
        network = latent_networks(c.model).segmentation
        logits, moved = core.marks_of(network, variables, drawn, pictures.damaged, train=train)
        return core.mark_losses(logits, pictures.mask), moved

    def _damaged(self, c: DiffADSettings, given: Mapping[str, Any], x: Array, keys: Array) -> DamagedPictures:
        shares = DamageShares(c.damage.perlin, c.damage.cutout, c.damage.turned)
        return damaged_pictures(keys, (x + 1.0) / 2.0, given["textures"], shares)

    def _latent_shape(self, c: DiffADSettings) -> tuple[int, int, int]:
        side = c.data.size // latent_networks(c.model).autoencoder.fold
        return side, side, c.model.channels

    def _encoded(self, c: DiffADSettings, autoencoder: Variables, pictures: Array) -> Any:
        return latent_networks(c.model).autoencoder.apply(autoencoder, pictures, method="encode")

    def _drawn(
        self, c: DiffADSettings, point: Sampled, networks: Mapping[str, Any], pictures: Array, keys: Array, draw: Any
    ) -> core.DrawnPictures:
        made, scale = latent_networks(c.model), _scale(networks["latent"])
        condition = self._encoded(c, networks["autoencoder"], pictures).mean / scale
        noise, seen = noise_of(jax.vmap(jax.random.fold_in, (0, None))(keys, draw), self._latent_shape(c)), condition
        if point.condition_time:
            seen = perturb(condition, noise(jnp.asarray(T)), alpha_bar_at(_table(), jnp.asarray(point.condition_time)))
        eps_fn = core.conditioned_latent(made.unet, {"params": networks["latent"]["params"]}, seen)
        return core.redrawn(
            made, networks["autoencoder"], eps_fn, condition, noise(jnp.asarray(0)),
            core.latent_grid(point.grid, point.steps), scale=scale, share=point.share, eta=point.eta,
            alpha_bar=_table(), noise_fn=noise, solver=SOLVERS[point.solver],
        )  # fmt: skip

    def compare(self, c: DiffADSettings, costly: Sampled, networks: Networks, x: Array, seeds: Array) -> Array:
        pictures, keys = (x + 1.0) / 2.0, pair_keys(jnp.full_like(seeds, costly.seed), seeds)

        def marks(draw: Array) -> Array:
            drawn = self._drawn(c, costly, networks, pictures, keys, draw)
            return core.marked(
                core.marks_of(latent_networks(c.model).segmentation, networks["train"], drawn, pictures)[0]
            )

        return jax.lax.map(marks, jnp.arange(costly.draws)).mean(0)

    def judge(self, evidence: Array, cheap: Marked, size: tuple[int, int]) -> tuple[Array, Array]:
        return judged_marks(evidence, cheap, size[0])

    def reconstruction(self, c: DiffADSettings, costly: Sampled, networks: Networks, x: Array, seeds: Array) -> Array:
        keys = pair_keys(jnp.full_like(seeds, costly.seed), seeds)
        return 2.0 * self._drawn(c, costly, networks, (x + 1.0) / 2.0, keys, FIRST).picture - 1.0

    # --- Told

    def columns(self, c: DiffADSettings) -> dict[str, Any]:
        return texture_columns(c.damage)

    def described(self, c: DiffADSettings, networks: Networks) -> str:
        millions = [sum(leaf.size for leaf in jax.tree.leaves(networks[s]["params"])) / 1e6 for s in self.stages]
        side, _, channels = self._latent_shape(c)
        coding, denoising, marking = millions
        return (
            f"{coding:.2f} million parameters code and decode, {denoising:.2f} predict the noise of latents, "
            f"{marking:.2f} mark; latents are {side} x {side} x {channels}, their deviation "
            f"{float(_scale(networks['latent'])):.3g}"
        )

    def explained(self, n_train: int, subject: str) -> str:
        return (
            f"DiffAD learnt from {n_train} pictures of good parts ({subject}), damaged on purpose; it has never seen a "
            "real defect. It draws a new picture, from noise and guided by a small code of the one to judge, as good "
            "parts look. Another network sees the picture beside the drawn one, and beside one half-way between both, "
            "and marks, pixel by pixel, what was damaged: that is the anomaly map. The largest mean of the marks in a "
            "small square is the picture's score (the map's highest value, where maps are masked, cropped or measured "
            "in their normal spread)."
        )


def _scale(latent: Variables) -> Array:
    """Deviation of latents, [], that the noise predictor was trained with."""
    return jnp.sqrt(latent["batch_stats"]["variance"])


def _normal(keys: Array, shape: tuple[int, ...]) -> Array:
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def _table() -> Array:
    return jnp.asarray(core.latent_alpha_bar(), jnp.float32)
