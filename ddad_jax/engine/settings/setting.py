"""What one line of a section says of a setting: its default, what it may be, and what it is for.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class TrainSettings:
...     steps: int = setting(20_000, COUNT, "batches")
>>> [(s.flag, s.default, s.range.expected, s.help) for s in settings_in(TrainSettings, "train.")]
[('train.steps', 20000, 'a whole number, at least 1', 'batches')]
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, fields
from numbers import Integral, Real
from typing import Any, NamedTuple

MOST_COUNTED = 2**31 - 1
"""Of steps and other counts: JAX counts in 32 bits."""
LONGEST_SIDE = 8192
"""Of what a network sees, in pixels: no device holds the maps of a larger one."""
LARGEST = 3e38
"""Of weights and strengths: float32, in which they are used, holds no larger number."""
MOST_WEIGHT = 1e9
"""Of what is multiplied with distances: the maps stay finite, and what it is weighed against counts for nothing."""

Judgement = tuple[str, bool, str]
"""(flag, whether its value may be used, what is expected)."""


class Range(NamedTuple):
    """What a setting may be by itself.

    good: whether a value may be used; expected: what a message says of the values that may. inside: of (flag, value),
    what a value that is good holds, where that has flags of its own.
    """

    good: Callable[[Any], bool]
    expected: str
    inside: Callable[[str, Any], Iterator[Judgement]] = lambda flag, value: iter(())


class Setting(NamedTuple):
    """flag: dotted name, as ``--config.`` takes it. help: what it is for, in words."""

    flag: str
    default: Any
    range: Range
    help: str


def setting(default: Any, range_: Range, help_: str = "") -> Any:
    """The field of a section, a frozen dataclass."""
    metadata = {"range": range_, "help": help_}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


def settings_in(section: type, at: str = "", values: Any = None) -> Iterator[Setting]:
    """Those of a section and of the sections in it. at: what stands before their names, such as "train.". values: a
    section of that kind that holds the defaults, None for its own; a section in another may begin from other values."""
    values = section() if values is None else values
    for each in fields(section):
        default = getattr(values, each.name)
        if "range" in each.metadata:
            yield Setting(f"{at}{each.name}", default, each.metadata["range"], each.metadata["help"])
        else:
            yield from settings_in(type(default), f"{at}{each.name}.", default)


def range_of(section: type, name: str) -> Range:
    """Of a setting of a section, for another one of the same kind."""
    return next(each.range for each in settings_in(section) if each.flag == name)


# --- What a value may be


def whole_number(low: int, high: int = MOST_COUNTED, expected: str = "") -> Range:
    between = f"from {low} to {high}" if high < MOST_COUNTED else f"at least {low}"
    return Range(lambda v: is_whole(v) and low <= v <= high, expected or f"a whole number, {between}")


def none_or_more(none: str) -> Range:
    """none: what 0 stands for."""
    return whole_number(0, expected=f"0 ({none}) or more, a whole number")


def number(low: float, high: float = LARGEST, expected: str = "") -> Range:
    return Range(lambda v: is_real(v) and low <= v <= high, expected or f"a finite number from {low:g} to {high:g}")


def above(low: float, high: float = LARGEST, expected: str = "") -> Range:
    return Range(lambda v: is_real(v) and low < v <= high, expected or f"a number above {low:g}, at most {high:g}")


def below_one(expected: str) -> Range:
    return Range(lambda v: is_real(v) and 0 <= v < 1, expected)


def one_of(*names: str) -> Range:
    listed = ", ".join(name or "''" for name in names)
    return Range(lambda v: isinstance(v, str) and v in names, listed if len(names) < 3 else f"one of {listed}")


def tuple_of(each: Range, least: int = 0, most: int = MOST_COUNTED) -> Range:
    def good(values: Any) -> bool:
        return isinstance(values, tuple) and least <= len(values) <= most and all(each.good(value) for value in values)

    return Range(good, f"a tuple{' of at least one' if least else ''}, each {each.expected}")


def span(kind: Callable[[Any], bool], low: float, high: float, words: str) -> Range:
    """(smallest, largest), both ``kind``; words: of low and high."""

    def good(values: Any) -> bool:
        pair = isinstance(values, tuple) and len(values) == 2 and all(map(kind, values))
        return pair and low <= values[0] <= values[1] <= high

    return Range(good, f"(smallest, largest), {words}")


def parts(each: Mapping[str, Range]) -> Range:
    """Of a sweep: more sweeps, by names of their own, over settings that ``each`` has."""

    def inside(flag: str, values: Any) -> Iterator[Judgement]:
        for part, axes in values.items():
            yield f"{flag}.{part}", is_section(axes), "a section, such as {'steps': (1, 3)}"
            for name, axis in axes.items():
                yield f"{flag}.{part}.{name}", name in each, f"one of {', '.join(each)} in its place"
                yield f"{flag}.{part}.{name}", each[name].good(axis), each[name].expected

    return Range(is_section, "sections, such as {'few': {'steps': (1, 3)}}", inside)


SHARE = Range(lambda v: is_real(v) and 0 < v < 1, "a share between 0 and 1")
BOOL = Range(lambda v: isinstance(v, int) and v in (False, True), "True or False")
TEXT = Range(lambda v: isinstance(v, str), "text")
COUNT = whole_number(1)
NONE_OR_MORE = whole_number(0, expected="0 or more, a whole number")
MINUTES = number(0, math.inf, "0 (no limit) or more minutes")
DTYPE = one_of("float32", "bfloat16")


def swept(section: type, name: str, help_: str = "") -> Any:
    """The field of a sweep's section: values of a setting of the point to try; none means that point's value alone."""
    return setting((), tuple_of(range_of(section, name)), help_ or f"values of {name}")


def is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and value == value  # no NaN


def is_section(value: Any) -> bool:
    return isinstance(value, Mapping)


_STAGE = Range(lambda v: isinstance(v, str) and v.isidentifier(), "the name of a stage of the backbone")
LAYERS = tuple_of(_STAGE, least=1)
"""Which stages there are depends on the backbone (``methods.backbone.need_stages``)."""
