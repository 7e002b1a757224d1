"""PaDiM behind the seam: one Gaussian at each position of normal pictures, and how far a position is from its own.

Source: Defard et al. 2021, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ddad_jax import padim as core
from ddad_jax.embedding import channel_choice, patch_descriptors, position_embedding
from ddad_jax.engine.methods.memory.method import MemoryMethod
from ddad_jax.engine.methods.memory.sections import (
    BATCH,
    PATCH,
    MapScoreSettings,
)
from ddad_jax.engine.methods.point import SIGMA_STEP, SearchableSetting
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.sections import LABEL_FREE, SEEDS, Settings, SweepSettings
from ddad_jax.engine.settings.setting import LAYERS, TEXT, number, one_of, setting, swept, whole_number
from ddad_jax.errors import InputError
from ddad_jax.patch_map import patch_map
from ddad_jax.types import Array

MOST_BYTES = 2**33
"""Of the matrices of all positions, which scoring holds, too."""


class Gaussians(NamedTuple):
    """Another value is another Gaussian at each position. Fields: as in ``GaussianSettings``."""

    layers: tuple[str, ...] = ("layer2", "layer3")
    embedding: str = "patches"
    patch: int = 3
    channels: int = 0
    share: float = core.SHARE
    regularisation: float = 0.0
    seed: int = 0


class Blur(NamedTuple):
    """From distances to maps. Fields: as in ``MapScoreSettings``; sigma: in pixels."""

    sigma: float = 4.0
    repeat_edge: bool = False
    standardise: bool = False
    mask_after: bool = False


ORIGIN = f"{LABEL_FREE}, but for the embedding, which was settled with results on a part of MVTec AD in view"


@dataclass(frozen=True)
class GaussianSettings(Section):
    """The Gaussians that a verdict uses."""

    origin: str = setting(ORIGIN, TEXT, "how its values were come by, as the report says it")
    layers: tuple[str, ...] = setting(
        ("layer2", "layer3"), LAYERS,
        "of the backbone; the first sets the grid of positions; published layer1, layer2, layer3",
    )  # fmt: skip
    embedding: str = setting(
        "patches", one_of("patches", "positions"),
        "of a position: means of its neighbourhood; | positions: itself alone, coarser layers repeated, as published",
    )  # fmt: skip
    patch: int = setting(3, PATCH, "side of that neighbourhood in positions, with embedding = patches")
    channels: int = setting(
        0, whole_number(0, 2**14, "0 (all) or a number of channels"),
        "so many of all, drawn by sweep.seed; 0: all; published 100 of 448 and 550 of 1792",
    )  # fmt: skip
    share: float = setting(
        core.SHARE, number(0, 1e3), "of the mean variance, added to every variance; without regularisation"
    )
    regularisation: float = setting(
        0.0, number(0), "added to every variance in the place of that share; 0: the share; published 0.01"
    )
    batch_size: int = setting(16, BATCH, "pictures in one call")


@dataclass(frozen=True)
class GaussianSweepSettings(SweepSettings):
    """What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    alone."""

    layers: tuple[tuple[str, ...], ...] = swept(GaussianSettings, "layers")
    embedding: tuple[str, ...] = swept(GaussianSettings, "embedding")
    patch: tuple[int, ...] = swept(GaussianSettings, "patch")
    channels: tuple[int, ...] = swept(GaussianSettings, "channels")
    share: tuple[float, ...] = swept(GaussianSettings, "share")
    regularisation: tuple[float, ...] = swept(GaussianSettings, "regularisation")
    seed: tuple[int, ...] = setting(
        (0,), SEEDS, "of the channels that are drawn, by Python's own generator; published 1024"
    )
    sigma: tuple[float, ...] = swept(MapScoreSettings, "sigma")
    repeat_edge: tuple[bool, ...] = swept(MapScoreSettings, "repeat_edge")


@dataclass(frozen=True)
class PaDiMSettings(Settings):
    """Of a run of PaDiM: defaults that see more of a neighbourhood than the published ones."""

    method: str = setting("padim", TEXT, "what is learnt, and what it measures; the sections of a config are its own")
    padim: GaussianSettings = GaussianSettings()
    score: MapScoreSettings = MapScoreSettings()
    sweep: GaussianSweepSettings = GaussianSweepSettings()


class PaDiM(MemoryMethod):
    """``method.Method``."""

    name, title, settings = "padim", "PaDiM", PaDiMSettings
    costly, cheap, view = Gaussians, Blur, ("layers", "embedding", "patch", "channels", "seed")
    axes: Mapping[str, SearchableSetting] = {"sigma": SearchableSetting("score.sigma", 0.0, 12.0, step=SIGMA_STEP)}
    searched = ("sigma",)
    printed = ("layers", "embedding", "share", "sigma")

    def doubts(self, c: PaDiMSettings) -> list[str]:
        if not c.data.picture:
            return []
        return [
            f"--config.data.picture={tuple(c.data.picture)}: PaDiM has one Gaussian for the same place of all tiles, "
            "which shows another part of the object in each; PatchCore (folder.py:patchcore) knows no places"
        ]

    def random(self, costly: Gaussians) -> bool:
        return costly.channels > 0

    def embed(self, costly: Gaussians, features: Mapping[str, Array]) -> Array:
        total = sum(features[layer].shape[-1] for layer in costly.layers)
        channels = None
        if costly.channels:
            try:
                channels = channel_choice(total, costly.channels, seed=costly.seed)
            except InputError as error:
                raise InputError(f"--config.padim.channels={costly.channels}: {error}") from None
        if costly.embedding == "positions":
            return position_embedding(features, costly.layers, None if channels is None else channels.tolist())
        vectors = patch_descriptors(features, costly.layers, patch=costly.patch)
        return vectors if channels is None else vectors[..., channels]

    def remember(
        self, costly: Gaussians, shape: tuple[int, int, int, int], batches: Iterable[tuple[Array, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        _, h, w, d = shape
        if 4 * h * w * d * d > MOST_BYTES:
            raise InputError(
                f"--config.padim.channels={costly.channels}: the Gaussians of {h} x {w} positions in {d} channels take "
                f"{4 * h * w * d * d / 2**30:.1f} GiB; expected at most {MOST_BYTES / 2**30:g}: keep fewer channels, "
                "or --config.padim.layers that begin with a coarser one"
            )
        moments = core.no_pictures((h, w, d))
        for vectors, valid in batches:
            # Of several devices to the one that the sums are on.
            moments = core.add(moments, jnp.asarray(np.asarray(vectors)), jnp.asarray(valid))
        fitted = core.fitted(moments, regularisation=costly.regularisation or None, share=costly.share)
        return {"mean": np.asarray(fitted.mean), "whiten": np.asarray(fitted.whiten)}

    def compare(self, costly: Gaussians, memory: Mapping[str, Array], vectors: Array, seeds: Array) -> Array:
        return core.mahalanobis(core.Gaussian(memory["mean"], memory["whiten"]), vectors)

    def judge(self, evidence: Array, cheap: Blur, size: tuple[int, int]) -> tuple[Array, None]:
        return patch_map(evidence, size, sigma=cheap.sigma, repeat_edge=cheap.repeat_edge), None

    def described(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        h, w, d = shapes["mean"]
        return f"a Gaussian at each of {h} x {w} positions, in {d} channels"

    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
        return (
            f"PaDiM knows from {n_train} pictures of good parts ({subject}) how the features of a trained network are "
            "distributed at each place; it has never seen a defect, and nothing was trained. Where a test picture is "
            "many spreads away from what is usual at that place, the anomaly map is bright; its highest value is the "
            "picture's score. Parts must lie alike in all pictures."
        )
