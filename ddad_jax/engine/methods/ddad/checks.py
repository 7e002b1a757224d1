"""What DDAD's settings can only break together."""

from typing import Any

from ddad_jax.engine.methods.backbone import need_stages
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.settings import adaptation_grid, products
from ddad_jax.engine.settings.need import Need, values_at
from ddad_jax.errors import InputError
from ddad_jax.points import OPTIMISED, recon_grid
from ddad_jax.unet import CHANNEL_MULT

WIDEST = 2**16
"""Channels of a level: a convolution between two such already has more parameters than 32 bits count."""


def check_ddad_jointly(c: DDADSettings, need: Need) -> None:
    """Each has passed by itself.

    Raises:
      InputError: naming the first flag whose value cannot be used with the others.
    """
    for part in (_view, _model, _grid, _score, _joint):
        part(c, need)


def _view(c: DDADSettings, need: Need) -> None:
    # Their synthetic defects are painted on calibration and on training pictures alike.
    mixed = c.view.register == "scored" and c.adapt.choose == "synthetic"
    need("view.register", not mixed, "all where synthetic defects choose an epoch (adapt.choose)", ["adapt.choose"])
    for flag in ("sample.mask_before", "sweep.mask_before", "sweep.mask_after"):
        masked = True in values_at(c, flag)
        need(flag, not masked or bool(c.view.mask), "False, or the mask of the view as --config.view.mask=FILE")
    if not c.data.picture:
        return
    picture = ["data.picture"]
    # What follows compares or chooses by whole pictures that one call has seen.
    need("score.normalise", c.score.normalise == "held_out", "held_out with --config.data.picture", picture)
    need("teacher", not c.teacher, "0 with --config.data.picture", picture)
    need("adapt.choose", c.adapt.choose != "synthetic", "contrast or last with --config.data.picture", picture)
    for of in products(c, "rise"):
        need("sample.rise", not any(of["rise"]), "0, and none in sweep.rise, with --config.data.picture", picture)


def _model(c: DDADSettings, need: Need) -> None:
    m, size = c.model, c.data.size
    gaussian = m.prior == "gaussian"
    need("train.steps", gaussian or c.train.steps > 0, "1 or more, or --config.model.prior=gaussian", ["model.prior"])
    taught = "student" in {model for of in products(c, "model") for model in of["model"]}
    need("model.prior", not (gaussian and taught), "none where a student is asked for", ["sample.model", "sweep.model"])
    need("model.noise", m.noise == "gaussian" or not gaussian, "gaussian with model.prior=gaussian", ["model.prior"])
    need_unet(m, size, need)


def need_unet(m: Any, size: int, need: Need) -> None:
    """base, channel_mult, patch and heads of ``m`` must make a ``unet.UNet`` for pictures of that size."""
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


def _grid(c: DDADSettings, need: Need) -> None:
    most = max([1, *(max(of["steps"]) for of in products(c, "steps", "grid") if OPTIMISED in of["grid"])])
    found = f"{most} (the steps to find times for: sample.steps, sweep.steps) to 999"
    of = ["sample.steps", "sweep.steps", "sample.grid", "sweep.grid"]
    need("grid.teacher_steps", most <= c.grid.teacher_steps, found, of)


def _score(c: DDADSettings, need: Need) -> None:
    swept = [name for layers in c.sweep.layers for name in layers]
    need_stages(c.backbone, need, {"score.layers": c.score.layers, "sweep.layers": swept})
    something = c.score.v > 0 or c.score.feature_weight > 0
    need("score.v", something, "above 0 where score.feature_weight is 0", ["score.feature_weight"])


def _joint(c: DDADSettings, need: Need) -> None:
    """What settings of several sections can break together."""
    a = c.adapt
    once = c.train.error == "noise" or not c.train.min_snr
    need("train.min_snr", once, "0 with train.error=output, as each weighs times by itself", ["train.error"])
    try:
        grid = (adaptation_grid(c.sample.grid),)
        recon_grid(grid=grid, w=(a.w,), t_prime=(a.t_prime,), steps=(a.steps,), eta=(a.eta,), seed=(0,))
    except InputError as error:
        both = f"--config.adapt.steps={a.steps} with --config.adapt.t_prime={a.t_prime}"
        raise InputError(f"{both} (and --config.sample.grid={c.sample.grid}): {error}") from None
    risen = [max(of["t_prime"]) * (1.0 + max(of["rise"])) for of in products(c, "t_prime", "rise")]
    largest = max(a.t_prime if a.pairs == "other" else 0, *risen)
    late = f"more than every T' sampled ({largest:g}: adapt.t_prime, sample.t_prime and rise, those of sweep)"
    times = ("adapt.t_prime", "sample.t_prime", "sweep.t_prime")
    of = [flag for flag in times if max([0, *values_at(c, flag)]) >= c.train.t_max]
    of += [flag for flag in ("sample.rise", "sweep.rise") if max([0, *values_at(c, flag)]) > 0]
    need("train.t_max", largest < c.train.t_max or c.train.t_max == 1000, late, of)
