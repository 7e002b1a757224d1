"""Settings that can be used but hardly do what was meant: one sentence each, said before a run begins."""

import jax
from ml_collections import ConfigDict

from ddad_jax.engine.settings import base
from ddad_jax.unet import CHANNEL_MULT


def doubts(c: ConfigDict) -> list[str]:
    """What to say of ``c``, each naming its flags and the cure. It has passed ``setting_checks.check``.

    >>> from ddad_jax.engine.settings import base
    >>> doubts(base())
    []
    """
    return [*_network(c), *_training(c), *_scoring(c), *_idle(c), *_arithmetic()]


def _network(c: ConfigDict) -> list[str]:
    m, sentences = c.model, []
    inner = c.data.size // m.patch
    multipliers = m.channel_mult or CHANNEL_MULT[inner]
    sides = [inner // 2**level for level in range(len(multipliers))]
    asked = tuple(m.attention_sizes)
    # The default fits the published sizes; at a small size it names maps that are not there, which nobody asked for.
    if asked != base().model.attention_sizes and (nowhere := [side for side in asked if side not in sides]):
        sentences.append(
            f"--config.model.attention_sizes={asked}: no feature map has the side {_listed(nowhere)}, so there is no "
            f"attention for it; the sides are {_listed(sides)} (data.size = {c.data.size}, model.patch = {m.patch})"
        )
    narrowest = min(int(multiplier * m.base) for multiplier in multipliers)
    if m.groups >= narrowest > 0 and m.groups != base().model.groups:
        sentences.append(
            f"--config.model.groups={m.groups}: the narrowest level has {narrowest} channels; with as many groups each "
            "channel is normalised by itself and the time embedding is lost: take fewer"
        )
    return sentences


def _training(c: ConfigDict) -> list[str]:
    sentences = []
    for section in ("train", *(("student",) if "student" in (c.sample.model, *c.sweep.model) else ())):
        s = c[section]
        if s.accumulate > s.steps:
            sentences.append(
                f"--config.{section}.accumulate={s.accumulate}: more than --config.{section}.steps={s.steps}, so that "
                "no update is ever made: take fewer batches an update"
            )
        elif s.warmup_steps >= s.steps > 1 and s.warmup_steps != base()[section].warmup_steps:
            sentences.append(
                f"--config.{section}.warmup_steps={s.warmup_steps}: the training ends after {s.steps} steps, before "
                "the learning rate is reached: take fewer"
            )
    return sentences


def _scoring(c: ConfigDict) -> list[str]:
    sentences = []
    for flag, layers in (("score.layers", c.score.layers), *(("sweep.layers", layers) for layers in c.sweep.layers)):
        if len(set(layers)) < len(layers):
            sentences.append(f"--config.{flag}: {tuple(layers)} names a layer twice, so that it counts twice")
    for flag, values in c.sweep.items():
        if flag != "parts" and len(set(values)) < len(values):
            sentences.append(f"--config.sweep.{flag}={tuple(values)}: a value stands twice; it is computed once")
    return sentences


def _idle(c: ConfigDict) -> list[str]:
    """Settings that differ from their defaults and that nothing looks at, as another one says so."""
    rule, pixels, usual = c.threshold.rule, c.threshold.pixel_rule, base()
    conformal = rule in ("conformal", "conformal_pac")
    synthetic = "synthetic" in (c.select, c.adapt.choose)
    needs = {
        "threshold.level": (conformal, "--config.threshold.rule=conformal or conformal_pac"),
        "threshold.delta": (rule == "conformal_pac", "--config.threshold.rule=conformal_pac"),
        "threshold.p": (rule == "quantile", "--config.threshold.rule=quantile"),
        "threshold.k": ("sigma" in (rule, pixels), "--config.threshold.rule or pixel_rule=sigma"),
        "threshold.pixel_p": (pixels == "quantile", "--config.threshold.pixel_rule=quantile"),
        "score.batch": (c.score.normalise == "batch", "--config.score.normalise=batch"),
        "data.overlap": (bool(c.data.picture), "--config.data.picture=(HEIGHT, WIDTH)"),
        "data.train_tiles": (bool(c.data.picture), "--config.data.picture=(HEIGHT, WIDTH)"),
        "view.name": (bool(c.view.mask), "--config.view.mask=FILE"),
        "view.reference": (bool(c.view.register), "--config.view.register=scored or all"),
        "teacher_images": (bool(c.teacher), "--config.teacher=STEPS"),
        "synthetic_defects": (synthetic, "--config.select=synthetic or --config.adapt.choose=synthetic"),
        "synthetic_normals": (synthetic, "--config.select=synthetic or --config.adapt.choose=synthetic"),
    }
    sentences = []
    for flag, (used, mend) in needs.items():
        section, _, name = flag.rpartition(".")
        value, other = (part[section][name] if section else part[name] for part in (c, usual))
        if not used and value != other:
            sentences.append(f"--config.{flag}={value!r}: has no effect without {mend}")
    return sentences


def _arithmetic() -> list[str]:
    """Of JAX itself: every figure of ours was measured as it is by default."""
    sentences = []
    if jax.config.values.get("jax_enable_x64"):
        sentences.append(
            "JAX_ENABLE_X64 is set: parts of the arithmetic are then of 64 bits, slower and with other numbers than "
            "without; environment.json says so. Unset it to compare with other runs"
        )
    if (prng := jax.config.values.get("jax_default_prng_impl")) != "threefry2x32":
        sentences.append(f"JAX_DEFAULT_PRNG_IMPL={prng}: other noise for the same seed than threefry2x32, the default")
    if (precision := jax.config.values.get("jax_default_matmul_precision")) is not None:
        sentences.append(
            f"JAX_DEFAULT_MATMUL_PRECISION={precision}: products are rounded otherwise than by default; "
            "environment.json says so"
        )
    return sentences


def _listed(sides: list[int]) -> str:
    return ", ".join(f"{side:g}" for side in sides)
