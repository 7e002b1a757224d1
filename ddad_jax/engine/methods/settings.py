"""The settings of a run, by its method: one literal table."""

from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

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
    together: Callable[[ConfigDict, Need], None] = lambda c, need: None
    doubts: Callable[[ConfigDict], list[str]] = lambda c: []


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
