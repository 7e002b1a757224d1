"""L3. SSIM: how alike two pictures are in brightness, contrast and structure, place by place."""

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.types import Array, Image

_EXACT = jax.lax.Precision.HIGHEST


def ssim(x: Image, y: Image, *, window: int = 11, sigma: float = 1.5, span: float = 2.0) -> Array:
    """(2 m m' + c1)(2 s_xy + c2) / ((m^2 + m'^2 + c1)(s_x^2 + s_y^2 + c2)) of a Gaussian window, zeros outside.

    Args:
      x, y: [b, h, w, c]. window: side in pixels, odd. sigma: of the window, in pixels.
      span: of the values, c1 = (0.01 span)^2 and c2 = (0.03 span)^2.

    Returns:
      [b, h, w, c], at most 1, which it is where both are the same.

    Source: Wang et al. 2004, Eq. 13.

    >>> x = jnp.linspace(-1, 1, 64).reshape(1, 8, 8, 1)
    >>> bool(jnp.allclose(ssim(x, x), 1.0, atol=1e-5))
    True
    """
    rows, columns = (_window_matrix(n, window, sigma).astype(x.dtype) for n in x.shape[1:3])

    def local(values: Array) -> Array:
        return jnp.einsum("ih,bhwc,jw->bijc", rows, values, columns, precision=_EXACT)

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    both = local(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    alike = (2.0 * mean_x * mean_y + c1) * (2.0 * both + c2)
    return alike / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))


def _window_matrix(n: int, window: int, sigma: float) -> np.ndarray:
    """Row i weighs the pixels around i; what lies outside counts as zero, so that rows at the border sum to less."""
    at = np.arange(window) - window // 2
    kernel = np.exp(-0.5 * (at / sigma) ** 2)
    matrix = np.zeros((n, n + window - 1))
    for i in range(n):
        matrix[i, i : i + window] = kernel / kernel.sum()
    return matrix[:, window // 2 : window // 2 + n]
