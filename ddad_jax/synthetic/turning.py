"""L1. Turning a picture about its middle, within a compiled program."""

import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from ddad_jax.types import Array


def turned(picture: Array, degrees: Array | float) -> Array:
    """[h, w, c] turned clockwise as it is seen, about ((h - 1) / 2, (w - 1) / 2): bilinear, zeros outside.

    Source: imgaug's ``Affine(rotate)``, whose weights OpenCV rounds to 1/32.
    """
    h, w, _ = picture.shape
    y, x = jnp.meshgrid(jnp.arange(h) - (h - 1) / 2, jnp.arange(w) - (w - 1) / 2, indexing="ij")
    a = jnp.deg2rad(degrees)
    at = [-jnp.sin(a) * x + jnp.cos(a) * y + (h - 1) / 2, jnp.cos(a) * x + jnp.sin(a) * y + (w - 1) / 2]
    return jnp.stack([map_coordinates(picture[..., i], at, 1, cval=0.0) for i in range(picture.shape[-1])], -1)
