"""The papers' per-category settings as literal tables (DDAD supplement, Tables 9, 10 and 11)."""

from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.config import for_accelerator, reference

Setting = tuple[float, int, int]
"""(w, training epochs, epoch of the feature extractor; 0: not adapted)."""

MVTEC: dict[str, Setting] = {
    "carpet": (0, 2500, 0),
    "grid": (4, 2000, 6),
    "leather": (11, 2000, 8),
    "tile": (4, 1000, 0),
    "wood": (11, 2000, 16),
    "bottle": (3, 1000, 5),
    "cable": (3, 3000, 0),
    "capsule": (8, 1500, 8),
    "hazelnut": (5, 2000, 3),
    "metal_nut": (7, 3000, 1),
    "pill": (9, 1000, 4),
    "screw": (2, 2000, 4),
    "toothbrush": (0, 2000, 2),
    "transistor": (0, 2000, 0),
    "zipper": (10, 1000, 6),
}
"""DDAD on MVTec AD. Source: Table 9."""

MVTEC_S: dict[str, Setting] = {
    "carpet": (0, 2000, 0),
    "grid": (5, 2000, 4),
    "leather": (6, 2000, 4),
    "tile": (4, 2000, 0),
    "wood": (4, 2000, 11),
    "bottle": (8, 2000, 1),
    "cable": (0, 4000, 0),
    "capsule": (11, 3000, 4),
    "hazelnut": (0, 2000, 2),
    "metal_nut": (3, 2000, 3),
    "pill": (11, 1000, 6),
    "screw": (2, 2000, 0),
    "toothbrush": (1, 2000, 2),
    "transistor": (1, 4000, 7),
    "zipper": (5, 2000, 4),
}
"""DDAD-S on MVTec AD. Source: Table 10, which gives a dash for the screw's extractor; read here as not adapted."""

VISA: dict[str, Setting] = {
    "candle": (6, 1000, 1),
    "capsules": (5, 1000, 3),
    "cashew": (0, 1750, 0),
    "chewinggum": (6, 1250, 0),
    "fryum": (4, 1000, 3),
    "macaroni1": (5, 500, 7),
    "macaroni2": (2, 500, 11),
    "pcb1": (9, 500, 8),
    "pcb2": (5, 500, 5),
    "pcb3": (6, 500, 1),
    "pcb4": (6, 500, 1),
    "pipe_fryum": (8, 500, 6),
}
"""DDAD on VisA. Source: Table 11."""

TRAIN_IMAGES: dict[str, int] = {
    "carpet": 280, "grid": 264, "leather": 245, "tile": 230, "wood": 247, "bottle": 209, "cable": 224, "capsule": 219,
    "hazelnut": 391, "metal_nut": 220, "pill": 267, "screw": 320, "toothbrush": 60, "transistor": 213, "zipper": 240,
}  # fmt: skip
"""Normal training images of MVTec AD, to turn the papers' epochs into steps."""

VISA_TRAIN_IMAGES: dict[str, int] = {
    "candle": 900, "capsules": 542, "cashew": 450, "chewinggum": 453, "fryum": 450, "macaroni1": 900,
    "macaroni2": 900, "pcb1": 904, "pcb2": 901, "pcb3": 905, "pcb4": 904, "pipe_fryum": 450,
}  # fmt: skip
"""Normal training images of VisA's one-class split."""


def of_paper(
    c: ConfigDict, table: dict[str, Setting], category: str, options: list[str], *, images: dict[str, int]
) -> ConfigDict:
    """``c`` with the settings ``table`` has for ``category``.

    Args:
      options: "s" for DDAD-S (base 32, 2 heads, batch 16), "reference" for the published code's behaviour.

    Raises:
      InputError: an unknown category or option; the message lists the known ones.
    """
    if category not in table:
        raise InputError(f"the paper has no settings for {category!r}; it has {', '.join(table)}")
    if unknown := set(options) - {"s", "reference"}:
        raise InputError(f"{', '.join(sorted(unknown))}: expected s or reference behind the category")
    w, epochs, adapt_epochs = table[category]
    small = "s" in options
    with c.unlocked():
        c.data.update(category=category, size=256)
        c.backbone.name = "wide_resnet101_2"
        c.model.update(base=64, heads=4)
        c.sample.update(w=float(w), t_prime=250, steps=10, eta=1.0)
        c.sample.origin = "the paper's tabulated settings, which were picked with test labels in view"
        c.adapt.update(epochs=adapt_epochs, choose="last", patience=0)
        c = reference(c) if "reference" in options else for_accelerator(c)
        if small:
            c.model.update(base=32, heads=2, dropout=0.3 if "reference" in options else 0.0)
        c.train.batch_size = 16 if small else 32
        # The published loader drops the last partial batch of every epoch.
        c.train.steps = epochs * max(images[category] // c.train.batch_size, 1)
    return c
