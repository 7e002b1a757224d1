"""RIAD behind the seam: a network that fills in what it is not shown, and how its pictures differ in their edges.

Source: Zavrtanik, Kristan and Skocaj 2021, "Reconstruction by inpainting for visual anomaly detection"; "published" is
the unofficial code, as its authors gave none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax import riad as core
from ddad_jax.engine.methods.point import SIGMA_STEP, SearchableSetting
from ddad_jax.engine.methods.trained.method import Networks, TrainedMethod, millions
from ddad_jax.engine.methods.trained.sections import NetworkTrainingSettings, TrainedScoreSettings
from ddad_jax.engine.settings.need import Need, values_at
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.sections import LABEL_FREE, SEEDS, Settings, SweepSettings
from ddad_jax.engine.settings.setting import (
    BOOL,
    DTYPE,
    TEXT,
    above,
    number,
    one_of,
    setting,
    swept,
    tuple_of,
    whole_number,
)
from ddad_jax.engine.settings.training import BATCH, DeviceSettings
from ddad_jax.gradient_similarity import SCALES
from ddad_jax.image import gaussian_blur
from ddad_jax.inpainting_unet import WIDTHS, InpaintingUNet
from ddad_jax.types import Array, Image, Variables

_CELLS = tuple_of(whole_number(1, 2**12, "sides of cells in pixels"), most=8)
_SPAN = above(0, 1e3)


class Masks(NamedTuple):
    """Another value is another pass over the pictures. Fields: as in ``InpaintingSettings``."""

    draws: int = 1
    weights: str = "mean"
    seed: int = 0


class Smoothing(NamedTuple):
    """From differences to maps. Fields: as in ``InpaintingScoreSettings``; sigma: in pixels."""

    sigma: float = 7.0
    repeat_edge: bool = False
    standardise: bool = False
    mask_after: bool = False


@dataclass(frozen=True)
class InpaintingSettings(Section):
    """How the trained network is asked."""

    origin: str = setting(LABEL_FREE, TEXT, "how its values were come by, as the report says it")
    draws: int = setting(
        1, whole_number(1, 64), "of the masks, over which the map is a mean; each costs as much as the first"
    )
    weights: str = setting(
        "mean", one_of("mean", "area"), "of the maps of each side of cells; | area: by that of a cell, as published"
    )
    batch_size: int = setting(
        4, BATCH, "pictures in one call, each 3 times for every side of cells (12 with four) and draw"
    )


@dataclass(frozen=True)
class InpaintingModelSettings(Section):
    """The network."""

    widths: tuple[int, ...] = setting(
        WIDTHS, tuple_of(whole_number(1, 2**12, "channels"), most=8), "channels of each level, from the picture's own"
    )
    cells: tuple[int, ...] = setting(
        core.CELLS, _CELLS, "sides of the cells that are blanked, in pixels: one of them a step, all of them at a test"
    )
    scales: int = setting(
        SCALES, whole_number(1, 8), "of the gradient similarity, each half the one before, in training and in maps"
    )
    span: float = setting(2.0, _SPAN, "of values, in both similarities; published 1, though pictures span 2")
    dtype: str = setting("float32", DTYPE, "| bfloat16, for GPUs and TPUs: of its inside; statistics stay float32")


@dataclass(frozen=True)
class InpaintingTrainingSettings(NetworkTrainingSettings):
    """The training of the network."""

    batch_size: int = setting(4, BATCH, "pictures, over all devices; each is seen three times")
    weight_decay: float = setting(1e-5, number(0), "L2 coupled to the gradient")
    together: bool = setting(
        True, BOOL, "the three masked copies are one batch, to normalisations, too; published False: three passes"
    )


@dataclass(frozen=True)
class InpaintingScoreSettings(TrainedScoreSettings):
    """From differences to a map, and to the picture's score."""

    sigma: float = setting(
        7.0, number(0, 256, "0 (no blur) to 256, in pixels of a picture of 256"),
        "of the map's blur, in pixels of a 256 px image; scaled with the size; published 7",
    )  # fmt: skip
    repeat_edge: bool = setting(
        False, BOOL, "the blur goes on beyond the border with the pixel there, not with the picture's mirror image; "
        "published True",
    )  # fmt: skip


@dataclass(frozen=True)
class InpaintingSweepSettings(SweepSettings):
    """What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    alone."""

    draws: tuple[int, ...] = swept(InpaintingSettings, "draws")
    weights: tuple[str, ...] = swept(InpaintingSettings, "weights")
    seed: tuple[int, ...] = setting((0,), SEEDS, "of the masks")
    sigma: tuple[float, ...] = swept(InpaintingScoreSettings, "sigma")
    repeat_edge: tuple[bool, ...] = swept(InpaintingScoreSettings, "repeat_edge")


@dataclass(frozen=True)
class RIADSettings(Settings):
    """Of a run of RIAD: the published sizes, masks drawn once for all pictures."""

    method: str = setting("riad", TEXT, "what is learnt, and what it measures; the sections of a config are its own")
    riad: InpaintingSettings = InpaintingSettings()
    model: InpaintingModelSettings = InpaintingModelSettings()
    train: InpaintingTrainingSettings = InpaintingTrainingSettings()
    device: DeviceSettings = DeviceSettings()
    score: InpaintingScoreSettings = InpaintingScoreSettings()
    sweep: InpaintingSweepSettings = InpaintingSweepSettings()


def inpainting_network(m: InpaintingModelSettings) -> InpaintingUNet:
    return InpaintingUNet(m.widths, dtype=jnp.dtype(m.dtype))


class RIAD(TrainedMethod):
    """``method.Method``."""

    name, title, settings = "riad", "RIAD", RIADSettings
    costly, cheap = Masks, Smoothing
    trained_with: Mapping[str, tuple[str, ...]] = {"train": ("model",)}
    figures: Mapping[str, tuple[str, ...]] = {"train": core.TERMS}
    axes: Mapping[str, SearchableSetting] = {"sigma": SearchableSetting("score.sigma", 0.0, 12.0, step=SIGMA_STEP)}
    searched = ("sigma",)
    printed = ("draws", "weights", "sigma")

    # --- Settings

    def together(self, c: RIADSettings, need: Need) -> None:
        super().together(c, need)
        size, levels = c.data.size, len(c.model.widths)
        for flag in ("model.cells", "model.widths"):
            need(flag, bool(values_at(c, flag)), "at least one")
        whole = all(size % side == 0 for side in c.model.cells)
        need("model.cells", whole, f"divisors of data.size = {size}", ["data.size"])
        step = 2 ** (levels - 1)
        need(
            "data.size", size % step == 0, f"a multiple of {step} for {levels} levels (model.widths)", ["model.widths"]
        )
        least = 3 * 2 ** (c.model.scales - 1)
        need("model.scales", size >= least, f"fewer: the last one of {size} px needs 3 pixels", ["data.size"])

    def random(self, costly: Masks) -> bool:
        return True

    # --- The mathematics

    def init(self, c: RIADSettings, stage: str, key: Array) -> Variables:
        return inpainting_network(c.model).init(key, jnp.zeros((1, c.data.size, c.data.size, 3)))

    def loss(
        self, c: RIADSettings, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, key: Array
    ) -> tuple[Array, tuple[dict[str, Array], dict[str, Any]]]:
        network = inpainting_network(c.model)

        def learning(variables: Variables, x: Image) -> tuple[Image, Variables]:
            filled, moved = network.apply(variables, x, train=True, mutable=["batch_stats"])
            return filled, {**variables, **moved}

        masks = core.training_masks(key, c.data.size, c.model.cells)
        filled, after = core.inpainted(learning, variables, x, masks, together=c.train.together)
        terms = core.inpainting_terms(x, filled, scales=c.model.scales, span=c.model.span)
        return terms.sum(), (dict(zip(core.TERMS, terms, strict=True)), {"batch_stats": after["batch_stats"]})

    def validation(
        self, c: RIADSettings, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array
    ) -> Array:
        # The same masks whenever it is measured, of every side: losses of one side differ several-fold from another's.
        filled = self._filled(c, variables, x, self._masks(c, Masks()))[0]
        how: Any = {"scales": c.model.scales, "span": c.model.span}

        def cost(x: Image, filled: Array) -> Array:
            every = [core.inpainting_terms(x[None], of[None], **how).sum() for of in filled]
            return jnp.stack(every).mean()

        return jax.vmap(cost, (0, 1))(x, filled)

    def _masks(self, c: RIADSettings, costly: Masks) -> Array:
        key = jax.random.key(jnp.uint32(costly.seed))
        return core.scoring_masks(key, c.data.size, c.model.cells, costly.draws)

    def _filled(self, c: RIADSettings, variables: Variables, x: Image, masks: Array) -> Array:
        """[draws, cells, b, h, w, c]"""
        network = inpainting_network(c.model)

        def filled_in(variables: Variables, x: Image) -> tuple[Image, Variables]:
            return network.apply(variables, x), variables  # type: ignore[return-value]

        return core.inpainted(filled_in, variables, x, masks)[0]

    def compare(self, c: RIADSettings, costly: Masks, networks: Networks, x: Array, seeds: Array) -> Array:
        weights = core.cell_weights(c.data.size, c.model.cells, costly.weights)

        def of_draw(masks: Array) -> Array:
            filled = self._filled(c, networks["train"], x, masks[None])
            return core.inpainting_map(x, filled, weights, scales=c.model.scales, span=c.model.span)

        # One after the other, so that memory does not grow with their number.
        return jax.lax.map(of_draw, self._masks(c, costly)).mean(0)

    def judge(self, evidence: Array, cheap: Smoothing, size: tuple[int, int]) -> tuple[Array, None]:
        return gaussian_blur(evidence, cheap.sigma, repeat_edge=cheap.repeat_edge), None

    def reconstruction(self, c: RIADSettings, costly: Masks, networks: Networks, x: Array, seeds: Array) -> Array:
        masks = self._masks(c, costly._replace(draws=1))
        return self._filled(c, networks["train"], x, masks)[0].mean(0)

    # --- Told

    def described(self, c: RIADSettings, networks: Networks) -> str:
        levels = f"in {len(c.model.widths)} levels, at {c.data.size} px"
        return f"{millions(networks['train']):.2f} million parameters {levels}"

    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
        return (
            f"RIAD learnt from {n_train} pictures of good parts ({subject}) to fill in cells that it is not shown; it "
            "has never seen a defect. A test picture is filled in piece by piece, so that none of its pixels is seen "
            "when it is predicted. Where the edges of the picture differ from those of what was filled in, the anomaly "
            "map is bright; its highest value is the picture's score."
        )
