"""DRAEM behind the seam: a network that removes damage, and one that marks it beside what the first one made of it.

Both learn on pictures that are damaged on the fly (``ddad_jax/synthetic``); no defect is seen.

Source: Zavrtanik et al. 2021, "DRAEM", and the published code; the white rectangle ("cutout") from a thesis on line
clearance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax import draem as core
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.damage import (
    DamageSettings,
    damage_doubts,
    need_shares,
    shares_of,
    texture_columns,
    texture_words,
    textures_of,
)
from ddad_jax.engine.methods.marks import Marked, MarkScoreSettings, judged_marks
from ddad_jax.engine.methods.point import SIGMA_STEP, SearchableSetting
from ddad_jax.engine.methods.trained.method import Networks, TrainedMethod, millions
from ddad_jax.engine.methods.trained.sections import NetworkTrainingSettings
from ddad_jax.engine.settings.need import Need
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.sections import LABEL_FREE, Settings, SweepSettings
from ddad_jax.engine.settings.setting import DTYPE, TEXT, one_of, setting, swept, whole_number
from ddad_jax.engine.settings.training import BATCH, DeviceSettings
from ddad_jax.plain_autoencoder import PlainAutoencoder
from ddad_jax.segmentation_unet import FOLDS, SegmentationUNet, damage_probability
from ddad_jax.synthetic.blending import damaged_pictures
from ddad_jax.types import Array, Variables

_WIDTH = whole_number(1, 1024)


MIRRORED: dict[str, tuple[tuple[int, ...], ...]] = {
    "": ((),),
    "h": ((), (2,)),
    "v": ((), (1,)),
    "hv": ((), (2,), (1,), (1, 2)),
}
"""Name -> the axes along which pictures [b, h, w, c] are turned over, for each view of them."""


class Views(NamedTuple):
    """Another value is another pass over the pictures. Fields: as in ``DRAEMOwnSettings``."""

    mirrored: str = ""
    seed: int = 0


@dataclass(frozen=True)
class DRAEMOwnSettings(Section):
    """How the trained networks are asked."""

    origin: str = setting(LABEL_FREE, TEXT, "how its values were come by, as the report says it")
    mirrored: str = setting(
        "", one_of(*MIRRORED), "h, v, hv: a map is the mean over the picture and its mirror images, which "
        "cost as much each; published none",
    )  # fmt: skip
    batch_size: int = setting(16, BATCH, "pictures in one call")


@dataclass(frozen=True)
class NetworkPairSettings(Section):
    """The two networks."""

    reconstructive: int = setting(128, _WIDTH, "channels of the first level of the one that removes damage")
    discriminative: int = setting(64, _WIDTH, "channels of the first level of the one that marks it")
    patch: int = setting(
        1,
        whole_number(1, 8),
        "side of the squares of pixels that become channels; published 1; 2 costs about a quarter",
    )
    dtype: str = setting("float32", DTYPE, "| bfloat16, for GPUs and TPUs: of their inside; statistics stay float32")


@dataclass(frozen=True)
class PairTrainingSettings(NetworkTrainingSettings):
    """The training of both networks."""

    ssim_range: str = setting(
        "unit", one_of("unit", "batch"), "of values in the structural similarity; | batch: read off the "
        "reconstructions of a batch, as published",
    )  # fmt: skip


@dataclass(frozen=True)
class MarkSweepSettings(SweepSettings):
    """What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    alone."""

    mirrored: tuple[str, ...] = swept(DRAEMOwnSettings, "mirrored")
    window: tuple[int, ...] = swept(MarkScoreSettings, "window")
    sigma: tuple[float, ...] = swept(MarkScoreSettings, "sigma")


@dataclass(frozen=True)
class DRAEMSettings(Settings):
    """Of a run of DRAEM: the published sizes, and an average of the weights in the place of falling rates."""

    method: str = setting("draem", TEXT, "what is learnt, and what it measures; the sections of a config are its own")
    draem: DRAEMOwnSettings = DRAEMOwnSettings()
    model: NetworkPairSettings = NetworkPairSettings()
    damage: DamageSettings = DamageSettings()
    train: PairTrainingSettings = PairTrainingSettings()
    device: DeviceSettings = DeviceSettings()
    score: MarkScoreSettings = MarkScoreSettings()
    sweep: MarkSweepSettings = MarkSweepSettings()


def pair_of(m: NetworkPairSettings) -> core.NetworkPair:
    how: Any = {"dtype": jnp.dtype(m.dtype), "patch": m.patch}
    return core.NetworkPair(PlainAutoencoder(m.reconstructive, **how), SegmentationUNet(m.discriminative, **how))


class DRAEM(TrainedMethod):
    """``method.Method``."""

    name, title, settings = "draem", "DRAEM", DRAEMSettings
    costly, cheap = Views, Marked
    trained_with: Mapping[str, tuple[str, ...]] = {"train": ("model", "damage")}
    figures: Mapping[str, tuple[str, ...]] = {"train": core.Losses._fields}
    axes: Mapping[str, SearchableSetting] = {
        "window": SearchableSetting("score.window", 3, 41, step=2, whole=True),
        "sigma": SearchableSetting("score.sigma", 0.0, 12.0, step=SIGMA_STEP),
    }
    searched = ("window", "sigma")
    printed = ("mirrored", "window", "sigma")

    # --- Settings

    def together(self, c: DRAEMSettings, need: Need) -> None:
        super().together(c, need)
        side = FOLDS * c.model.patch
        near = max(1, round(c.data.size / side)) * side
        fits = f"a multiple of {side} with model.patch = {c.model.patch}, such as {near}"
        need("data.size", c.data.size % side == 0, fits, ["model.patch"])
        need_shares(c.damage, need)

    def doubts(self, c: DRAEMSettings) -> list[str]:
        return [*super().doubts(c), *damage_doubts(c.damage)]

    # --- The mathematics

    def init(self, c: DRAEMSettings, stage: str, key: Array) -> Variables:
        return core.init_networks(pair_of(c.model), key, (c.data.size, c.data.size))

    def materials(self, c: DRAEMSettings, stage: str, data: Data) -> dict[str, Any]:
        return {"textures": textures_of(c.damage, c.data.size, c.seed)}

    def _losses(
        self, c: DRAEMSettings, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array, *, train: bool
    ) -> tuple[core.Losses, core.Pass]:
        pictures = damaged_pictures(keys, (x + 1.0) / 2.0, given["textures"], shares_of(c.damage))
        passed = core.forward(pair_of(c.model), variables, pictures.damaged, train=train)
        # Read off a batch, a range would make a held-out picture's loss depend on its batch mates.
        ssim_range = c.train.ssim_range if train else "unit"
        return core.losses(passed, pictures.clean, pictures.mask, ssim_range=ssim_range), passed

    def loss(
        self, c: DRAEMSettings, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, key: Array
    ) -> tuple[Array, tuple[dict[str, Array], dict[str, Any]]]:
        of, passed = self._losses(c, variables, given, x, jax.random.split(key, len(x)), train=True)
        parts = {name: value.mean() for name, value in of._asdict().items()}
        return jnp.stack([*parts.values()]).sum(), (parts, {"batch_stats": passed.batch_stats})

    def validation(
        self, c: DRAEMSettings, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array
    ) -> Array:
        of, _ = self._losses(c, variables, given, x, keys, train=False)
        return of.l2 + of.ssim + of.focal

    def _forward(self, c: DRAEMSettings, networks: Networks, x: Array) -> core.Pass:
        return core.forward(pair_of(c.model), networks["train"], (x + 1.0) / 2.0)

    def compare(self, c: DRAEMSettings, costly: Views, networks: Networks, x: Array, seeds: Array) -> Array:
        def seen(axes: tuple[int, ...]) -> Array:
            logits = self._forward(c, networks, jnp.flip(x, axes)).logits
            return jnp.flip(damage_probability(logits), axes)

        return jnp.stack([seen(axes) for axes in MIRRORED[costly.mirrored]]).mean(0)

    def judge(self, evidence: Array, cheap: Marked, size: tuple[int, int]) -> tuple[Array, Array]:
        return judged_marks(evidence, cheap, size[0])

    def reconstruction(self, c: DRAEMSettings, costly: Views, networks: Networks, x: Array, seeds: Array) -> Array:
        return 2.0 * self._forward(c, networks, x).reconstruction - 1.0

    # --- Told

    def columns(self, c: DRAEMSettings) -> dict[str, Any]:
        return texture_columns(c.damage)

    def described(self, c: DRAEMSettings, networks: Networks) -> str:
        return (
            f"{millions(networks['train']):.2f} million parameters, base {c.model.reconstructive} (removes damage) and "
            f"{c.model.discriminative} (marks it), at {c.data.size} px; {texture_words(c.damage)}"
        )

    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
        return (
            f"DRAEM learnt from {n_train} pictures of good parts ({subject}) that were damaged on purpose, with "
            "foreign textures; it has never seen a real defect. One network removes damage, another sees the picture "
            "beside the repaired one and marks, pixel by pixel, what was damaged: that is the anomaly map. The largest "
            "mean of the marks in a small square is the picture's score (the map's highest value, where maps are "
            "masked, cropped or measured in their normal spread)."
        )
