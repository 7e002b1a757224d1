"""The settings of a run, by its method."""

from collections.abc import Mapping
from typing import Any

from ddad_jax.engine.methods.method import Method
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.errors import InputError

FIRST = "ddad"
"""Of a run that names none: there was one method when it was made."""


def of_method(name: object) -> Method:
    """
    Raises:
      InputError: there is no such method.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise InputError(f"--config.method={name!r}: expected {' or '.join(METHODS)}")
    return METHODS[name]


def settings_from(values: Mapping[str, Any]) -> Any:
    """The settings of the method that ``values`` name, unchecked.

    Raises:
      InputError: there is no such method, no such setting of it, or they are another method's.
    """
    settings = of_method(name := values.get("method", FIRST)).settings
    own = set(settings().to_dict())
    others = {each for of in METHODS.values() for each in of.settings().to_dict()} - own
    if elsewhere := [each for each in values if each in others]:
        raise InputError(
            f"--config.method={name!r}: the config has settings of another method ({', '.join(elsewhere)}); expected "
            f"one whose file begins with base({name!r})"
        )
    return settings.of(values)
