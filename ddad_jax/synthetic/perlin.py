"""L1. Perlin noise and the masks it makes, within a compiled program.

Source: Perlin 2002, "Improving noise"; as DRAEM uses it.
"""

import jax
import jax.numpy as jnp

from ddad_jax.synthetic.turning import turned
from ddad_jax.types import Array

THRESHOLD = 0.5
"""Noise above it is a mask; as published."""
LEAST_CELL = 8
"""Side of the smallest cells in pixels; as published at 256."""


def fade(t: Array) -> Array:
    """6 t^5 - 15 t^4 + 10 t^3."""
    return t * t * t * (t * (6.0 * t - 15.0) + 10.0)


def perlin_noise(u: Array, shape: tuple[int, int], cells: tuple[Array | int, Array | int]) -> Array:
    """Noise [h, w] of gradients at the corners of a lattice, about in [-1, 1].

    Pixel (i, j) lies at (i r / h, j c / w); to each corner of its cell belongs gradient . offset, and these are
    interpolated by ``fade``, times sqrt(2).

    Args:
      u: [at least r + 1, at least c + 1] in [0, 1): the gradient of a corner is (cos 2 pi u, sin 2 pi u), the first
        along rows. shape: (h, w).
      cells: (r, c), along rows and columns; may be traced.
    """
    (cell_i, y), (cell_j, x) = (_positions(n, of, u.dtype) for n, of in zip(shape, cells, strict=True))
    y, x = y[:, None], x[None, :]
    along_rows, along_columns = jnp.cos(2 * jnp.pi * u), jnp.sin(2 * jnp.pi * u)

    def corner(down: int, right: int) -> Array:
        at = (cell_i[:, None] + down, cell_j[None, :] + right)
        return along_rows[at] * (y - down) + along_columns[at] * (x - right)

    left, right = (corner(0, k) + fade(y) * (corner(1, k) - corner(0, k)) for k in (0, 1))
    return jnp.sqrt(jnp.asarray(2.0, u.dtype)) * (left + fade(x) * (right - left))


def _positions(n: int, cells: Array | int, dtype: jnp.dtype) -> tuple[Array, Array]:
    """(cell, position within it in [0, 1)) of each of n pixels; of whole numbers, so that nothing is rounded."""
    at = jnp.arange(n) * cells
    return at // n, (at % n).astype(dtype) / n


def perlin_mask(key: Array, shape: tuple[int, int]) -> Array:
    """Where a picture is damaged, bool [h, w]: turned noise above ``THRESHOLD``. May be empty.

    Cells along rows and columns are 2^k, k uniform from 0 to those of ``LEAST_CELL`` pixels; the noise is turned by
    -90 to 90 degrees, zeros outside.

    Deviation: published k from 0 to 5, at 256 px; here the smallest cells have as many pixels at every size.
    """
    of_rows, of_columns, of_u, of_angle = jax.random.split(key, 4)
    most = [max(0, (n // LEAST_CELL).bit_length() - 1) for n in shape]
    r, c = (2 ** jax.random.randint(k, (), 0, m + 1) for k, m in zip((of_rows, of_columns), most, strict=True))
    noise = perlin_noise(jax.random.uniform(of_u, (2 ** most[0] + 1, 2 ** most[1] + 1)), shape, (r, c))
    angle = jax.random.uniform(of_angle, (), minval=-90.0, maxval=90.0)
    return turned(noise[..., None], angle)[..., 0] > THRESHOLD
