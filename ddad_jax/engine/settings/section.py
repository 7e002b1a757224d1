"""Sections as values: read from plain dicts, written to them, and changed into others by dotted names.

>>> from ddad_jax.engine.settings.sections import Settings
>>> changed(Settings(), {"seed": 3, "data.size": 64}).data.size
64
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self, TypeVar

from ddad_jax.engine.settings.setting import is_whole
from ddad_jax.errors import InputError

S = TypeVar("S", bound="Section")


@dataclass(frozen=True)
class Section:
    """Settings that belong together, as attributes; and by name, where code goes through them by name."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def items(self) -> Iterator[tuple[str, Any]]:
        return ((each.name, getattr(self, each.name)) for each in fields(self))

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    @classmethod
    def of(cls, values: object, at: str = "") -> Self:
        """From a plain dict of all of them; what it lacks is None, which no setting may be.

        Raises:
          InputError: there is no such setting.
        """
        usual, values = cls(), values if isinstance(values, Mapping) else {}
        if unknown := [name for name in values if name not in {each.name for each in fields(cls)}]:
            raise no_such(f"{at}{unknown[0]}")
        return cls(**{name: _like(default, values.get(name), f"{at}{name}.") for name, default in usual.items()})


def changed(section: S, values: Mapping[str, Any]) -> S:
    """``section`` with other values, by dotted names such as "score.crop".

    Raises:
      InputError: there is no such setting.
    """
    for flag, value in values.items():
        section = _with(section, flag.split("."), value, flag)
    return section


def no_such(flag: str) -> InputError:
    return InputError(f"--config.{flag}: there is no such setting; the page of settings (docs) has them all")


def _with(section: S, path: list[str], value: Any, flag: str) -> S:
    name, *rest = path
    usual = dict(type(section)().items())
    if name not in usual or isinstance(usual[name], Section) != bool(rest):
        raise no_such(flag)
    return replace(section, **{name: _with(section[name], rest, value, flag) if rest else _like(usual[name], value)})


def _like(default: Any, value: Any, at: str = "") -> Any:
    """``value`` in the place of a default: a section of its kind, a whole number as a number."""
    if isinstance(default, Section):
        return type(default).of(value, at)
    return float(value) if isinstance(default, float) and is_whole(value) and abs(value) < 2**53 else value
