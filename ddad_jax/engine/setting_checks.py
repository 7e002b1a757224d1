"""What the settings of a run may be, judged before anything runs: every refusal names the flag and what it expects.

Each by itself first, as its line says (``ddad_jax/engine/settings/sections.py`` and those of the method), then what
they can only break together: what follows computes with them, and would name another.
"""

from collections.abc import Collection, Iterator

from ml_collections import ConfigDict

from ddad_jax.backbones import BACKBONES
from ddad_jax.engine.methods.settings import FIRST, of_method
from ddad_jax.engine.settings.need import Need, needing, value_at, values_at
from ddad_jax.engine.settings.setting import Judgement, settings_in


def check(c: ConfigDict, given: Collection[str] = ()) -> ConfigDict:
    """``c`` itself.

    Args:
      given: dotted names of the settings that a user set. Of two that do not go together such a one is to blame, not
        the other, which nobody touched.

    Raises:
      InputError: naming the first flag whose value cannot be used.
    """
    need, method = needing(c, given), of_method(c.get("method", FIRST))
    own = {each.flag.partition(".")[0] for each in settings_in(method.settings)}
    for name in set(c) - own:
        need(name, False, f"no such setting: method {method.settings().method} has none of this name")
    for flag, good, expected in alone(c, method.settings):
        need(flag, good, expected)
    for part in (_data, _view, _backbone, method.together):
        part(c, need)
    return c


def alone(c: ConfigDict, settings: type) -> Iterator[Judgement]:
    """Of every setting, each judged without the others."""
    for flag, _, (good, expected, inside), _ in settings_in(settings):
        value = value_at(c, flag)
        yield flag, good(value), expected
        yield from inside(flag, value)


def _data(c: ConfigDict, need: Need) -> None:
    if c.data.kind != "cans":
        need("data.root", bool(c.data.root), "the folder that holds the data set", ["data.kind"])
    if c.data.kind == "tfds":
        prepared = "the name of a prepared data set, such as ddad_mvtec/bottle"
        need("data.category", bool(c.data.category), prepared, ["data.kind"])


def _view(c: ConfigDict, need: Need) -> None:
    d, files = c.data, c.data.kind == "folder"
    need("view.register", not c.view.register or files, "'' where data.kind is not folder", ["data.kind"])
    # Their synthetic defects are painted on calibration and on training pictures alike.
    mixed = c.view.register == "scored" and c.select == "synthetic"
    need("view.register", not mixed, "all where synthetic defects choose a point (select)", ["select"])
    masked = bool(c.view.mask) or not c.score.mask_after
    need("score.mask_after", masked, "False, or the mask of the view as --config.view.mask=FILE")
    need("score.crop", c.score.crop <= d.size, f"0 (no crop) up to data.size = {d.size}", ["data.size"])
    if not d.picture:
        return
    tiles = "() unless data.kind is folder: only its pictures are cut into tiles"
    need("data.picture", files, tiles, ["data.kind"])
    tile = f"sides of at least data.size = {d.size}, that of a tile"
    need("data.picture", min(d.picture) >= d.size, tile, ["data.size"])
    need("data.overlap", d.overlap < d.size, f"0 up to below data.size = {d.size}", ["data.size"])
    # What follows compares or chooses by whole pictures that one call has seen.
    need("score.crop", not c.score.crop, "0 with --config.data.picture", ["data.picture"])
    need("select", not c.select, "'' with --config.data.picture", ["data.picture"])


def _backbone(c: ConfigDict, need: Need) -> None:
    smallest, side = BACKBONES[c.backbone.name].min_size, c.backbone.feature_size
    sides = f"0 (the pictures' own size) or at least {smallest} (backbone.name = {c.backbone.name})"
    need("backbone.feature_size", side == 0 or side >= smallest, sides, ["backbone.name"])
    own = f"at least {smallest} for backbone.name = {c.backbone.name}, or --config.backbone.feature_size={smallest}"
    of = ["backbone.name", "backbone.feature_size"]
    need("data.size", side > 0 or c.data.size >= smallest, own, of)
    for flag in (f"{section}.standardise" for section in ("score", "sweep")):
        if True in values_at(c, flag):
            spread = f"at least 2 with --config.{flag}={value_at(c, flag)!r}: one picture has no spread"
            need("data.calibration", c.data.calibration >= 2, spread, [flag])
