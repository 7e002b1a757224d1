"""What the settings of a run may be, judged before anything runs: every refusal names the flag and what it expects.

Each by itself first, as its line says (``ddad_jax/engine/settings/sections.py`` and those of the method), then what
they can only break together: what follows computes with them, and would name another.
"""

from collections.abc import Collection, Iterator
from typing import TypeVar

from ddad_jax.backbones import BACKBONES
from ddad_jax.engine.methods.settings import of_method
from ddad_jax.engine.settings.need import Need, needing, value_at, values_at
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.settings.setting import Judgement, settings_in

S = TypeVar("S", bound=Settings)


def check_settings(c: S, given: Collection[str] = ()) -> S:
    """``c`` itself.

    Args:
      given: dotted names of the settings that a user set. Of two that do not go together such a one is to blame, not
        the other, which nobody touched.

    Raises:
      InputError: naming the first flag whose value cannot be used.
    """
    need, method = needing(c, given), of_method(c.method)
    for flag, good, expected in judge_each_setting(c, method.settings):
        need(flag, good, expected)
    for part in (_data, _view, _backbone, method.together):
        part(c, need)
    return c


def judge_each_setting(c: Settings, settings: type) -> Iterator[Judgement]:
    """Of every setting, each judged without the others."""
    for flag, _, (good, expected, inside), _ in settings_in(settings):
        value = value_at(c, flag)
        yield flag, good(value), expected
        yield from inside(flag, value)


def _data(c: Settings, need: Need) -> None:
    if c.data.kind != "cans":
        need("data.root", bool(c.data.root), "the folder that holds the data set", ["data.kind"])
    if c.data.kind == "tfds":
        prepared = "the name of a prepared data set, such as ddad_mvtec/bottle"
        need("data.category", bool(c.data.category), prepared, ["data.kind"])
    for flag in (f"{section}.standardise" for section in ("score", "sweep")):
        if True in values_at(c, flag):
            spread = f"at least 2 with --config.{flag}={value_at(c, flag)!r}: one picture has no spread"
            need("data.calibration", c.data.calibration >= 2, spread, [flag])


def _view(c: Settings, need: Need) -> None:
    d = c.data
    # Their synthetic defects are painted on calibration and on training pictures alike.
    mixed = c.view.register == "scored" and c.select == "synthetic"
    need("view.register", not mixed, "all where synthetic defects choose a point (select)", ["select"])
    masked = bool(c.view.mask) or not c.score.mask_after
    need("score.mask_after", masked, "False, or the mask of the view as --config.view.mask=FILE")
    need("score.crop", c.score.crop <= d.size, f"0 (no crop) up to data.size = {d.size}", ["data.size"])
    if not d.picture:
        return
    tile = f"sides of at least data.size = {d.size}, that of a tile"
    need("data.picture", min(d.picture) >= d.size, tile, ["data.size"])
    need("data.overlap", d.overlap < d.size, f"0 up to below data.size = {d.size}", ["data.size"])
    # What follows compares or chooses by whole pictures that one call has seen.
    need("score.crop", not c.score.crop, "0 with --config.data.picture", ["data.picture"])
    need("select", not c.select, "'' with --config.data.picture", ["data.picture"])


def _backbone(c: Settings, need: Need) -> None:
    backbone, side = BACKBONES[c.backbone.name], c.backbone.feature_size
    named = f"backbone.name = {c.backbone.name}"
    sides = f"0 (the pictures' own size) or {backbone.sides} ({named})"
    need("backbone.feature_size", side == 0 or backbone.takes(side), sides, ["backbone.name"])
    near = backbone.side_near(c.data.size)
    own = f"{backbone.sides} for {named}, or --config.backbone.feature_size={near}"
    of = ["backbone.name", "backbone.feature_size"]
    need("data.size", side > 0 or backbone.takes(c.data.size), own, of)
