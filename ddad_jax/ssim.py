"""L1. Structural similarity of pictures.

Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity".
"""

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.types import Array, Image

SIDE, SIGMA = 11, 1.5
"""Of the Gaussian window, in pixels."""


def window_matrix(n: int, side: int, sigma: float) -> np.ndarray:
    """The window along one axis of n pixels as a matrix, float64 [n, n]; zeros outside the picture."""
    offset = np.arange(side) - side // 2
    window = np.exp(-(offset**2) / (2.0 * sigma**2))
    window /= window.sum()
    matrix = np.zeros((n, n))
    for shift, weight in zip(offset, window, strict=True):
        matrix += weight * np.eye(n, k=int(shift))
    return matrix


def ssim_map(x: Image, y: Image, *, value_range: Array | float = 1.0, side: int = SIDE, sigma: float = SIGMA) -> Array:
    """(2 mu_x mu_y + c1)(2 s_xy + c2) / ((mu_x^2 + mu_y^2 + c1)(s_x^2 + s_y^2 + c2)), by channel,
    [b, h, w, c] in [-1, 1].

    Means, variances and covariance in a Gaussian window; c1 = (0.01 L)^2, c2 = (0.03 L)^2.

    Args:
      x, y: [b, h, w, c]. value_range: L, of the values, [] or a number.
      side, sigma: of the window in pixels; zeros outside the picture.
    """
    rows, columns = (jnp.asarray(window_matrix(n, side, sigma), x.dtype) for n in x.shape[1:3])

    def mean(z: Array) -> Array:
        return jnp.einsum("ih,bhwc,jw->bijc", rows, z, columns, precision=jax.lax.Precision.HIGHEST)

    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    mu_x, mu_y = mean(x), mean(y)
    var_x, var_y, both = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2, mean(x * y) - mu_x * mu_y
    return (2 * mu_x * mu_y + c1) * (2 * both + c2) / ((mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2))


def value_range_of(x: Image) -> Array:
    """L as DRAEM's published code reads it off a batch: from -1 where the smallest value is below -0.5, else from 0, to
    255 where the largest is above 128, else to 1; no gradient flows through it."""
    x = jax.lax.stop_gradient(x)
    return jnp.where(x.max() > 128, 255.0, 1.0) - jnp.where(x.min() < -0.5, -1.0, 0.0)
