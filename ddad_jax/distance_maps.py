"""L5. From the distances of a sweep to blurred maps of whole pictures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.distance import feature_distance
from ddad_jax.image import gaussian_blur
from ddad_jax.spilled import room_like
from ddad_jax.sweep import Distances
from ddad_jax.types import Array
from ddad_jax.vision.tiles import Tiling, stitch


def blurred(
    distances: Distances,
    layers: tuple[str, ...],
    sigma: float,
    *,
    upsampling: str = "half_pixel",
    tiling: Tiling | None = None,
    rows: slice = slice(None),
    batch: int = 64,
) -> tuple[np.ndarray, np.ndarray]:
    """(D_p, D_f) of all images, D_f over ``layers`` at the size of D_p, both blurred; float32 [n, h, w], ``Spilled``
    where the distances are.

    Blurring is linear, so any v combines these two without another blur.

    Args:
      upsampling: as of ``distance.feature_distance``.
      tiling: the images are tiles, and the maps those of whole pictures, put together one after another.
      rows: which of the images, of whole pictures with ``tiling``.
    """
    size, each = distances.pixel.shape[1], tiling.count if tiling else 1
    first, last, _ = rows.indices(len(distances.pixel) // each)
    shape = (max(last - first, 0), *(tiling.picture if tiling else (size, size)))
    out_p, out_f = (room_like(distances.pixel, shape, np.float32) for _ in range(2))
    # A picture of tiles at a time, or as many images as go through at once.
    step = 1 if tiling else batch
    for i in range(first, last, step):
        begin, end = i * each, min(i + step, last) * each
        d_p, d_f = _maps(distances, layers, sigma, upsampling, slice(begin, end), batch)
        at = slice(i - first, min(i + step, last) - first)
        out_p[at], out_f[at] = (d_p, d_f) if tiling is None else (stitch(d_p, tiling), stitch(d_f, tiling))
    return out_p, out_f


def _maps(
    distances: Distances, layers: tuple[str, ...], sigma: float, upsampling: str, rows: slice, batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """``blurred`` of neighbouring images, in calls of ``batch`` of them, the last one padded."""
    size, parts = distances.pixel.shape[1], []
    for first in range(rows.start, rows.stop, batch):
        at = np.minimum(np.arange(first, first + batch), rows.stop - 1)
        part = {k: distances.features[k][at] for k in layers}
        maps = _blurred(distances.pixel[at], part, layers=layers, size=size, sigma=sigma, upsampling=upsampling)
        parts.append([np.asarray(d)[: rows.stop - first] for d in maps])
    d_p, d_f = (np.concatenate(of) for of in zip(*parts, strict=True))
    return d_p, d_f


@functools.partial(jax.jit, static_argnames=("layers", "size", "sigma", "upsampling"))
def _blurred(
    pixel: Array, features: dict[str, Array], *, layers: tuple[str, ...], size: int, sigma: float, upsampling: str
) -> tuple[Array, Array]:
    d_f = jnp.broadcast_to(feature_distance(features, layers, size, upsampling=upsampling), pixel.shape)
    return gaussian_blur(pixel, sigma), gaussian_blur(d_f, sigma)
