"""PatchCore behind the seam: a bank of patch descriptors of normal pictures, and the distance to the nearest of them.

Source: Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection", and the published code.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from ddad_jax import patchcore as core
from ddad_jax.coreset import coreset_size, drawn_evenly, from_middle, from_starts, random_projection
from ddad_jax.embedding import patch_descriptors
from ddad_jax.engine.methods.memory.method import MemoryMethod
from ddad_jax.engine.methods.memory.sections import (
    BATCH,
    PATCH,
    MapScoreSettings,
)
from ddad_jax.engine.methods.point import SIGMA_STEP, SearchableSetting
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.sections import LABEL_FREE, SEEDS, Settings, SweepSettings
from ddad_jax.engine.settings.setting import BOOL, LAYERS, TEXT, Range, is_real, one_of, setting, swept, whole_number
from ddad_jax.patch_map import patch_map
from ddad_jax.types import Array

MOST_NEAR = 9
"""Nearest rows that evidence keeps, of a patch and around the worst one: as many as paper and published runs want."""
STARTS = 10
"""Rows drawn to begin from, as published."""

CANDIDATES = core.MOST_ROWS - 64
"""Rows at most that the bank is chosen among; drawn evenly over all pictures where there are more.
Deviation: the published code chooses among all, however many there are."""

_SHARE = Range(lambda v: is_real(v) and 0 < v <= 1, "a share above 0, at most 1, published 0.1 or 0.01")
_NEAR = whole_number(1, MOST_NEAR)


class Bank(NamedTuple):
    """Another value is another bank. Fields: as in ``PatchCoreSettings``."""

    layers: tuple[str, ...] = ("layer2", "layer3")
    patch: int = 3
    width: int = 0
    share: float = 0.01
    most: int = 4096
    start: str = "middle"
    projection: int = 0
    seed: int = 0


class Nearness(NamedTuple):
    """How a bank's distances become maps and scores. Fields: as in ``NearnessSettings``; sigma: in pixels."""

    neighbours: int = 1
    support: int = 1
    squared: bool = False
    sigma: float = 4.0
    repeat_edge: bool = False
    standardise: bool = False
    mask_after: bool = False


@dataclass(frozen=True)
class BankSettings(Section):
    """The bank of patch descriptors that a verdict uses."""

    origin: str = setting(LABEL_FREE, TEXT, "how its values were come by, as the report says it")
    layers: tuple[str, ...] = setting(
        ("layer2", "layer3"), LAYERS, "of the backbone; the first sets the grid of patches; published layer2, layer3"
    )
    patch: int = setting(3, PATCH, "side of the neighbourhood that a descriptor sees, in positions; published 3")
    width: int = setting(
        0, whole_number(0, 2**14, "0 (the plain mean of a neighbourhood) or a number of numbers"),
        "numbers that each layer, and then all, are pooled to; 0: means, channel by channel; published 1024",
    )  # fmt: skip
    share: float = setting(0.01, _SHARE, "of the normal patches that the bank keeps; published 0.1 and 0.01")
    most: int = setting(4096, whole_number(1, core.MOST_ROWS // 2), "rows at most; published without limit")
    start: str = setting(
        "middle", one_of("middle", "starts"),
        "where the choice of rows begins: the one nearest the mean; | starts: the mean distance to ten at random, as "
        "published",
    )  # fmt: skip
    projection: int = setting(
        0, whole_number(0, 2**14, "0 (none) or a number of dimensions"),
        "dimensions in which rows are chosen, for speed; 0: their own; published 128",
    )  # fmt: skip
    batch_size: int = setting(16, BATCH, "pictures in one call")


@dataclass(frozen=True)
class NearnessSettings(MapScoreSettings):
    """From the distances of patches to the nearest rows of the bank to a map, and to the picture's score."""

    neighbours: int = setting(1, _NEAR, "nearest rows whose mean distance is a patch's; published 1, 3 and 5")
    support: int = setting(
        1, _NEAR, "rows around the one nearest to the worst patch, that one included, by which a picture's score is "
        "re-weighted; 1: none, as in the published code; paper 9",
    )  # fmt: skip
    squared: bool = setting(False, BOOL, "distances are squared, as in the published code; paper False")


@dataclass(frozen=True)
class BankSweepSettings(SweepSettings):
    """What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    alone."""

    layers: tuple[tuple[str, ...], ...] = swept(BankSettings, "layers")
    patch: tuple[int, ...] = swept(BankSettings, "patch")
    width: tuple[int, ...] = swept(BankSettings, "width")
    share: tuple[float, ...] = swept(BankSettings, "share")
    most: tuple[int, ...] = swept(BankSettings, "most")
    start: tuple[str, ...] = swept(BankSettings, "start")
    projection: tuple[int, ...] = swept(BankSettings, "projection")
    seed: tuple[int, ...] = setting((0,), SEEDS, "of random starts and projections")
    neighbours: tuple[int, ...] = swept(NearnessSettings, "neighbours")
    support: tuple[int, ...] = swept(NearnessSettings, "support")
    squared: tuple[bool, ...] = swept(NearnessSettings, "squared")
    sigma: tuple[float, ...] = swept(NearnessSettings, "sigma")
    repeat_edge: tuple[bool, ...] = swept(NearnessSettings, "repeat_edge")


@dataclass(frozen=True)
class PatchCoreSettings(Settings):
    """Of a run of PatchCore: defaults of few rows, for two CPU cores."""

    method: str = setting(
        "patchcore", TEXT, "what is learnt, and what it measures; the sections of a config are its own"
    )
    patchcore: BankSettings = BankSettings()
    score: NearnessSettings = NearnessSettings()
    sweep: BankSweepSettings = BankSweepSettings()


class PatchCore(MemoryMethod):
    """``method.Method``."""

    name, title, settings = "patchcore", "PatchCore", PatchCoreSettings
    costly, cheap, view = Bank, Nearness, ("layers", "patch", "width")
    axes: Mapping[str, SearchableSetting] = {
        "neighbours": SearchableSetting("score.neighbours", 1, MOST_NEAR, whole=True),
        "support": SearchableSetting("score.support", 1, MOST_NEAR, whole=True),
        "sigma": SearchableSetting("score.sigma", 0.0, 12.0, step=SIGMA_STEP),
    }
    searched = ("neighbours", "sigma")
    printed = ("layers", "share", "neighbours", "sigma")

    def random(self, costly: Bank) -> bool:
        return costly.start == "starts" or costly.projection > 0

    def embed(self, costly: Bank, features: Mapping[str, Array]) -> Array:
        widths = (costly.width, costly.width) if costly.width else None
        return patch_descriptors(features, costly.layers, patch=costly.patch, widths=widths)

    def remember(
        self, costly: Bank, shape: tuple[int, int, int, int], batches: Iterable[tuple[Array, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        n_rows, d = int(np.prod(shape[:3])), shape[3]
        projection = None
        starts, across = jax.random.split(jax.random.key(costly.seed))
        if 0 < costly.projection < d:
            projection = random_projection(across, d, costly.projection)

        def anchor(rows: Array) -> Array:
            if costly.start == "middle":
                return from_middle(rows)
            return from_starts(rows, jax.random.choice(starts, len(rows), (min(STARTS, len(rows)),), replace=False))

        # A choice among all rows of a large set would take hours; what is drawn is one part in two or three.
        share, seen = min(1.0, CANDIDATES / n_rows), 0

        def rows() -> Iterator[np.ndarray]:
            nonlocal seen
            for vectors, valid in batches:
                new = np.asarray(vectors)[valid].reshape(-1, d)
                places, seen = np.arange(seen, seen + len(new)), seen + len(new)
                yield new[drawn_evenly(places, share)]

        n = coreset_size(n_rows, costly.share, costly.most)
        return {"bank": np.asarray(core.fit_patchcore(rows(), n, anchor=anchor, projection=projection))}

    def compare(self, costly: Bank, memory: Mapping[str, Array], vectors: Array, seeds: Array) -> core.Evidence:
        near = min(MOST_NEAR, len(memory["bank"]))
        return core.evidence(memory["bank"], vectors, k=near, support=near)

    def judge(self, evidence: core.Evidence, cheap: Nearness, size: tuple[int, int]) -> tuple[Array, Array]:
        k = min(cheap.neighbours, evidence.distances.shape[-1])  # a bank may have fewer rows
        scores = core.patch_scores(evidence.distances, k=k, squared=cheap.squared)
        maps = patch_map(scores, size, sigma=cheap.sigma, repeat_edge=cheap.repeat_edge)
        return maps, core.image_scores(scores, core.score_weights(evidence.around, cheap.support))

    def described(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        rows, d = shapes["bank"]
        return f"a bank of {rows} patches, {d} numbers each"

    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
        return (
            f"PatchCore remembers patches of {n_train} pictures of good parts ({subject}), as features of a trained "
            "network; it has never seen a defect, and nothing was trained. Where a patch of a test picture is far from "
            "all that it remembers, the anomaly map is bright; the distance of the farthest patch is the picture's "
            "score (the map's highest value, where maps are masked, cropped or measured in their normal spread)."
        )
