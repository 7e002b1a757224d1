"""L1. Resampling and filtering of maps and images inside a compiled program."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.types import Array

_EXACT = jax.lax.Precision.HIGHEST
"""Accelerators otherwise multiply float32 matrices in 8 or 11 bits; here that would cost the maps their precision."""


def _align_corners_matrix(n_in: int, n_out: int) -> np.ndarray:
    """Rows of linear interpolation at source positions i (n_in - 1) / (n_out - 1); [n_out, n_in]."""
    at = np.linspace(0.0, n_in - 1.0, n_out) if n_out > 1 else np.zeros(1)
    low = np.minimum(at.astype(int), max(n_in - 2, 0))
    matrix = np.zeros((n_out, n_in))
    matrix[np.arange(n_out), low] = 1.0 - (at - low)
    matrix[np.arange(n_out), np.minimum(low + 1, n_in - 1)] += at - low
    return matrix


def upsample(x: Array, size: int | tuple[int, int]) -> Array:
    """Bilinear with aligned corners, [b, h, w, c] -> [b, size, size, c], or [b, *size, c].

    ``jax.image.resize`` has no aligned corners; two fixed matrices do it.

    Source: anomaly_map.py of the published code (interpolate, align_corners=True).

    >>> small = jnp.array([[0.0, 1.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)
    >>> print(np.asarray(upsample(small, 3))[0, :, :, 0].round(3))
    [[0.  0.5 1. ]
     [1.  1.5 2. ]
     [2.  2.5 3. ]]
    """
    height, width = size if isinstance(size, tuple) else (size, size)
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    rows, columns = (
        jnp.asarray(_align_corners_matrix(n, to), dtype) for n, to in zip(x.shape[1:3], (height, width), strict=True)
    )
    return jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns, precision=_EXACT)


def _centres_matrix(n_in: int, n_out: int) -> np.ndarray:
    """Rows of linear interpolation at source positions (i + 1/2) n_in / n_out - 1/2, edges repeated; [n_out, n_in]."""
    at = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0.0, n_in - 1.0)
    low = np.minimum(at.astype(int), max(n_in - 2, 0))
    matrix = np.zeros((n_out, n_in))
    matrix[np.arange(n_out), low] = 1.0 - (at - low)
    matrix[np.arange(n_out), np.minimum(low + 1, n_in - 1)] += at - low
    return matrix


def between_centres(x: Array, size: tuple[int, int]) -> Array:
    """Bilinear between the centres of pixels, never antialiased, [b, h, w, c] -> [b, *size, c].

    Unlike ``upsample`` it keeps every value where it was seen: the patch of a stride is centred on its pixels.

    Args:
      size: (height, width) in pixels; decides a shape.

    Source: torch's interpolate with align_corners=False, which PatchCore and PaDiM call.

    >>> small = jnp.array([[0.0, 1.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)
    >>> print(np.asarray(between_centres(small, (2, 4)))[0, :, :, 0].round(3))
    [[0.   0.25 0.75 1.  ]
     [2.   2.25 2.75 3.  ]]
    """
    if x.shape[1:3] == tuple(size):
        return x
    rows, columns = (_centres_matrix(n, to).astype(x.dtype) for n, to in zip(x.shape[1:3], size, strict=True))
    return jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns, precision=_EXACT)


def resize(x: Array, size: int) -> Array:
    """Bilinear, antialiased when shrinking, [b, h, w, c] -> [b, size, size, c]; unchanged at that size."""
    if x.shape[1:3] == (size, size):
        return x
    return jax.image.resize(x, (x.shape[0], size, size, x.shape[3]), "linear")


def gaussian_kernel(sigma: float) -> np.ndarray:
    """exp(-i^2 / (2 sigma^2)), |i| <= round(4 sigma), summing to 1; float32. sigma = 4 gives 33 taps.

    >>> len(gaussian_kernel(4.0)), round(float(gaussian_kernel(4.0).sum()), 5)
    (33, 1.0)
    """
    radius = int(4.0 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (kernel / kernel.sum()).astype(np.float32)


def gaussian_blur(maps: Array, sigma: float, *, repeat_edge: bool = False) -> Array:
    """Separable Gaussian blur of maps [n, h, w]; the border is reflected without repeating the edge pixel.

    Args:
      sigma: in pixels; 0 leaves the maps as they are. Decides a shape: bind it before ``jit``. The paper's
        4 belongs to 256 px.
      repeat_edge: reflect about the outer side of the edge pixel, which then counts twice, as scipy's gaussian_filter
        does in the published PatchCore and PaDiM.

    Source: DDAD supplement 7 (sigma_g = 4); kornia's gaussian_blur2d in the published code.

    >>> spot = jnp.zeros((1, 5, 5)).at[0, 2, 2].set(1.0)
    >>> print(np.asarray(gaussian_blur(spot, 0.5))[0, 2].round(3))
    [0.    0.084 0.619 0.084 0.   ]
    """
    if sigma == 0:
        return maps
    n, h, w = maps.shape
    # A linear map along each axis: the reflected border is folded into a matrix, exact at any size.
    rows, columns = _blur_matrix(h, sigma, repeat_edge), _blur_matrix(w, sigma, repeat_edge)
    return jnp.einsum("ih,nhw,jw->nij", rows, maps, columns, precision=_EXACT)


def _blur_matrix(n: int, sigma: float, repeat_edge: bool) -> np.ndarray:
    kernel = gaussian_kernel(sigma)
    radius = len(kernel) // 2
    at = np.arange(n)[:, None] + np.arange(-radius, radius + 1)[None]
    # Reflection about the edge pixel has period 2 (n - 1), about its outer side 2 n.
    period = 2 * n if repeat_edge else max(2 * (n - 1), 1)
    at = at % period
    at = np.where(at >= n, period - repeat_edge - at, at)
    matrix = np.zeros((n, n))
    np.add.at(matrix, (np.repeat(np.arange(n), len(kernel)), at.ravel()), np.tile(kernel, n))
    return matrix.astype(np.float32)


Maps = TypeVar("Maps", Array, np.ndarray)


def mean_filter(maps: Array, side: int) -> Array:
    """Mean of the ``side`` x ``side`` pixels about each, [b, h, w], side odd; pixels outside count as 0, so that the
    border is weakened, as in the published code of DRAEM.

    >>> print(mean_filter(jnp.ones((1, 3, 3)), 3)[0, 1] * 9)
    [6. 9. 6.]
    """
    far = side // 2
    near = (np.tri(n, n, far) - np.tri(n, n, -far - 1) for n in maps.shape[1:])
    rows, columns = (jnp.asarray(ones / side, maps.dtype) for ones in near)
    return jnp.einsum("ih,bhw,jw->bij", rows, maps, columns, precision=_EXACT)


def centre_crop(maps: Maps, size: int) -> Maps:
    """The middle size x size of maps [n, h, w]; all of them for size 0. Source: the published code crops 256 to 224.

    Raises:
      InputError: the maps are smaller than ``size``.

    >>> print(centre_crop(jnp.arange(16.0).reshape(1, 4, 4), 2))
    [[[ 5.  6.]
      [ 9. 10.]]]
    """
    if not size:
        return maps
    if size > min(maps.shape[1:]):
        raise InputError(f"crop = {size}: expected at most the size of the maps, {maps.shape[1]} x {maps.shape[2]}")
    top, left = (maps.shape[1] - size) // 2, (maps.shape[2] - size) // 2
    return maps[:, top : top + size, left : left + size]
