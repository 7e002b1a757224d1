"""What the settings of a run may be, judged before anything runs: every refusal names the flag and what it expects.

Each by itself in ``ddad_jax/engine/setting_ranges.py``, all before what is here: what they can only break together.
"""

from collections.abc import Collection
from typing import Any, Protocol

from ml_collections import ConfigDict

from ddad_jax.backbones import BACKBONES
from ddad_jax.engine.methods.ddad.settings import adaptation_grid, products
from ddad_jax.engine.setting_ranges import alone
from ddad_jax.errors import InputError
from ddad_jax.points import OPTIMISED, recon_grid
from ddad_jax.unet import CHANNEL_MULT

WIDEST = 2**16
"""Channels of a level: a convolution between two such already has more parameters than 32 bits count."""


class Need(Protocol):
    """What a setting must be; of: those it was compared with."""

    def __call__(self, flag: str, good: bool, expected: str, of: Collection[str] = ()) -> None: ...


def check(c: ConfigDict, given: Collection[str] = ()) -> ConfigDict:
    """``c`` itself.

    Args:
      given: dotted names of the settings that a user set. Of two that do not go together such a one is to blame, not
        the other, which nobody touched.

    Raises:
      InputError: naming the first flag whose value cannot be used.
    """

    def need(flag: str, good: bool, expected: str, of: Collection[str] = ()) -> None:
        if good:
            return
        value = f"--config.{flag}={_get(c, flag)!r}"
        if flag not in given and (culprits := [other for other in of if other in given]):
            with_it = f"--config.{culprits[0]}={_get(c, culprits[0])!r}: {value} does not go with it; for that one"
            raise InputError(f"{with_it}, expected {expected}")
        also = "".join(f" with --config.{other}={_get(c, other)!r}" for other in of if {flag, other} <= {*given})
        raise InputError(f"{value}{also}: expected {expected}")

    # Each by itself comes first: what follows computes with them, and would name another.
    for flag, good, expected in alone(c):
        need(flag, good, expected)
    for part in (_data, _view, _model, _backbone, _grid, _score, _joint):
        part(c, need)
    return c


def _data(c: ConfigDict, need: Need) -> None:
    if c.data.kind != "cans":
        need("data.root", bool(c.data.root), "the folder that holds the data set", ["data.kind"])
    if c.data.kind == "tfds":
        need(
            "data.category",
            bool(c.data.category),
            "the name of a prepared data set, such as ddad_mvtec/bottle",
            ["data.kind"],
        )


def _view(c: ConfigDict, need: Need) -> None:
    # Their synthetic defects are painted on calibration and on training pictures alike.
    mixed = c.view.register == "scored" and "synthetic" in (c.select, c.adapt.choose)
    all_ = "all where synthetic defects choose a point or an epoch (select, adapt.choose)"
    need("view.register", not mixed, all_, ["select", "adapt.choose"])
    for flag in ("sample.mask_before", "sweep.mask_before", "score.mask_after", "sweep.mask_after"):
        masked = True in _values(c, flag)
        need(flag, not masked or bool(c.view.mask), "False, or the mask of the view as --config.view.mask=FILE")
    d = c.data
    if not d.picture:
        return
    need(
        "data.picture",
        min(d.picture) >= d.size,
        f"sides of at least data.size = {d.size}, that of a tile",
        ["data.size"],
    )
    need("data.overlap", d.overlap < d.size, f"0 up to below data.size = {d.size}", ["data.size"])
    picture = ["data.picture"]
    # What follows compares or chooses by whole pictures that one call has seen.
    need("score.crop", not c.score.crop, "0 with --config.data.picture", picture)
    need("score.normalise", c.score.normalise == "held_out", "held_out with --config.data.picture", picture)
    need("teacher", not c.teacher, "0 with --config.data.picture", picture)
    need("select", not c.select, "'' with --config.data.picture", picture)
    need("adapt.choose", c.adapt.choose != "synthetic", "contrast or last with --config.data.picture", picture)
    for of in products(c, "rise"):
        need("sample.rise", not any(of["rise"]), "0, and none in sweep.rise, with --config.data.picture", picture)


def _model(c: ConfigDict, need: Need) -> None:
    m, size = c.model, c.data.size
    need("model.patch", size % m.patch == 0, f"a divisor of data.size = {size}", ["data.size"])
    inner = size // m.patch
    if not m.channel_mult:
        sizes = f"{sorted(CHANNEL_MULT)} (times model.patch = {m.patch}), or give model.channel_mult"
        need("data.size", inner in CHANNEL_MULT, sizes, ["model.patch", "model.channel_mult"])
    multipliers = m.channel_mult or CHANNEL_MULT[inner]
    levels = len(multipliers)
    halved = f"a multiple of {m.patch * 2 ** (levels - 1)} for {levels} levels (model.channel_mult, model.patch)"
    need("data.size", inner % 2 ** (levels - 1) == 0, halved, ["model.patch", "model.channel_mult"])
    widths = [int(multiplier * m.base) for multiplier in multipliers]
    sound, of = all(w >= 8 and w % 8 == 0 for w in widths), f"model.base = {m.base} times model.channel_mult"
    eighths = f"widths that are multiples of 8, found {widths} (model.base times model.channel_mult)"
    need("model.base", sound, eighths, ["model.channel_mult"])
    most = f"widths of at most {WIDEST}, found {widths} ({of})"
    need("model.base", max(widths) <= WIDEST, most, ["model.channel_mult"])
    divisor = f"a divisor of every width, {widths} ({of})"
    need("model.heads", all(w % m.heads == 0 for w in widths), divisor, ["model.base", "model.channel_mult"])


def _backbone(c: ConfigDict, need: Need) -> None:
    backbone, side = BACKBONES[c.backbone.name], c.backbone.feature_size
    named = f"backbone.name = {c.backbone.name}"
    sides = f"0 (the pictures' own size) or {backbone.sides} ({named})"
    need("backbone.feature_size", side == 0 or backbone.takes(side), sides, ["backbone.name"])
    near = backbone.side_near(c.data.size)
    own = f"{backbone.sides} for {named}, or --config.backbone.feature_size={near}"
    of = ["backbone.name", "backbone.feature_size"]
    need("data.size", side > 0 or backbone.takes(c.data.size), own, of)
    stages = f"some of {', '.join(backbone.stages)}, the stages of {named}"
    for flag, layers in (("score.layers", c.score.layers), ("sweep.layers", sum(c.sweep.layers, ()))):
        need(flag, {*layers} <= {*backbone.stages}, stages, ["backbone.name"])


def _grid(c: ConfigDict, need: Need) -> None:
    most = max([1, *(max(of["steps"]) for of in products(c, "steps", "grid") if OPTIMISED in of["grid"])])
    found = f"{most} (the steps to find times for: sample.steps, sweep.steps) to 999"
    of = ["sample.steps", "sweep.steps", "sample.grid", "sweep.grid"]
    need("grid.teacher_steps", most <= c.grid.teacher_steps, found, of)


def _score(c: ConfigDict, need: Need) -> None:
    need("score.crop", c.score.crop <= c.data.size, f"0 (no crop) up to data.size = {c.data.size}", ["data.size"])
    something = c.score.v > 0 or c.score.feature_weight > 0
    need("score.v", something, "above 0 where score.feature_weight is 0", ["score.feature_weight"])


def _joint(c: ConfigDict, need: Need) -> None:
    """What settings of several sections can break together."""
    a = c.adapt
    try:
        grid = (adaptation_grid(c.sample.grid),)
        recon_grid(grid=grid, w=(a.w,), t_prime=(a.t_prime,), steps=(a.steps,), eta=(a.eta,), seed=(0,))
    except InputError as error:
        both = f"--config.adapt.steps={a.steps} with --config.adapt.t_prime={a.t_prime}"
        raise InputError(f"{both} (and --config.sample.grid={c.sample.grid}): {error}") from None
    risen = [max(of["t_prime"]) * (1.0 + max(of["rise"])) for of in products(c, "t_prime", "rise")]
    largest = max(a.t_prime, *risen)
    late = f"more than every T' sampled ({largest:g}: adapt.t_prime, sample.t_prime and rise, those of sweep)"
    times = ("adapt.t_prime", "sample.t_prime", "sweep.t_prime")
    of = [flag for flag in times if max([0, *_values(c, flag)]) >= c.train.t_max]
    of += [flag for flag in ("sample.rise", "sweep.rise") if max([0, *_values(c, flag)]) > 0]
    need("train.t_max", largest < c.train.t_max or c.train.t_max == 1000, late, of)
    for flag in (f"{section}.standardise" for section in ("score", "sweep")):
        if True in _values(c, flag):
            spread = f"at least 2 with --config.{flag}={_get(c, flag)!r}: one picture has no spread"
            need("data.calibration", c.data.calibration >= 2, spread, [flag])


def _values(c: ConfigDict, flag: str) -> tuple[Any, ...]:
    """Of a setting, or of a sweep over it."""
    asked = _get(c, flag)
    return asked if isinstance(asked, tuple) else (asked,)


def _get(c: ConfigDict, dotted: str) -> Any:
    for name in dotted.split("."):
        c = c.get(name)
    return c
