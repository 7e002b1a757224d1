"""The methods there are. A new one is a line here."""

from ml_collections import ConfigDict

from ddad_jax.engine.methods.ddad.method import DDAD
from ddad_jax.engine.methods.method import Method
from ddad_jax.engine.methods.padim import PaDiM
from ddad_jax.engine.methods.patchcore import PatchCore
from ddad_jax.errors import InputError

METHODS: dict[str, Method] = {method.name: method for method in (DDAD(), PatchCore(), PaDiM())}


def method_of(c: ConfigDict) -> Method:
    """That which the config names; configs of before there were several mean DDAD."""
    return METHODS[c.get("method", "ddad")]


def require_method(c: ConfigDict, name: str, program: str) -> None:
    """For a program of one method.

    Raises:
      InputError: the config is of another.
    """
    if (found := method_of(c)).name != name:
        raise InputError(
            f"{program} is of {METHODS[name].title}, and --config is of {found.title}; expected a config of "
            f"{METHODS[name].title}. experiments.sweep and experiments.evaluate run any method"
        )
