"""The settings of a run, by its method: one literal table."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ddad_jax.engine.methods import padim
from ddad_jax.engine.methods.ddad import checks, doubts
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.memory.sections import together
from ddad_jax.engine.methods.padim import PaDiMSettings
from ddad_jax.engine.methods.patchcore import PatchCoreSettings
from ddad_jax.engine.settings.need import Need
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.errors import InputError


class OfMethod(NamedTuple):
    """settings: every setting of its runs. together: refuses those that cannot go together, each good by itself.
    doubts: what to say of those that can be used but hardly do what was meant."""

    settings: type[Settings]
    together: Callable[[Any, Need], None] = lambda c, need: None
    doubts: Callable[[Any], list[str]] = lambda c: []


METHODS = {
    "ddad": OfMethod(DDADSettings, checks.together, doubts.doubts),
    "patchcore": OfMethod(PatchCoreSettings, together),
    "padim": OfMethod(PaDiMSettings, together, padim.doubts),
}
"""``method`` -> what its settings are."""

FIRST = "ddad"
"""Of a run that names none: there was one method when it was made."""


def of_method(name: object) -> OfMethod:
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
