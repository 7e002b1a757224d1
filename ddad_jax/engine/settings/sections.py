"""The settings that every method has: of a run, its pictures, its features, its verdicts and what it writes.

A method adds its own sections (``ddad_jax/engine/methods/ddad/sections.py``).
"""

import math
from dataclasses import dataclass

from ddad_jax.backbones import BACKBONES
from ddad_jax.data.mtd import SPLITS
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.setting import (
    BOOL,
    COUNT,
    DTYPE,
    LONGEST_SIDE,
    NONE_OR_MORE,
    SHARE,
    TEXT,
    Range,
    is_whole,
    none_or_more,
    one_of,
    setting,
    swept,
    tuple_of,
    whole_number,
)
from ddad_jax.engine.settings.threshold import ThresholdSettings

KINDS = ("folder", "visa", "mtd", "cans", "tfds")
"""Of data sets; how each is read, ``ddad_jax/engine/data/data_sets.py`` says."""

LOCATIONS = ("data.root", "data.category")
"""Where pictures lie, in words: which pictures they are, their fingerprints say (data.json)."""

LABEL_FREE = "fixed without looking at test labels"
"""What a report says of a point by default; a config that knows more of its own says that."""

_MOST_PIXELS = 10**9  # of a picture that is cut into tiles, as of one that is read
_PICTURE = Range(
    lambda v: (
        isinstance(v, tuple)
        and len(v) in (0, 2)
        and all(is_whole(n) and n >= 1 for n in v)
        and math.prod(v) <= _MOST_PIXELS
    ),
    f"() or (height, width) in pixels, such as (2048, 3072), at most {_MOST_PIXELS // 10**6} million",
)
_SIDE = whole_number(1, LONGEST_SIDE, f"a side in pixels, from 1 to {LONGEST_SIDE}")
_OWN_OR_SIDE = whole_number(0, LONGEST_SIDE, f"0 (the pictures' own size) or a side of at most {LONGEST_SIDE}")

SEED = whole_number(0, 2**32 - 1, "a seed from 0 to 2^32 - 1")
SEEDS = tuple_of(SEED, least=1)


@dataclass(frozen=True)
class DataSettings(Section):
    """The pictures, and how normal ones are parted."""

    kind: str = setting("folder", one_of(*KINDS), "folder (MVTec AD layout) | visa | mtd | cans | tfds (prepared)")
    root: str = setting("", TEXT, "the folder that holds them")
    category: str = setting("", TEXT, "which of its sets, or which product")
    size: int = setting(256, _SIDE, "side in pixels, aspect ratio not kept")
    split: str = setting(
        "tile", one_of(*SPLITS), "of mtd: no tile is both trained and tested on | picture, the DDAD paper's rule"
    )
    balance: bool = setting(
        False, BOOL, "normal training pictures are moved to the test until it has as many as defective ones"
    )
    held_out: float = setting(0.15, SHARE, "share of the normal training images kept for validation and calibration")
    hold_out: str = setting("recording", one_of("recording", "picture"), "whole ones, where the data say so | picture")
    calibration: int = setting(32, COUNT, "at most so many of them are reconstructed at every grid point")
    tuning: float = setting(
        0.4, SHARE,
        "share of those that choose, where the run chooses by them (a point, an epoch, times), and that the score's "
        "constants rest on; the others give the thresholds and choose nothing",
    )  # fmt: skip
    picture: tuple[int, ...] = setting(
        (), _PICTURE, "(height, width) to which pictures larger than the network's are brought and cut into tiles of "
        "`size`; empty: no tiles, every picture is brought to size x size",
    )  # fmt: skip
    overlap: int = setting(32, NONE_OR_MORE, "pixels by which tiles overlap at least")
    train_tiles: int = setting(4096, COUNT, "at most so many tiles, evenly over the training pictures, are trained on")
    flips: str = setting("", one_of("", "h", "v", "hv"), "h, v, hv: random flips in training; the papers use none")


@dataclass(frozen=True)
class ViewSettings(Section):
    """What happens to the pictures of a camera's view before the model sees them."""

    mask: str = setting("", TEXT, "JSON of polygons or an image, white = watched; for mask_before and mask_after")
    name: str = setting("", TEXT, "of the polygons in that file; empty: data.category")
    register: str = setting(
        "", one_of("", "scored", "all"),
        '"scored": calibration and test pictures are brought onto the reference; "all": training, too',
    )  # fmt: skip
    reference: str = setting("", TEXT, "picture; empty: the first training picture")


@dataclass(frozen=True)
class BackboneSettings(Section):
    """The network of the features."""

    name: str = setting("efficientnet_lite0", one_of(*sorted(BACKBONES)), "of its features; the README lists them")
    weights: str = setting("", TEXT, "path; empty: the usual place")
    feature_size: int = setting(0, _OWN_OR_SIDE, "side at which pictures enter it; 0: their own")
    dtype: str = setting("float32", DTYPE, "| bfloat16: what it computes in")


@dataclass(frozen=True)
class ScoreSettings(Section):
    """From a map to the score of a picture."""

    standardise: bool = setting(False, BOOL, "measure pixels in the normal spread there: for parts in a fixed position")
    mask_after: bool = setting(False, BOOL, "the map is silent where the view's mask leaves out")
    crop: int = setting(0, NONE_OR_MORE, "side of the centre that is scored, 0: everything")


@dataclass(frozen=True)
class SweepSettings(Section):
    """What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    alone."""

    seed: tuple[int, ...] = setting((0,), SEEDS, "of what is drawn")
    standardise: tuple[bool, ...] = swept(ScoreSettings, "standardise")
    mask_after: tuple[bool, ...] = swept(ScoreSettings, "mask_after")


@dataclass(frozen=True)
class OutputSettings(Section):
    """What is written besides tables and report."""

    maps: bool = setting(False, BOOL, "also float32 .tiff anomaly maps at the size of the original pictures")
    overlays: bool = setting(False, BOOL, "also every test picture at its own size with the contours of what was found")
    examples: int = setting(12, COUNT, "rows of the picture grid")
    browser: int = setting(
        120, none_or_more("no picture browser in the report"),
        "at most so many test pictures are in the report's browser, each with what is predicted at every visited time "
        "(trajectory.npz); 0: no browser",
    )  # fmt: skip


@dataclass(frozen=True)
class Settings(Section):
    """Of a run of any method: what a method's own settings begin from."""

    method: str = setting("", TEXT, "what is learnt, and what it measures; the sections of a config are this method's")
    seed: int = setting(0, whole_number(0, 2**31 - 1, "0 to 2^31 - 1"), "of everything that is drawn")
    select: str = setting(
        "", one_of("", "synthetic"),
        '"": the point of sample and score; "synthetic": the sweep\'s best on synthetic defects',
    )  # fmt: skip
    at_threshold: bool = setting(False, BOOL, "every row also says what its own threshold makes of the test pictures")
    synthetic_defects: int = setting(
        84, COUNT, "where select = synthetic: at least so many defects, as many on each, are painted on normal pictures"
    )
    synthetic_normals: int = setting(
        60, COUNT, "so many: the calibration ones and where these are fewer, pictures that were trained on"
    )
    data: DataSettings = DataSettings()
    view: ViewSettings = ViewSettings()
    backbone: BackboneSettings = BackboneSettings()
    score: ScoreSettings = ScoreSettings()
    threshold: ThresholdSettings = ThresholdSettings()
    output: OutputSettings = OutputSettings()
    sweep: SweepSettings = SweepSettings()

    @property
    def tunes(self) -> bool:
        """Whether anything is chosen by held-out normal pictures, so that others must give the thresholds."""
        return self.select == "synthetic"
