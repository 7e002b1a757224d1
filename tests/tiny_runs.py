"""Runs small enough for tests: a generated folder at 32 px, a U-Net of one level, six steps."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from trees import mvtec

from ddad_jax.backbones import Backbone, Stage
from ddad_jax.diffad import LatentNetworks
from ddad_jax.diffusionad import GuidedNetworks
from ddad_jax.draem import NetworkPair
from ddad_jax.engine import pipeline
from ddad_jax.engine.methods import diffusionad, draem, riad
from ddad_jax.engine.methods.ddad import criteria, evidence, extractor, grids, lessons, noise_predictor
from ddad_jax.engine.methods.ddad import student as ddad_student
from ddad_jax.engine.methods.ddad.fitted import FittedDDAD
from ddad_jax.engine.methods.diffad import method as diffad
from ddad_jax.engine.methods.memory import fitted as memory
from ddad_jax.engine.methods.memory import method as memory_method
from ddad_jax.engine.report import protocol_check
from ddad_jax.kl_autoencoder import Posterior
from ddad_jax.synthetic.blending import DamagedPictures
from ddad_jax.synthetic.foreground_damage import MarkedPictures
from ddad_jax.types import Array, EpsFn
from experiments.config import base, engine_settings


def config(root: Path, method: str = "ddad", **changes: Any) -> Any:
    """Settings for ``trees.mvtec(root)``; ``changes`` name them with two underscores: ``train__steps=4``."""
    return engine_settings(config_dict(root, method, **changes))


def config_dict(root: Path, method: str = "ddad", **changes: Any) -> ConfigDict:
    """The same as a config file gives them, unchecked."""
    c = base(method)
    with c.unlocked():
        c.data.update(root=str(root), category="bolt", size=32)
        c.output.update(examples=1, browser=0)  # drawing and redrawing them takes longer than all the rest
        SMALL[method](c)
        for name, value in changes.items():
            *sections, last = name.split("__")
            functools.reduce(lambda at, section: at[section], sections, c)[last] = value
    return c


def fitted(c: ConfigDict, workdir: Path, program: Any = None, **more: Any) -> FittedDDAD:
    """DDAD with that program in the place of its networks, whatever else was learnt as ``more`` says; without one, for
    what asks nothing of the networks."""
    return FittedDDAD(c, workdir, **{"params": None, "variables": None, "epoch": 0, "program": program, **more})


def _small_ddad(c: ConfigDict) -> None:
    c.model.update(base=16, channel_mult=(1,), res_blocks=1, attention_sizes=())
    c.train.update(steps=6, batch_size=4, warmup_steps=0, log_every=2, validate_every=4, checkpoint_every=2)
    c.adapt.update(epochs=0, batch_size=2, steps=2, least_share=0.0)
    c.sample.update(steps=2, batch_size=8)


def _small_patchcore(c: ConfigDict) -> None:
    c.patchcore.update(share=0.2, batch_size=4)


def _small_padim(c: ConfigDict) -> None:
    c.padim.update(batch_size=4)


def _small_feature_ddad(c: ConfigDict) -> None:
    c.feature_ddad.update(batch_size=4)


def _small_ensemble(c: ConfigDict) -> None:
    c.ensemble.update(batch_size=4)
    c.patchcore.update(share=0.2)
    c.feature_ddad_coarse.update(pool=2)


SHORT: dict[str, Any] = {
    "steps": 4, "batch_size": 4, "learning_rate": 1e-3, "log_every": 2, "validate_every": 4, "checkpoint_every": 2,
}  # fmt: skip
"""A training of a method that trains networks of its own."""


def _small_draem(c: ConfigDict) -> None:
    c.draem.update(batch_size=4)
    c.model.update(reconstructive=2, discriminative=2)
    c.damage.update(texture_count=4)
    c.train.update(SHORT)


def _small_riad(c: ConfigDict) -> None:
    c.riad.update(batch_size=4)
    c.model.update(widths=(2, 4), cells=(2, 4), scales=1)
    c.train.update(SHORT)


def _small_diffusionad(c: ConfigDict) -> None:
    c.diffusionad.update(batch_size=4)
    c.model.update(base=8, segmentation=2)
    c.damage.update(texture_count=4)
    c.train.update(SHORT)


def _small_diffad(c: ConfigDict) -> None:
    c.diffad.update(batch_size=4, steps=2)
    c.model.update(autoencoder=2, unet=2, discriminative=2, autoencoder_mult=(1, 1), unet_mult=(1,))
    c.damage.update(texture_count=4)
    c.train.update(sampling_steps=1)
    for stage in (c.autoencoder, c.latent, c.train):
        stage.update(SHORT)


SMALL: dict[str, Callable[[ConfigDict], None]] = {
    "ddad": _small_ddad, "patchcore": _small_patchcore, "padim": _small_padim, "ensemble": _small_ensemble,
    "feature_ddad": _small_feature_ddad, "draem": _small_draem, "riad": _small_riad, "diffusionad": _small_diffusionad,
    "diffad": _small_diffad,
}  # fmt: skip
"""Method -> makes its own settings small."""


def folder(root: Path, n_train: int = 9) -> Path:
    """9 pictures to train on (4 of them held out); 2 good, 2 bent, 1 rusty to test."""
    mvtec(root, n_train=n_train)
    return root


# --- Networks that compile in no time, where only what is around them is tested ---------------------------------


def init_params(_unet: Any, seed: int) -> dict[str, Array]:
    return {"gain": jnp.full((3,), 0.1 + seed), "shift": jnp.zeros(3)}


def predict(params: dict[str, Array], x_t: Array, t: Array, dropout_key: Array | None = None) -> Array:
    """A noise predictor of six numbers."""
    return params["gain"][None, None, None] * x_t + params["shift"][None, None, None]


def eps_fn(_unet: Any, params: dict[str, Array]) -> EpsFn:
    return functools.partial(predict, params)


def init_student(_student: Any, teacher: Any, key: Array) -> dict[str, Any]:
    return {"unet": jax.tree.map(jnp.array, teacher), "of": jnp.zeros((4, 3))}


def student_predict(
    params: dict[str, Any], x_t: Array, t: Array, y: Array, w: Array, t_prime: Array
) -> tuple[Array, Array]:
    """A student of six numbers and twelve: its correction is linear in x_t, y, w and T'."""
    w, t_prime = (jnp.broadcast_to(v, x_t.shape[:1])[:, None, None, None] for v in (w / 6, t_prime / 300))
    of = params["of"][:, None, None, None]
    return predict(params["unet"], x_t, t), of[0] * x_t + of[1] * y + of[2] * w + of[3] * t_prime


class Layers(nn.Module):
    """A feature extractor: three layers of one convolution each, at strides 4, 8 and 16."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> dict[str, Array]:
        self.variable("batch_stats", "mean", lambda: jnp.zeros(2))
        found = {}
        for i, stride in enumerate((4, 2, 2)):
            x = jnp.tanh(nn.Conv(6, (stride, stride), (stride, stride), name=f"layer{i + 1}")(x))
            found[f"layer{i + 1}"] = x
        return found


BACKBONE = Backbone("layers", Layers(), lambda x: x, 16, {f"layer{i + 1}": Stage(4 * 2**i, 6) for i in range(3)})
Set = Callable[[Any, str, Any], None]


@functools.cache
def variables() -> Any:
    """Weights of ``BACKBONE``."""
    return jax.tree.map(np.asarray, jax.jit(Layers().init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3))))


class Marks(nn.Module):
    """A network of one convolution, with a running statistic."""

    out: int

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        ran = self.variable("batch_stats", "mean", lambda: jnp.zeros(()))
        if train:
            ran.value = 0.9 * ran.value + 0.1 * x.mean()
        return nn.Conv(self.out, (3, 3))(x - ran.value)


def damaged_pictures(keys: Array, pictures: Array, textures: Array, shares: Any) -> DamagedPictures:
    """A square of texture at a drawn height."""
    rows = jnp.arange(pictures.shape[1])
    first = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(rows)))(keys)
    mask = (rows[None, :, None] >= first[:, None, None]) & (rows[None, None, :] < 9)
    return DamagedPictures(pictures, jnp.where(mask[..., None], textures[:1] / 255.0, pictures), mask)


def small_pair(put: Set = setattr) -> None:
    """Put two convolutions in the place of DRAEM's networks, and plain squares in that of its damage."""
    put(draem, "pair_of", lambda m: NetworkPair(Marks(3), Marks(2)))  # type: ignore[arg-type]
    put(draem, "damaged_pictures", damaged_pictures)


class Noise(nn.Module):
    """A noise predictor of one convolution."""

    @nn.compact
    def __call__(self, x: Array, t: Array) -> Array:
        return nn.Conv(3, (3, 3))(x) + self.param("late", nn.initializers.ones, ()) * t[:, None, None, None] / 1000


class Halves(nn.Module):
    """An autoencoder that means over squares of two by two and repeats them, with a bias."""

    fold = 2

    def setup(self) -> None:
        self.shift = self.param("shift", nn.initializers.constant(0.1), ())

    def encode(self, x: Array) -> Posterior:
        mean = nn.avg_pool(jnp.concatenate([x, x[..., :1]], -1), (2, 2), (2, 2)) + self.shift
        return Posterior(mean, jnp.full_like(mean, -4.0))

    def decode(self, z: Array) -> Array:
        return z[..., :3].repeat(2, 1).repeat(2, 2) - self.shift

    def __call__(self, x: Array, noise: Array, train: bool = False) -> tuple[Array, Posterior]:
        return self.decode(self.encode(x).sample(noise)), self.encode(x)


class LatentNoise(nn.Module):
    """A noise predictor of one convolution, of latents and conditions."""

    @nn.compact
    def __call__(self, x: Array, t: Array) -> Array:
        return nn.Conv(4, (3, 3))(x) + t[:, None, None, None] / 1000


def small_latent(put: Set = setattr) -> None:
    """The same for DiffAD."""
    networks = LatentNetworks(Halves(), LatentNoise(), Marks(2))  # type: ignore[arg-type]
    put(diffad, "latent_networks", lambda m, dropout=0.0: networks)
    put(diffad, "damaged_pictures", damaged_pictures)


def marked_pictures(keys: Array, pictures: Array, foregrounds: Array, textures: Array, **how: Any) -> MarkedPictures:
    """A square of texture at a drawn height, on the foreground of every second key."""
    made = damaged_pictures(keys, pictures, textures, None)
    mask = made.mask * foregrounds * jax.vmap(jax.random.bernoulli)(keys)[:, None, None]
    return MarkedPictures(jnp.where(mask[..., None] > 0, made.damaged, pictures), mask, mask.sum((1, 2)) > 0)


def small_guided(put: Set = setattr) -> None:
    """The same for DiffusionAD."""
    put(diffusionad, "guided_networks", lambda *of: GuidedNetworks(Noise(), Marks(1)))  # type: ignore[arg-type]
    put(diffusionad, "marked_pictures", marked_pictures)


def small_inpainting(put: Set = setattr) -> None:
    """Put a convolution in the place of RIAD's network."""
    put(riad, "inpainting_network", lambda m: Marks(3))


def small_predictor(put: Set = setattr) -> None:
    """Put the small noise predictor in the place of the U-Net, and its student; ``put``: ``monkeypatch.setattr``."""
    put(noise_predictor, "init_params", init_params)
    put(noise_predictor, "train_apply", lambda unet: predict)
    for module in (criteria, extractor, grids, evidence, lessons):
        put(module, "eps_fn", eps_fn)
    put(ddad_student, "init_student", init_student)
    for module in (ddad_student, evidence):
        put(module, "student_apply", lambda student: student_predict)


def small_backbone(put: Set = setattr) -> None:
    """Put the small feature extractor in the place of the configured one."""
    for module in (criteria, extractor, evidence, memory, protocol_check):
        put(module, "build_backbone", lambda c: BACKBONE)
    for module in (extractor, pipeline, memory_method, protocol_check):
        put(module, "load_backbone", lambda name, path: variables())
