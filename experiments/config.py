"""What config files begin from, those of ``experiments/configs`` and a user's own: ``base()``, ``reference(c)``."""

from ddad_jax.engine.settings import base, reference

__all__ = ["base", "reference"]
