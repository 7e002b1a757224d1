"""Settings that can be used but hardly do what was meant: one sentence each, said before a run begins."""

import jax

from ddad_jax.engine.methods.settings import of_method
from ddad_jax.engine.settings.need import without_effect
from ddad_jax.engine.settings.sections import Settings


def doubts(c: Settings) -> list[str]:
    """What to say of ``c``, each naming its flags and the cure. It has passed ``setting_checks.check_settings``."""
    return [*of_method(c.method).doubts(c), *_twice(c), *_idle(c), *_arithmetic()]


def _twice(c: Settings) -> list[str]:
    return [
        f"--config.sweep.{flag}={tuple(values)}: a value stands twice; it is computed once"
        for flag, values in getattr(c, "sweep", {}).items()
        if flag != "parts" and len(set(values)) < len(values)
    ]


def _idle(c: Settings) -> list[str]:
    rule, pixels = c.threshold.rule, c.threshold.pixel_rule
    conformal = rule in ("conformal", "conformal_pac")
    tiled = bool(c.data.picture), "--config.data.picture=(HEIGHT, WIDTH)"
    needs = {
        "threshold.level": (conformal, "--config.threshold.rule=conformal or conformal_pac"),
        "threshold.delta": (rule == "conformal_pac", "--config.threshold.rule=conformal_pac"),
        "threshold.p": (rule == "quantile", "--config.threshold.rule=quantile"),
        "threshold.k": ("sigma" in (rule, pixels), "--config.threshold.rule or pixel_rule=sigma"),
        "threshold.pixel_p": (pixels == "quantile", "--config.threshold.pixel_rule=quantile"),
        "data.split": (c.data.kind == "mtd", "--config.data.kind=mtd"),
        "data.overlap": tiled,
        "data.train_tiles": tiled,
        "view.name": (bool(c.view.mask), "--config.view.mask=FILE"),
        "view.reference": (bool(c.view.register), "--config.view.register=scored or all"),
    }
    return without_effect(c, of_method(c.method).settings, needs)


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
