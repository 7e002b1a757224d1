"""The methods there are. A new one is a line here."""

from ml_collections import ConfigDict

from ddad_jax.engine.methods.ddad.method import DDAD
from ddad_jax.engine.methods.method import Method
from ddad_jax.engine.methods.padim import PaDiM
from ddad_jax.engine.methods.patchcore import PatchCore

METHODS: dict[str, Method] = {method.name: method for method in (DDAD(), PatchCore(), PaDiM())}


def method_of(c: ConfigDict) -> Method:
    """That which the config names; configs of before there were several mean DDAD."""
    return METHODS[c.get("method", "ddad")]
