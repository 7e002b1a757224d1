"""The methods there are. A new one is a line here."""

from ddad_jax.engine.methods.ddad.method import DDAD
from ddad_jax.engine.methods.diffad.method import DiffAD
from ddad_jax.engine.methods.diffusionad import DiffusionAD
from ddad_jax.engine.methods.draem import DRAEM
from ddad_jax.engine.methods.ensemble.method import Ensemble
from ddad_jax.engine.methods.feature_ddad.method import FeatureDDAD
from ddad_jax.engine.methods.method import Method
from ddad_jax.engine.methods.padim import PaDiM
from ddad_jax.engine.methods.patchcore import PatchCore
from ddad_jax.engine.methods.riad import RIAD
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.errors import InputError

METHODS: dict[str, Method] = {
    method.name: method
    for method in (DDAD(), PatchCore(), PaDiM(), FeatureDDAD(), Ensemble(), DRAEM(), RIAD(), DiffusionAD(), DiffAD())
}


def method_of(c: Settings) -> Method:
    """That which the settings name."""
    return METHODS[c.method]


def require_method(c: Settings, name: str, program: str) -> None:
    """For a program of one method.

    Raises:
      InputError: the config is of another.
    """
    if (found := method_of(c)).name != name:
        raise InputError(
            f"{program} is of {METHODS[name].title}, and --config is of {found.title}; expected a config of "
            f"{METHODS[name].title}. experiments.sweep and experiments.evaluate run any method"
        )
