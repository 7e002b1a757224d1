"""The methods there are. A new one is a line here."""

from ddad_jax.engine.methods.ddad.method import DDAD
from ddad_jax.engine.methods.method import Method
from ddad_jax.engine.settings.sections import Settings

METHODS: dict[str, Method] = {method.name: method for method in (DDAD(),)}


def method_of(c: Settings) -> Method:
    """That which the settings name."""
    return METHODS[c.method]
