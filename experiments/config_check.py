"""What the settings of a run may be, judged before anything runs: every refusal names the flag and what it expects."""

import itertools
import math
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from ddad_jax.backbones import BACKBONES
from ddad_jax.errors import InputError
from ddad_jax.metrics.thresholds import PIXEL_RULES, RULES
from ddad_jax.points import OPTIMISED, ReconPoint, recon_grid
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS
from ddad_jax.unet import CHANNEL_MULT
from experiments.config import adaptation_grid, products
from experiments.data_sets import KINDS
from experiments.student_settings import check_student

Need = Callable[[str, bool, str], None]


def check(c: ConfigDict) -> ConfigDict:
    """``c`` itself.

    Raises:
      InputError: naming the first flag whose value cannot be used.
    """

    def need(flag: str, good: bool, expected: str) -> None:
        if not good:
            raise InputError(f"--config.{flag}={_get(c, flag)!r}: expected {expected}")

    # Types of what a sweep lists come first: later checks compute with them.
    own = (_data, _view, _model, _train, _backbone, _adapt, _sample, _grid, _score, _threshold)
    for part in (_run, _sweep, check_student, *own, _joint):
        part(c, need)
    return c


def _run(c: ConfigDict, need: Need) -> None:
    need("seed", 0 <= c.seed < 2**31, "0 to 2^31 - 1")
    need("select", c.select in ("", "synthetic"), "'' or synthetic")
    need("teacher", 0 <= c.teacher <= 1000, "0 (none) to 1000")
    need("teacher_images", c.teacher_images >= 1, "at least 1")
    need("synthetic_defects", c.synthetic_defects >= 1, "at least 1")
    need("synthetic_normals", c.synthetic_normals >= 1, "at least 1")
    need("output.examples", c.output.examples >= 1, "at least 1")
    need("output.browser", c.output.browser >= 0, "0 (no picture browser in the report) or more")


def _sweep(c: ConfigDict, need: Need) -> None:
    axes = [f"sweep.{name}" for name in c.sweep if name != "parts"]
    for part, values in c.sweep.parts.items():
        need(f"sweep.parts.{part}", isinstance(values, ConfigDict), "a section, such as {'steps': (1, 3)}")
        for name in values:
            axes.append(f"sweep.parts.{part}.{name}")
            need(axes[-1], name in ReconPoint._fields, f"one of {', '.join(ReconPoint._fields)} in its place")
    for flag in axes:
        name, values = flag.rsplit(".", 1)[1], _get(c, flag)
        if name in ("w", "eta", "v", "feature_weight", "sigma", "start_noise", "fade", "blend_max", "rise"):
            need(flag, _each(values, (int, float)), "a tuple of numbers, such as (0.0, 3.0)")
            sound = name != "rise" or all(0 <= value < math.inf for value in values)
            need(flag, sound, "finite numbers, 0 (one T' for all pictures) or more")
        elif name in ("t_prime", "steps", "seed", "reuse"):
            need(flag, _each(values, int), "a tuple of whole numbers, such as (150, 250)")
            sound = name != "seed" or all(0 <= value < 2**32 for value in values)
            need(flag, sound, "seeds from 0 to 2^32 - 1")
        elif name in ("standardise", "mask_before", "mask_after"):
            need(flag, isinstance(values, tuple) and all(value in (False, True) for value in values), "(False, True)")
        elif name == "layers":
            for layers in values if isinstance(values, tuple) else ((),):
                need(flag, _layers(layers), "a tuple of tuples of layer1, layer2, layer3")
        else:
            need(flag, _each(values, str), "a tuple of names")
    need("sweep.seed", bool(c.sweep.seed), "one seed or more")
    need("sample.rise", 0 <= c.sample.rise < math.inf, "a finite number, 0 (one T' for all pictures) or more")


def _data(c: ConfigDict, need: Need) -> None:
    need("data.kind", c.data.kind in KINDS, f"one of {', '.join(KINDS)}")
    if c.data.kind != "cans":
        need("data.root", bool(c.data.root), "the folder that holds the data set")
    if c.data.kind == "tfds":
        need("data.category", bool(c.data.category), "the name of a prepared data set, such as ddad_mvtec/bottle")
    need("data.held_out", 0 < c.data.held_out < 1, "a share between 0 and 1")
    need("data.hold_out", c.data.hold_out in ("recording", "picture"), "recording or picture")
    need("data.calibration", c.data.calibration >= 1, "at least 1")
    need("data.flips", c.data.flips in ("", "h", "v", "hv"), "'', h, v or hv")


def _view(c: ConfigDict, need: Need) -> None:
    files = c.data.kind == "folder"
    need("view.register", c.view.register in ("", "scored", "all"), "'', scored or all")
    need("view.register", not c.view.register or files, "'' where data.kind is not folder")
    # Their synthetic defects are painted on calibration and on training pictures alike.
    mixed = c.view.register == "scored" and "synthetic" in (c.select, c.adapt.choose)
    need("view.register", not mixed, "all where synthetic defects choose a point or an epoch (select, adapt.choose)")
    for flag in ("sample.mask_before", "sweep.mask_before", "score.mask_after", "sweep.mask_after"):
        asked = _get(c, flag)
        masked = True in (asked if isinstance(asked, tuple) else (asked,))
        need(flag, not masked or bool(c.view.mask), "False, or the mask of the view as --config.view.mask=FILE")
    d = c.data
    sides = isinstance(d.picture, tuple) and len(d.picture) in (0, 2) and all(isinstance(n, int) for n in d.picture)
    need("data.picture", sides, "() or (height, width) in pixels, such as (2048, 3072)")
    if not d.picture:
        return
    need("data.picture", files, "() unless data.kind is folder: only its pictures are cut into tiles")
    need("data.picture", min(d.picture) >= d.size, f"sides of at least data.size = {d.size}, that of a tile")
    need("data.overlap", 0 <= d.overlap < d.size, f"0 up to below data.size = {d.size}")
    need("data.train_tiles", d.train_tiles >= 1, "at least 1")
    # What follows compares or chooses by whole pictures that one call has seen.
    need("score.crop", not c.score.crop, "0 with --config.data.picture")
    need("score.normalise", c.score.normalise == "held_out", "held_out with --config.data.picture")
    need("teacher", not c.teacher, "0 with --config.data.picture")
    need("select", not c.select, "'' with --config.data.picture")
    need("adapt.choose", c.adapt.choose != "synthetic", "contrast or last with --config.data.picture")
    for of in products(c, "rise"):
        need("sample.rise", not any(of["rise"]), "0, and none in sweep.rise, with --config.data.picture")


def _model(c: ConfigDict, need: Need) -> None:
    m = c.model
    need("model.predict", m.predict in ("eps", "x0"), "eps or x0")
    need("model.dtype", m.dtype in ("float32", "bfloat16"), "float32 or bfloat16")
    need("model.patch", m.patch >= 1 and c.data.size % max(m.patch, 1) == 0, "a divisor of data.size")
    inner = c.data.size // m.patch
    if not m.channel_mult:
        sizes = f"{sorted(CHANNEL_MULT)} (times model.patch), or give model.channel_mult"
        need("data.size", inner in CHANNEL_MULT, sizes)
    multipliers = m.channel_mult or CHANNEL_MULT[inner]
    levels = len(multipliers)
    halved = f"a multiple of {m.patch * 2 ** (levels - 1)} for {levels} levels"
    need("data.size", inner % 2 ** (levels - 1) == 0, halved)
    widths = [int(multiplier * m.base) for multiplier in multipliers]
    need("model.base", all(w >= 8 and w % 8 == 0 for w in widths), "widths that are multiples of 8")
    need("model.heads", m.heads >= 1 and all(w % m.heads == 0 for w in widths), "a divisor of every width")
    need("model.groups", m.groups >= 1, "at least 1")
    need("model.res_blocks", m.res_blocks >= 1, "at least 1")
    need("model.dropout", 0 <= m.dropout < 1, "0 up to below 1")


def _train(c: ConfigDict, need: Need) -> None:
    for name in ("steps", "batch_size", "accumulate", "log_every", "validate_every", "checkpoint_every"):
        need(f"train.{name}", c.train[name] >= 1, "at least 1")
    need("train.learning_rate", c.train.learning_rate > 0, "above 0")
    need("train.reduce", c.train.reduce in ("mean", "sum"), "mean or sum")
    need("train.t_max", 1 <= c.train.t_max <= 1000, "1 to 1000")
    need("train.ema_decay", 0 <= c.train.ema_decay < 1, "0 (none) up to below 1")
    need("train.min_snr", math.isfinite(c.train.min_snr) and c.train.min_snr >= 0, "0 (off) or above, usually 5")
    need("train.max_minutes", c.train.max_minutes >= 0, "0 (no limit) or more")
    need("train.warmup_steps", c.train.warmup_steps >= 0, "0 (no warm-up) or more")
    need("train.clip_norm", c.train.clip_norm >= 0, "0 (no clipping) or more")


def _backbone(c: ConfigDict, need: Need) -> None:
    need("backbone.name", c.backbone.name in BACKBONES, f"one of {', '.join(sorted(BACKBONES))}")
    need("backbone.dtype", c.backbone.dtype in ("float32", "bfloat16"), "float32 or bfloat16")
    smallest = BACKBONES[c.backbone.name].min_size
    need("backbone.feature_size", c.backbone.feature_size in (0,) or c.backbone.feature_size >= smallest,
         f"0 (the pictures' own size) or at least {smallest}")  # fmt: skip
    need("data.size", c.backbone.feature_size > 0 or c.data.size >= smallest,
         f"at least {smallest} for {c.backbone.name}, or --config.backbone.feature_size={smallest}")  # fmt: skip


def _adapt(c: ConfigDict, need: Need) -> None:
    a = c.adapt
    need("adapt.batch_norm", a.batch_norm in ("frozen", "train"), "frozen or train")
    need("adapt.epochs", a.epochs >= 0, "0 (no adaptation) or more")
    need("adapt.choose", a.choose in ("contrast", "synthetic", "last"), "contrast, synthetic or last")
    need("adapt.patience", a.patience >= 0, "0 (run all epochs) or more")
    need("adapt.batch_size", a.batch_size >= 1, "at least 1 pair")
    need("adapt.learning_rate", a.learning_rate > 0, "above 0")
    need("adapt.lambda_dl", math.isfinite(a.lambda_dl) and a.lambda_dl >= 0, "finite, 0 or more")
    need("adapt.max_minutes", a.max_minutes >= 0, "0 (no limit) or more")


def _sample(c: ConfigDict, need: Need) -> None:
    names = (*GRIDS, OPTIMISED)
    need("sample.grid", c.sample.grid in names, f"one of {', '.join(sorted(names))}")
    need("sample.solver", c.sample.solver in SOLVERS, f"one of {', '.join(sorted(SOLVERS))}")
    need("sample.reuse", c.sample.reuse >= 1, "1 (every layer at every step) or more steps")
    need("sample.batch_size", c.sample.batch_size >= 1, "at least 1")


def _grid(c: ConfigDict, need: Need) -> None:
    most = max([1, *(max(of["steps"]) for of in products(c, "steps", "grid") if OPTIMISED in of["grid"])])
    need("grid.teacher_steps", most <= c.grid.teacher_steps < 1000, f"{most} (the steps to find times for) to 999")
    need("grid.teacher_solver", c.grid.teacher_solver in SOLVERS, f"one of {', '.join(sorted(SOLVERS))}")
    need("grid.images", c.grid.images >= 1, "at least 1")
    need("grid.rounds", c.grid.rounds >= 0, "0 (none) or more")


def _score(c: ConfigDict, need: Need) -> None:
    need("score.normalise", c.score.normalise in ("held_out", "batch"), "held_out or batch")
    need("score.batch", c.score.batch >= 1, "at least 1")
    need("score.crop", 0 <= c.score.crop <= c.data.size, "0 (no crop) up to data.size")
    for section, name in itertools.product(("score", "sweep"), ("v", "sigma", "feature_weight")):
        values = c[section][name]
        for value in values if isinstance(values, tuple) else (values,):
            need(f"{section}.{name}", math.isfinite(value) and value >= 0, "finite, 0 or more")
    need("score.v", c.score.v > 0 or c.score.feature_weight > 0, "above 0 where score.feature_weight is 0")
    need("score.layers", _layers(c.score.layers), "a tuple of layer1, layer2, layer3")


def _threshold(c: ConfigDict, need: Need) -> None:
    need("threshold.rule", c.threshold.rule in RULES, f"one of {', '.join(RULES)}")
    need("threshold.pixel_rule", c.threshold.pixel_rule in PIXEL_RULES, f"one of {', '.join(PIXEL_RULES)}")
    for name in ("level", "delta", "p", "pixel_p"):
        need(f"threshold.{name}", 0 < c.threshold[name] < 1, "a share between 0 and 1")
    need("threshold.k", math.isfinite(c.threshold.k) and c.threshold.k >= 0, "finite, 0 or more, usually 3")


def _joint(c: ConfigDict, need: Need) -> None:
    """What only several settings together can break."""
    a = c.adapt
    try:
        grid = (adaptation_grid(c.sample.grid),)
        recon_grid(grid=grid, w=(a.w,), t_prime=(a.t_prime,), steps=(a.steps,), eta=(a.eta,), seed=(0,))
    except InputError as error:
        raise InputError(f"--config.adapt: {error}") from None
    risen = [max(of["t_prime"]) * (1.0 + max(of["rise"])) for of in products(c, "t_prime", "rise")]
    largest = max(a.t_prime, *risen)
    need("train.t_max", largest < c.train.t_max or c.train.t_max == 1000, f"more than every T' sampled ({largest:g})")
    for flag in (f"{section}.standardise" for section in ("score", "sweep")):
        asked = _get(c, flag)
        if True in (asked if isinstance(asked, tuple) else (asked,)):
            spread = f"at least 2 with --config.{flag}={asked!r}: one picture has no spread"
            need("data.calibration", c.data.calibration >= 2, spread)


def _layers(values: Any) -> bool:
    return isinstance(values, tuple) and bool(values) and all(v in ("layer1", "layer2", "layer3") for v in values)


def _each(values: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(values, tuple) and all(isinstance(v, kind) and not isinstance(v, bool) for v in values)


def _get(c: ConfigDict, dotted: str) -> Any:
    for name in dotted.split("."):
        c = c[name]
    return c
