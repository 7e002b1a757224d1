"""Pixels x ~ N(MEAN, STD^2), another STD in each channel: the exact noise prediction and the exact solution."""

import jax.numpy as jnp
import numpy as np

from ddad_jax.schedule import alpha_bar_at, alpha_bar_table, per_image
from ddad_jax.types import Array

ALPHA_BAR = jnp.asarray(alpha_bar_table())
MEAN = 0.3
STD = np.array([0.1, 0.3, 0.9], np.float32).reshape(1, 1, 1, 3)


def exact_eps(x_t: Array, t: Array) -> Array:
    """The noise prediction that no network can better."""
    a = jnp.broadcast_to(per_image(alpha_bar_at(ALPHA_BAR, t), x_t), (len(x_t), 1, 1, 1))
    return jnp.sqrt(1 - a) * (x_t - jnp.sqrt(a) * MEAN) / (a * STD**2 + 1 - a)


def exact_solution(x_t: np.ndarray, t: int) -> np.ndarray:
    """Where the probability flow leads from x_t at t: it keeps (x_t - sqrt(a) MEAN) / sqrt(a STD^2 + 1 - a)."""
    a = float(ALPHA_BAR[t])
    return np.asarray(MEAN + STD * (np.asarray(x_t, np.float64) - np.sqrt(a) * MEAN) / np.sqrt(a * STD**2 + 1 - a))
