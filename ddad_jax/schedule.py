"""L1. The noise schedule: beta -> alpha_bar(t), and the forward process q(x_t | x_0).

Times are 0-based integers t = 0 .. T-1, or real numbers between them. The clean image is t = -1, with
alpha_bar = 1. (The papers count from 1 and write alpha for alpha_bar.)
"""

import jax.numpy as jnp
import numpy as np

from ddad_jax.types import Array, Image

T = 1000
"""Training times of every paper here."""


def linear_betas(num: int = T, beta_first: float = 1e-4, beta_last: float = 0.02) -> np.ndarray:
    """beta_t rising linearly; float64 [num]. Source: Ho et al. 2020, section 4; DDAD, section 3."""
    return np.linspace(beta_first, beta_last, num, dtype=np.float64)


def alpha_bar_table(betas: np.ndarray | None = None) -> np.ndarray:
    """alpha_bar_t = prod_{i <= t} (1 - beta_i); float32 [T].

    The betas are rounded to float32 and their product accumulated in float64, which is what the
    published code's float32 ``cumprod`` does on the CPU, bit for bit.

    Source: DDAD, section 3 (there alpha_t).

    >>> alpha_bar = alpha_bar_table()
    >>> print(alpha_bar[[0, 250, 500]].round(4))
    [0.9999 0.5214 0.0778]
    """
    if betas is None:
        betas = linear_betas()
    one_minus_beta = np.float32(1) - betas.astype(np.float32)
    return np.cumprod(one_minus_beta.astype(np.float64)).astype(np.float32)


def alpha_bar_at(alpha_bar: Array, t: Array) -> Array:
    """alpha_bar[t], and 1 where t < 0 (the clean image). Any shape of ``t``; same shape out.

    Where ``t`` is real, its dtype says so, log alpha_bar runs straight from one whole time to the next, which is the
    forward process with beta constant between them; at whole times it is the table. (Log-SNR is no straight line
    there: between t = 0 and 1 it is off by 6 % of sigma^2.)

    >>> table = alpha_bar_table()
    >>> print(alpha_bar_at(table, jnp.array([-1, 250])).round(4), alpha_bar_at(table, jnp.array([250.5])).round(4))
    [1.     0.5214] [0.5201]
    """
    t, table = jnp.asarray(t), jnp.asarray(alpha_bar)
    if not jnp.issubdtype(t.dtype, jnp.floating):
        return jnp.where(t < 0, 1.0, table[jnp.maximum(t, 0)])
    low = jnp.clip(t.astype(jnp.int32), 0, len(table) - 2)
    log_low, log_high = jnp.log(table[low]), jnp.log(table[low + 1])
    return jnp.where(t < 0, 1.0, jnp.exp(log_low + (t - low) * (log_high - log_low)))


def per_image(value: Array | float, x: Array) -> Array:
    """A scalar, or one value an image [b], shaped to multiply images [b, h, w, c]."""
    value = jnp.asarray(value)
    return value.reshape(value.shape + (1,) * (x.ndim - value.ndim)) if value.ndim else value


def perturb(x: Image, noise: Array, alpha_bar_t: Array) -> Array:
    """x_t = sqrt(alpha_bar_t) x + sqrt(1 - alpha_bar_t) noise.

    Args:
      x: images [b, h, w, c] in [-1, 1].
      noise: standard normal, the shape of ``x``.
      alpha_bar_t: scalar or [b], in (0, 1].

    Source: DDAD, section 3, q(x_t | x).

    >>> x, noise = jnp.ones((1, 1, 1, 1)), jnp.zeros((1, 1, 1, 1))
    >>> float(perturb(x, noise, 0.25).item())
    0.5
    """
    a = per_image(alpha_bar_t, x)
    return jnp.sqrt(a) * x + jnp.sqrt(1.0 - a) * noise
