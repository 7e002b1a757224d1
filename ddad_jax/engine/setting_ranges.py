"""What each setting of a config may be by itself: its type, and from where to where.

Judged before anything that compares settings, so that a refusal names the one that is wrong and not another that was
compared with it. What several settings can only break together is ``ddad_jax/engine/setting_checks.py``'s.
"""

import math
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddad_jax.backbones import BACKBONES
from ddad_jax.engine.data.data_sets import KINDS
from ddad_jax.metrics.thresholds import PIXEL_RULES, RULES
from ddad_jax.points import MODELS, OPTIMISED
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS

MOST_COUNTED = 2**31 - 1
"""Of steps and other counts: JAX counts in 32 bits."""
LONGEST_SIDE = 8192
"""Of what a network sees, in pixels: no device holds the maps of a larger one."""
LARGEST = 3e38
"""Of weights and strengths: float32, in which they are used, holds no larger number."""
MOST_WEIGHT = 1e9
"""Of what is multiplied with distances: the maps stay finite, and what it is weighed against counts for nothing."""
MOST_PIXELS = 10**9
"""Of a picture that is cut into tiles, as of one that is read."""


class Range(NamedTuple):
    """good: whether a value may be used; expected: what a message says of the values that may."""

    good: Callable[[Any], bool]
    expected: str


def whole(low: int, high: int = MOST_COUNTED, expected: str = "") -> Range:
    between = f"from {low} to {high}" if high < MOST_COUNTED else f"at least {low}"
    return Range(lambda v: _whole(v) and low <= v <= high, expected or f"a whole number, {between}")


def number(low: float, high: float = LARGEST, expected: str = "") -> Range:
    return Range(lambda v: _number(v) and low <= v <= high, expected or f"a finite number from {low:g} to {high:g}")


def above(low: float, high: float = LARGEST, expected: str = "") -> Range:
    return Range(lambda v: _number(v) and low < v <= high, expected or f"a number above {low:g}, at most {high:g}")


def share(expected: str = "a share between 0 and 1") -> Range:
    return Range(lambda v: _number(v) and 0 < v < 1, expected)


def one_of(*names: str) -> Range:
    said = ", ".join(name or "''" for name in names)
    return Range(lambda v: isinstance(v, str) and v in names, said if len(names) < 3 else f"one of {said}")


def several(each: Range, least: int = 0, most: int = MOST_COUNTED) -> Range:
    def good(values: Any) -> bool:
        return isinstance(values, tuple) and least <= len(values) <= most and all(each.good(value) for value in values)

    return Range(good, f"a tuple{' of at least one' if least else ''}, each {each.expected}")


_BOOL = Range(lambda v: isinstance(v, int) and v in (False, True), "True or False")
_TEXT = Range(lambda v: isinstance(v, str), "text")
_COUNT = whole(1)
_NONE_OR_MORE = whole(0, expected="0 or more, a whole number")
_MINUTES = number(0, math.inf, "0 (no limit) or more minutes")
_DTYPE = one_of("float32", "bfloat16")
_DECAY = Range(lambda v: _number(v) and 0 <= v < 1, "0 (none) up to below 1")
_LAYERS = several(Range(lambda v: isinstance(v, str) and v.isidentifier(), "the name of a stage of the backbone"), 1)

_TRAINING = {
    "steps": _COUNT,
    "max_minutes": _MINUTES,
    "batch_size": whole(1, 2**20),
    "learning_rate": above(0),
    "weight_decay": number(0, expected="0 (none) or more, finite"),
    "warmup_steps": whole(0, expected="0 (no warm-up) or more, a whole number"),
    "clip_norm": number(0, math.inf, "0 (no clipping) or more"),
    "accumulate": _COUNT,
    "ema_decay": _DECAY,
    "log_every": _COUNT,
    "validate_every": _COUNT,
    "checkpoint_every": _COUNT,
}
"""What sections train and student have in common."""

_RECONSTRUCTION = {
    "w": number(0, expected="a finite number, 0 (no conditioning) or more"),
    "t_prime": whole(1, 999),
    "steps": whole(1, 999),
    "eta": number(0, 1, "a number from 0 (deterministic) to 1 (DDPM variance)"),
    "grid": one_of(*sorted((*GRIDS, OPTIMISED))),
    "solver": one_of(*sorted(SOLVERS)),
    "start_noise": number(0, expected="0 (the scaled picture) or more, published 1"),
    "fade": number(0, expected="0 (a constant blend) or more, published 1"),
    "blend_max": number(0, expected="0 (no limit) or more, 1 to end at the target"),
    "model": one_of(*MODELS),
    "rise": number(0, expected="a finite number, 0 (one T' for all pictures) or more"),
    "reuse": whole(1, expected="1 (every layer at every step) or more steps"),
    "mask_before": _BOOL,
}

_SCORE = {
    "v": number(0, MOST_WEIGHT),
    "layers": _LAYERS,
    # Wider than the picture it belongs to, a blur leaves one value, and its kernel outgrows the memory.
    "sigma": number(0, 256, "0 (no blur) to 256, in pixels of a picture of 256"),
    "standardise": _BOOL,
    "feature_weight": number(0, MOST_WEIGHT),
    "mask_after": _BOOL,
}

SWEPT = {**_RECONSTRUCTION, **_SCORE, "seed": whole(0, 2**32 - 1, "a seed from 0 to 2^32 - 1")}
"""Of one value of a sweep, by its name."""

_SECTIONS: dict[str, dict[str, Range]] = {
    "": {
        "seed": whole(0, 2**31 - 1, "0 to 2^31 - 1"),
        "select": one_of("", "synthetic"),
        "teacher": whole(0, 1000, "0 (none) to 1000"),
        "teacher_images": _COUNT,
        "at_threshold": _BOOL,
        "synthetic_defects": _COUNT,
        "synthetic_normals": _COUNT,
    },
    "data": {
        "kind": one_of(*KINDS),
        "root": _TEXT,
        "category": _TEXT,
        "size": whole(1, LONGEST_SIDE, f"a side in pixels, from 1 to {LONGEST_SIDE}"),
        "held_out": share(),
        "hold_out": one_of("recording", "picture"),
        "calibration": _COUNT,
        "picture": Range(
            lambda v: (
                isinstance(v, tuple)
                and len(v) in (0, 2)
                and all(_whole(n) and n >= 1 for n in v)
                and math.prod(v) <= MOST_PIXELS
            ),
            f"() or (height, width) in pixels, such as (2048, 3072), at most {MOST_PIXELS // 10**6} million",
        ),
        "overlap": _NONE_OR_MORE,
        "train_tiles": _COUNT,
        "flips": one_of("", "h", "v", "hv"),
    },
    "view": {"mask": _TEXT, "name": _TEXT, "register": one_of("", "scored", "all"), "reference": _TEXT},
    "model": {
        "base": whole(1, LONGEST_SIDE),
        "channel_mult": several(above(0, 1024), most=16),
        "res_blocks": whole(1, 64),
        "attention_sizes": several(above(0, expected="the side of a feature map in pixels")),
        "heads": whole(1, LONGEST_SIDE),
        "dropout": Range(lambda v: _number(v) and 0 <= v < 1, "0 up to below 1"),
        "patch": whole(1, LONGEST_SIDE),
        "predict": one_of("eps", "x0"),
        "groups": whole(1, 2**16),
        "dtype": _DTYPE,
    },
    "train": {
        **_TRAINING,
        "reduce": one_of("mean", "sum"),
        "t_max": whole(1, 1000, "1 to 1000"),
        "min_snr": number(0, expected="0 (off) or above, usually 5"),
    },
    "student": {
        **_TRAINING,
        "w": Range(lambda v: _pair(v, _number) and v[0] >= 0 and v[1] <= 1e6, "(smallest, largest), from 0 to 1e6"),
        "t_prime": Range(
            lambda v: _pair(v, _whole) and v[0] >= 1 and v[1] < 1000, "(smallest, largest), from 1 to 999"
        ),
        "calls": whole(1, 2, "1 or 2"),
        "grid": one_of(*sorted(GRIDS)),
        "start_noise": _RECONSTRUCTION["start_noise"],
        "fade": _RECONSTRUCTION["fade"],
        "blend_max": _RECONSTRUCTION["blend_max"],
        "teacher_solver": one_of(*sorted(SOLVERS)),
        "teacher_steps": whole(1, 999),
        "teacher_grid": one_of(*sorted(GRIDS)),
        "defects": _COUNT,
        "damaged": number(0, 1, "a share from 0 to 1"),
        "paired": number(0, 1, "a share from 0 to 1"),
        "relative": _BOOL,
        "reuse": _COUNT,
    },
    "backbone": {
        "name": one_of(*sorted(BACKBONES)),
        "weights": _TEXT,
        "feature_size": whole(0, LONGEST_SIDE, f"0 (the pictures' own size) or a side of at most {LONGEST_SIDE}"),
        "dtype": _DTYPE,
    },
    "adapt": {
        "epochs": whole(0, expected="0 (no adaptation) or more, a whole number"),
        "max_minutes": _MINUTES,
        "patience": whole(0, expected="0 (run all epochs) or more, a whole number"),
        "batch_size": whole(1, 2**20, "at least 1 pair"),
        "learning_rate": above(0),
        "weight_decay": number(0, expected="0 (none) or more, finite"),
        "lambda_dl": number(0, expected="finite, 0 or more"),
        "batch_norm": one_of("frozen", "train"),
        **{name: _RECONSTRUCTION[name] for name in ("w", "t_prime", "steps", "eta")},
        "choose": one_of("contrast", "synthetic", "last"),
    },
    "sample": {**_RECONSTRUCTION, "origin": _TEXT, "clip": _BOOL, "batch_size": whole(1, 2**20)},
    "score": {**_SCORE, "normalise": one_of("held_out", "batch"), "batch": _COUNT, "crop": _NONE_OR_MORE},
    "threshold": {
        "rule": one_of(*RULES),
        "level": share(),
        "delta": share(),
        "p": share(),
        "k": number(0, MOST_WEIGHT, f"a number from 0 to {MOST_WEIGHT:g}, usually 3"),
        "pixel_rule": one_of(*PIXEL_RULES),
        "pixel_p": share(),
    },
    "grid": {
        "images": _COUNT,
        "teacher_steps": whole(1, 999),
        "teacher_solver": one_of(*sorted(SOLVERS)),
        "rounds": whole(0, expected="0 (none) or more, a whole number"),
    },
    "sweep": {name: several(each, least=name == "seed") for name, each in SWEPT.items()},
    "output": {
        "maps": _BOOL,
        "overlays": _BOOL,
        "examples": _COUNT,
        "browser": whole(0, expected="0 (no picture browser in the report) or more, a whole number"),
    },
}

RANGES = {f"{section}.{name}".lstrip("."): each for section, all_ in _SECTIONS.items() for name, each in all_.items()}
"""Dotted name of each setting but ``sweep.parts`` -> what it may be."""


def alone(c: ConfigDict) -> Iterator[tuple[str, bool, str]]:
    """(flag, whether its value may be used, what is expected) of every setting, each judged without the others."""
    for flag, (good, expected) in RANGES.items():
        section, _, name = flag.rpartition(".")
        values = c[section] if section else c
        # A setting that a config file took away.
        yield (flag, name in values and good(values[name]), expected)
    parts = c.sweep.parts
    yield "sweep.parts", isinstance(parts, ConfigDict), "sections, such as {'few': {'steps': (1, 3)}}"
    for part, axes in parts.items():
        yield f"sweep.parts.{part}", isinstance(axes, ConfigDict), "a section, such as {'steps': (1, 3)}"
        for name, values in axes.items():
            flag, known = f"sweep.parts.{part}.{name}", name in (*_RECONSTRUCTION, "seed")
            yield flag, known, f"one of {', '.join((*_RECONSTRUCTION, 'seed'))} in its place"
            yield flag, several(SWEPT[name]).good(values), several(SWEPT[name]).expected


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and value == value  # no NaN


def _pair(values: Any, kind: Callable[[Any], bool]) -> bool:
    return isinstance(values, tuple) and len(values) == 2 and all(map(kind, values)) and values[0] <= values[1]
