"""DiffusionAD behind the seam: a guided one-step prediction of a diffusion model, and a network that marks where the
picture differs from it.

Both learn on pictures that are damaged on the fly; no defect is seen.

Source: Zhang et al. 2023, "DiffusionAD", and the published code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ddad_jax import diffusionad as core
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.damage import TextureSettings, texture_columns, texture_words, textures_of
from ddad_jax.engine.methods.ddad.checks import need_unet
from ddad_jax.engine.methods.point import SIGMA_STEP, SearchableSetting
from ddad_jax.engine.methods.trained.method import Networks, TrainedMethod, millions
from ddad_jax.engine.methods.trained.sections import NetworkTrainingSettings, TrainedScoreSettings
from ddad_jax.engine.settings.need import Need, values_at
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.sections import LABEL_FREE, Settings, SweepSettings
from ddad_jax.engine.settings.setting import (
    COUNT,
    DTYPE,
    TEXT,
    above,
    none_or_more,
    number,
    one_of,
    setting,
    swept,
    tuple_of,
    whole_number,
)
from ddad_jax.engine.settings.training import BATCH, DeviceSettings
from ddad_jax.image import gaussian_blur
from ddad_jax.pair_program import pair_keys
from ddad_jax.sampler import noise_of
from ddad_jax.schedule import T, alpha_bar_table
from ddad_jax.segmentation_unet import FOLDS, SegmentationUNet
from ddad_jax.synthetic.foreground_damage import marked_pictures
from ddad_jax.synthetic.shapes import object_map
from ddad_jax.types import Array, Variables
from ddad_jax.unet import UNet

_SHARE = number(0, 1, "a share from 0 to 1")
_WIDTH = whole_number(1, 1024)
_TIME = whole_number(0, T - 1, f"0 to {T - 1}")


class Guided(NamedTuple):
    """Another value is another pass over the pictures. Fields: as in ``DiffusionADOwnSettings``."""

    w: float = 1.0
    t: int = 200
    t_noisier: int = 400
    draws: int = 1
    seed: int = 0


class MarkedPixels(NamedTuple):
    """From marks to maps and scores. Fields: as in ``PixelScoreSettings``; sigma: in pixels."""

    top: int = 50
    sigma: float = 0.0
    standardise: bool = False
    mask_after: bool = False


@dataclass(frozen=True)
class DiffusionADOwnSettings(Section):
    """How the trained networks are asked."""

    origin: str = setting(LABEL_FREE, TEXT, "how its values were come by, as the report says it")
    w: float = setting(1.0, number(0), "of the blend towards the prediction from t_noisier; published 1")
    t: int = setting(200, _TIME, "of the prediction that is compared; published 200")
    t_noisier: int = setting(400, _TIME, "of the one that has forgotten defects; published 400")
    draws: int = setting(1, COUNT, "of noise, whose marks are averaged; published 1")
    batch_size: int = setting(16, BATCH, "pictures in one call")


@dataclass(frozen=True)
class GuidedNetworkSettings(Section):
    """The two networks."""

    base: int = setting(128, _WIDTH, "channels of the noise predictor's first level; published 128")
    channel_mult: tuple[float, ...] = setting(
        (), tuple_of(above(0)), "of its levels; empty: the published table for the size"
    )
    res_blocks: int = setting(2, whole_number(1, 64), "a level, one more on the way up")
    attention_sizes: tuple[int, ...] = setting((32, 16, 8), tuple_of(_WIDTH), "of feature maps that have attention")
    heads: int = setting(4, _WIDTH, "of attention")
    patch: int = setting(1, _WIDTH, "side of the squares of pixels that become channels; published 1")
    groups: int = setting(32, whole_number(1, 2**16), "of its normalisations; published 32")
    segmentation: int = setting(64, _WIDTH, "channels of the first level of the one that marks; published 64")
    dtype: str = setting("float32", DTYPE, "| bfloat16, for GPUs and TPUs: of their inside; statistics stay float32")


@dataclass(frozen=True)
class ForegroundDamageSettings(TextureSettings):
    """What is done to the pictures of a training."""

    share: float = setting(0.5, _SHARE, "of pictures that are damaged; published 0.5")
    own: float = setting(
        0.5,
        _SHARE,
        "of these, whose texture is the picture itself, shuffled; published 0.5 for objects, 0 for textures",
    )
    foreground: str = setting(
        "object", one_of("object", "all"), "where damage lies: on the one thing in a picture, where there is one; "
        "| all: anywhere. Published: masks of a foreign network",
    )  # fmt: skip


@dataclass(frozen=True)
class GuidedTrainingSettings(NetworkTrainingSettings):
    """The training of both networks."""

    clip_norm: float = setting(1.0, number(0), "of the gradient of all parameters; 0: none, as published")
    t_split: int = setting(300, whole_number(1, T - 1), "times are drawn below it and from it on; published 300")
    marks: float = setting(1.0, above(0, 1e3), "rate of the network that marks, in learning rates; published 0.1")
    swing: int = setting(
        0, none_or_more("no swing"), "updates in which that rate falls to 0, and as many in which it rises again; "
        "published 10",
    )  # fmt: skip


@dataclass(frozen=True)
class PixelScoreSettings(TrainedScoreSettings):
    """From marks to a map, and to the picture's score."""

    top: int = setting(
        50, COUNT, "largest pixels whose mean is the picture's score, of those of a 256 px image; published 50"
    )


@dataclass(frozen=True)
class GuidedSweepSettings(SweepSettings):
    """What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    alone."""

    w: tuple[float, ...] = swept(DiffusionADOwnSettings, "w")
    t: tuple[int, ...] = swept(DiffusionADOwnSettings, "t")
    t_noisier: tuple[int, ...] = swept(DiffusionADOwnSettings, "t_noisier")
    draws: tuple[int, ...] = swept(DiffusionADOwnSettings, "draws")
    top: tuple[int, ...] = swept(PixelScoreSettings, "top")
    sigma: tuple[float, ...] = swept(PixelScoreSettings, "sigma")


@dataclass(frozen=True)
class DiffusionADSettings(Settings):
    """Of a run of DiffusionAD: the published sizes; one rate for both networks, and an average of the weights."""

    method: str = setting(
        "diffusionad", TEXT, "what is learnt, and what it measures; the sections of a config are its own"
    )
    diffusionad: DiffusionADOwnSettings = DiffusionADOwnSettings()
    model: GuidedNetworkSettings = GuidedNetworkSettings()
    damage: ForegroundDamageSettings = ForegroundDamageSettings()
    train: GuidedTrainingSettings = GuidedTrainingSettings()
    device: DeviceSettings = DeviceSettings()
    score: PixelScoreSettings = PixelScoreSettings()
    sweep: GuidedSweepSettings = GuidedSweepSettings()


def guided_networks(m: GuidedNetworkSettings, size: int, device: DeviceSettings) -> core.GuidedNetworks:
    names = ("base", "channel_mult", "res_blocks", "attention_sizes", "heads", "patch", "groups")
    dtype = jnp.dtype(m.dtype)
    how: Any = {name: m[name] for name in names} | {"attention": device.attention, "remat": device.remat}
    return core.GuidedNetworks(UNet(size, dtype=dtype, **how), SegmentationUNet(m.segmentation, 1, dtype=dtype))


class DiffusionAD(TrainedMethod):
    """``method.Method``."""

    name, title, settings = "diffusionad", "DiffusionAD", DiffusionADSettings
    costly, cheap = Guided, MarkedPixels
    traced = ("w", "t", "t_noisier", "seed")
    trained_with: Mapping[str, tuple[str, ...]] = {"train": ("model", "damage")}
    figures: Mapping[str, tuple[str, ...]] = {"train": core.GuidedLosses._fields}
    axes: Mapping[str, SearchableSetting] = {
        "w": SearchableSetting("diffusionad.w", 0.0, 3.0, costly=True),
        "t": SearchableSetting("diffusionad.t", 25, 299, step=25, whole=True, costly=True),
        "t_noisier": SearchableSetting("diffusionad.t_noisier", 300, 700, step=25, whole=True, costly=True),
        "top": SearchableSetting("score.top", 1, 500, step=1, whole=True),
        "sigma": SearchableSetting("score.sigma", 0.0, 12.0, step=SIGMA_STEP),
    }
    searched = ("w", "t", "t_noisier", "top", "sigma")
    printed = ("w", "t", "t_noisier", "draws", "top", "sigma")

    # --- Settings

    def together(self, c: DiffusionADSettings, need: Need) -> None:
        super().together(c, need)
        fits = f"a multiple of {FOLDS}, such as {max(1, round(c.data.size / FOLDS)) * FOLDS}"
        need("data.size", c.data.size % FOLDS == 0, fits)
        need_unet(c.model, c.data.size, need)
        at = max((*values_at(c, "diffusionad.t"), *values_at(c, "sweep.t")))
        later = min((*values_at(c, "diffusionad.t_noisier"), *values_at(c, "sweep.t_noisier")))
        of = ["diffusionad.t", "sweep.t", "sweep.t_noisier"]
        need("diffusionad.t_noisier", later > at, f"later than every diffusionad.t, {at} (sweeps included)", of)

    def doubts(self, c: DiffusionADSettings) -> list[str]:
        nothing = ["--config.damage.share=0.0: no picture is damaged, so nothing is learnt to be marked"]
        return [*super().doubts(c), *([] if c.damage.share else nothing)]

    def random(self, costly: Guided) -> bool:
        return True

    # --- The mathematics

    def _networks(self, c: DiffusionADSettings) -> core.GuidedNetworks:
        return guided_networks(c.model, c.data.size, c.device)

    def init(self, c: DiffusionADSettings, stage: str, key: Array) -> Variables:
        return core.init_guided(self._networks(c), key, (c.data.size, c.data.size))

    def materials(self, c: DiffusionADSettings, stage: str, data: Data) -> dict[str, Any]:
        return {"textures": textures_of(c.damage, c.data.size, c.seed)}

    def shown(self, c: DiffusionADSettings, stage: str, images: np.ndarray) -> np.ndarray:
        """The foreground as a fourth channel."""
        if c.damage.foreground == "all":
            return images
        maps = np.stack([object_map(image.astype(np.float32)) for image in images])
        return np.concatenate([images, np.uint8(255) * maps[..., None]], -1, dtype=np.uint8)

    def scaled(self, c: DiffusionADSettings, stage: str) -> optax.GradientTransformation | None:
        if c.train.marks == 1 and not c.train.swing:
            return None

        def factor(count: Array) -> Array:
            turn = 0.5 * (1.0 + jnp.cos(jnp.pi * count / c.train.swing)) if c.train.swing else 1.0
            return jnp.asarray(c.train.marks * turn)

        def marking(updates: Any) -> Any:
            return {"params": {part: part == "segmentation" for part in updates["params"]}, "batch_stats": False}

        return optax.masked(optax.scale_by_schedule(factor), marking)

    def _losses(
        self, c: DiffusionADSettings, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array,
        *, train: bool,
    ) -> tuple[core.GuidedLosses, core.GuidedPass, Array]:  # fmt: skip
        """Of each picture, what passed, and which are damaged."""
        of_damage, of_noise, of_noisier, of_t, of_later = jax.vmap(lambda key: jax.random.split(key, 5))(keys).T
        foreground = (x[..., 3] + 1.0) / 2.0 if x.shape[-1] > 3 else jnp.ones(x.shape[:3])
        d, pictures = c.damage, (x[..., :3] + 1.0) / 2.0
        marked = marked_pictures(of_damage, pictures, foreground, given["textures"], share=d.share, own=d.own)
        noise, noisier = (jax.vmap(lambda key: jax.random.normal(key, x.shape[1:3] + (3,)))(k)
                          for k in (of_noise, of_noisier))  # fmt: skip
        t, later = (
            jax.vmap(lambda key, low=low, high=high: jax.random.randint(key, (), low, high))(k)
            for k, low, high in ((of_t, 0, c.train.t_split), (of_later, c.train.t_split, T))
        )
        draws = core.Draws(noise, noisier, t, later)
        passed = core.guided_forward(
            self._networks(c), variables, marked.pictures, draws, w=1.0, alpha_bar=_table(), train=train
        )
        return core.guided_losses(passed, draws, marked.mask), passed, marked.damaged

    def loss(
        self, c: DiffusionADSettings, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, key: Array
    ) -> tuple[Array, tuple[dict[str, Array], dict[str, Any]]]:
        of, passed, damaged = self._losses(c, variables, given, x, jax.random.split(key, len(x)), train=True)
        terms = core.batch_losses(of, damaged)
        return core.guided_total(terms), (terms._asdict(), {"batch_stats": passed.batch_stats})

    def validation(
        self, c: DiffusionADSettings, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array
    ) -> Array:
        of, _, damaged = self._losses(c, variables, given, x, keys, train=False)
        return core.guided_total(of._replace(noise=jnp.where(damaged, 0.0, of.noise)))

    def _passed(self, c: DiffusionADSettings, costly: Guided, networks: Networks, x: Array, seeds: Array, draw: Array
                ) -> core.GuidedPass:  # fmt: skip
        noise = noise_of(pair_keys(jnp.full_like(seeds, costly.seed), seeds), x.shape[1:])
        times = (jnp.full_like(seeds, t, jnp.int32) for t in (costly.t, costly.t_noisier))
        draws = core.Draws(noise(2 * draw), noise(2 * draw + 1), *times)
        return core.guided_forward(
            self._networks(c), networks["train"], (x + 1.0) / 2.0, draws, w=costly.w, alpha_bar=_table()
        )

    def compare(self, c: DiffusionADSettings, costly: Guided, networks: Networks, x: Array, seeds: Array) -> Array:
        def marks(draw: Array) -> Array:
            return jax.nn.sigmoid(self._passed(c, costly, networks, x, seeds, draw).logits)

        return jax.lax.map(marks, jnp.arange(costly.draws)).mean(0)

    def judge(self, evidence: Array, cheap: MarkedPixels, size: tuple[int, int]) -> tuple[Array, Array]:
        maps = gaussian_blur(evidence, cheap.sigma) if cheap.sigma else evidence
        return maps, core.top_mean(evidence, max(1, round(cheap.top * size[0] * size[1] / 256**2)))

    def reconstruction(self, c: DiffusionADSettings, costly: Guided, networks: Networks, x: Array, seeds: Array
                       ) -> Array:  # fmt: skip
        return 2.0 * self._passed(c, costly, networks, x, seeds, jnp.zeros((), jnp.int32)).guided.x0 - 1.0

    # --- Told

    def columns(self, c: DiffusionADSettings) -> dict[str, Any]:
        return texture_columns(c.damage)

    def described(self, c: DiffusionADSettings, networks: Networks) -> str:
        bases = f"base {c.model.base} (predicts) and {c.model.segmentation} (marks), at {c.data.size} px"
        return f"{millions(networks['train']):.2f} million parameters, {bases}; {texture_words(c.damage)}"

    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
        return (
            f"DiffusionAD learnt from {n_train} pictures of good parts ({subject}) that were damaged on purpose, with "
            "foreign textures and with shuffled pieces of themselves; it has never seen a real defect. It puts noise "
            "on a picture and predicts in one step what is under it, pulled towards a second prediction from much more "
            "noise, which has forgotten the defect. Another network sees the picture beside that prediction and marks, "
            "pixel by pixel, what was damaged: that is the anomaly map. The mean of its largest pixels is the "
            "picture's score (the map's highest value, where maps are masked, cropped or measured in their normal "
            "spread)."
        )


def _table() -> Array:
    return jnp.asarray(alpha_bar_table())
