"""DiffAD behind the seam: an autoencoder, a diffusion model of its latents given that of the picture, and a network
that marks where the picture differs from what is drawn.

Three trainings, each on pictures that are damaged on the fly where it needs damage; no defect is seen. Any solver and
grid of this library samples in the latent.

Source: Zhang et al. 2023, "Unsupervised Surface Anomaly Detection with Diffusion Probabilistic Model", and the
published code.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax import diffad as core
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.damage import damage_doubts, need_shares, shares_of, texture_columns, textures_of
from ddad_jax.engine.methods.diffad.sections import DiffADSettings, LatentNetworkSettings, Sampled
from ddad_jax.engine.methods.marks import Marked, judged_marks
from ddad_jax.engine.methods.point import SIGMA_STEP, SearchableSetting
from ddad_jax.engine.methods.trained.method import Networks, TrainedMethod, millions
from ddad_jax.engine.settings.need import Need, values_at
from ddad_jax.errors import InputError
from ddad_jax.kl_autoencoder import KLAutoencoder
from ddad_jax.latent_unet import LatentUNet
from ddad_jax.pair_program import pair_keys
from ddad_jax.sampler import noise_of
from ddad_jax.schedule import T, alpha_bar_at, perturb
from ddad_jax.segmentation_unet import FOLDS, SegmentationUNet, damage_probability
from ddad_jax.solvers import SOLVERS
from ddad_jax.synthetic.blending import DamagedPictures, damaged_pictures, sometimes_turned
from ddad_jax.types import Array, Variables

FIRST = np.int32(0)
"""Of several draws."""
BEGUN = ("t_prime", "condition_time")
"""Where a drawing begins, and beside what."""
MOMENTUM = 0.99
"""Of the running deviation of latents."""


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
    traced = ("eta", "share", "seed")
    trained_with: Mapping[str, tuple[str, ...]] = {
        "autoencoder": ("model", "damage.turned"), "latent": ("model", "damage", "autoencoder"),
        # What it learns to compare is drawn at the config's point, but for its steps.
        "train": ("model", "damage", "autoencoder", "latent", *(f"diffad.{n}" for n in ("share", *BEGUN))),
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
        need_shares(c.damage, need)
        m = c.model
        need("model.autoencoder_mult", bool(m.autoencoder_mult), "a level or more, such as (1,2,4)")
        need("model.unet_mult", bool(m.unet_mult), "a level or more, such as (1,2,4)")
        need("model.unet", m.unet % 2 == 0, "an even number")
        heads = [max(1, m.unet * mult // m.head_channels) for mult in m.unet_mult]
        cut = all(m.unet * mult % n == 0 for mult, n in zip(m.unet_mult, heads, strict=True))
        need("model.unet", cut, f"widths that heads of {m.head_channels} channels divide", ["model.head_channels"])
        of = [f"{section}.{name}" for name in ("grid", "steps", "t_prime") for section in ("diffad", "sweep")]
        asked = (
            dict.fromkeys((*values_at(c, own), *values_at(c, swept)))
            for own, swept in zip(of[::2], of[1::2], strict=True)
        )
        taught = (c.train.sampling_grid, c.train.sampling_steps, c.diffad.t_prime)
        for flag, grid in (("train.sampling_steps", taught), *(("diffad.steps", each) for each in product(*asked))):
            try:
                core.latent_grid(*grid)
            except InputError as error:
                need(flag, False, f"what its grid takes ({error})", of)

    def doubts(self, c: DiffADSettings) -> list[str]:
        return [*super().doubts(c), *damage_doubts(c.damage)]

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
            return networks.segmentation.init(key, jnp.zeros((1, size, size, 9 if c.model.between else 6)))
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
            of = self._coding(c, variables, x, keys, dropout=jax.random.fold_in(key, len(x)))
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
        of_noise, of_angle, of_share = jax.vmap(lambda key: jax.random.split(key, 3))(keys).T
        pictures, train = (x + 1.0) / 2.0, dropout is not None and c.autoencoder.dropout > 0
        # As those are that it will have to code.
        turn = jax.vmap(lambda a, s, picture: sometimes_turned(a, s, picture, c.damage.turned))
        pictures = turn(of_angle, of_share, pictures)
        network = latent_networks(c.model, c.autoencoder.dropout).autoencoder
        noise = _normal(of_noise, self._latent_shape(c))
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
        t, later = (jax.vmap(lambda key: jax.random.randint(key, (), 0, T))(k) for k in (of_t, of_later))
        if c.latent.condition != "noisy":
            condition, later = self._condition(c, condition), jnp.full_like(later, -1)
        errors = core.noise_errors(
            networks.unet, {"params": variables["params"]}, z / scale, condition / scale, _normal(of_noise, shape),
            _normal(of_c, shape), t, later, alpha_bar=_table(),
        )  # fmt: skip
        return errors, z.var()

    def _marking(
        self, c: DiffADSettings, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array, *, train: bool
    ) -> tuple[Array, Any]:
        """(focal loss of each picture, statistics)."""
        of_damage, of_start = jax.vmap(lambda key: jax.random.split(key, 2))(keys).T
        pictures, s = self._damaged(c, given, x, of_damage), c.train
        point = self.point(c).costly._replace(
            steps=s.sampling_steps, solver=s.sampling_solver, grid=s.sampling_grid, eta=0.0
        )
        # What it learns to compare is drawn for it and not learnt with it.
        drawn = jax.lax.stop_gradient(
            self._drawn(c, point, given, pictures.damaged, of_start, jnp.zeros((), jnp.int32))
        )
        network = latent_networks(c.model).segmentation
        logits, moved = core.marks_of(network, variables, drawn, pictures.damaged, between=c.model.between, train=train)
        return core.mark_losses(logits, pictures.mask), moved

    def _damaged(self, c: DiffADSettings, given: Mapping[str, Any], x: Array, keys: Array) -> DamagedPictures:
        return damaged_pictures(keys, (x + 1.0) / 2.0, given["textures"], shares_of(c.damage))

    def _latent_shape(self, c: DiffADSettings) -> tuple[int, int, int]:
        side = c.data.size // latent_networks(c.model).autoencoder.fold
        return side, side, c.model.channels

    def _condition(self, c: DiffADSettings, latent: Array) -> Array:
        return jnp.zeros_like(latent) if c.latent.condition == "none" else latent

    def _encoded(self, c: DiffADSettings, autoencoder: Variables, pictures: Array) -> Any:
        return latent_networks(c.model).autoencoder.apply(autoencoder, pictures, method="encode")

    def _drawn(
        self, c: DiffADSettings, point: Sampled, networks: Mapping[str, Any], pictures: Array, keys: Array, draw: Any
    ) -> core.DrawnPictures:
        made, scale = latent_networks(c.model), _scale(networks["latent"])
        condition = self._encoded(c, networks["autoencoder"], pictures).mean / scale
        noise = noise_of(jax.vmap(jax.random.fold_in, (0, None))(keys, draw), self._latent_shape(c))
        seen, start = self._condition(c, condition), noise(jnp.asarray(0))
        if point.condition_time:
            seen = perturb(seen, noise(jnp.asarray(T)), alpha_bar_at(_table(), jnp.asarray(point.condition_time)))
        if point.t_prime != core.PURE:
            start = perturb(condition, start, alpha_bar_at(_table(), jnp.asarray(point.t_prime)))
        eps_fn = core.conditioned_latent(made.unet, {"params": networks["latent"]["params"]}, seen)
        return core.redrawn(
            made, networks["autoencoder"], eps_fn, condition, start,
            core.latent_grid(point.grid, point.steps, point.t_prime), scale=scale, share=point.share, eta=point.eta,
            alpha_bar=_table(), noise_fn=noise, solver=SOLVERS[point.solver],
        )  # fmt: skip

    def compare(self, c: DiffADSettings, costly: Sampled, networks: Networks, x: Array, seeds: Array) -> Array:
        pictures, keys = (x + 1.0) / 2.0, pair_keys(jnp.full_like(seeds, costly.seed), seeds)

        def marks(draw: Array) -> Array:
            drawn = self._drawn(c, costly, networks, pictures, keys, draw)
            return damage_probability(
                core.marks_of(
                    latent_networks(c.model).segmentation, networks["train"], drawn, pictures, between=c.model.between
                )[0]
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
        side, _, channels = self._latent_shape(c)
        coding, denoising, marking = (millions(networks[stage]) for stage in self.stages)
        return (
            f"{coding:.2f} million parameters code and decode, {denoising:.2f} predict the noise of latents, "
            f"{marking:.2f} mark; latents are {side} x {side} x {channels}, their deviation "
            f"{float(_scale(networks['latent'])):.3g}"
        )

    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
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
