"""How a setting is refused or doubted: by its flag, with what was expected.

Of two that do not go together it is the one that was given.
"""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.settings.setting import settings_in
from ddad_jax.errors import InputError


class Need(Protocol):
    """What a setting must be; of: those it was compared with."""

    def __call__(self, flag: str, good: bool, expected: str, of: Collection[str] = ()) -> None: ...


def needing(c: Settings, given: Collection[str] = ()) -> Need:
    """Of the settings ``c``.

    Args:
      given: dotted names of the settings that a user set. Of two that do not go together such a one is to blame, not
        the other, which nobody touched.
    """

    def need(flag: str, good: bool, expected: str, of: Collection[str] = ()) -> None:
        if good:
            return
        value = f"--config.{flag}={value_at(c, flag)!r}"
        if flag not in given and (culprits := [other for other in of if other in given]):
            with_it = f"--config.{culprits[0]}={value_at(c, culprits[0])!r}: {value} does not go with it; for that one"
            raise InputError(f"{with_it}, expected {expected}")
        also = "".join(f" with --config.{other}={value_at(c, other)!r}" for other in of if {flag, other} <= {*given})
        raise InputError(f"{value}{also}: expected {expected}")

    return need


def value_at(c: Settings, flag: str) -> Any:
    """Of a setting by its dotted name; None where there is none."""
    at: Any = c
    for name in flag.split("."):
        at = at.get(name) if isinstance(at, Mapping) else getattr(at, name, None)
    return at


def values_at(c: Settings, flag: str) -> tuple[Any, ...]:
    """Of a setting, or of a sweep over it."""
    value = value_at(c, flag)
    return value if isinstance(value, tuple) else (value,)


def without_effect(c: Settings, usual: type, needs: Mapping[str, tuple[bool, str]]) -> list[str]:
    """What to say of settings that differ from their defaults and that nothing looks at, as another one says so.

    needs: flag -> whether it is used, and what would make use of it.
    """
    defaults = {each.flag: each.default for each in settings_in(usual)}
    return [
        f"--config.{flag}={value_at(c, flag)!r}: has no effect without {mend}"
        for flag, (used, mend) in needs.items()
        if not used and value_at(c, flag) != defaults[flag]
    ]
