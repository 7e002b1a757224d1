"""L3. How far an image is from its reconstruction: per pixel, and per patch of deep features."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from ddad_jax.errors import InputError
from ddad_jax.image import between_centres, upsample
from ddad_jax.types import Array, Image


def pixel_distance(x0: Image, y: Image) -> Array:
    """D_p = mean over channels of |x0 - y|; images [b, h, w, c] in [-1, 1] -> [b, h, w], 0 .. 2.

    Source: DDAD section 4.3 (L1 norm); the published code takes the mean over channels.

    >>> black, white = -jnp.ones((1, 2, 2, 3)), jnp.ones((1, 2, 2, 3))
    >>> pixel_distance(white, black).tolist()
    [[[2.0, 2.0], [2.0, 2.0]]]
    """
    return jnp.abs(x0 - y).mean(-1)


def squared_distance(x0: Image, y: Image) -> Array:
    """Mean over channels of (x0 - y)^2; images [b, h, w, c] in [-1, 1] -> [b, h, w], 0 .. 4.

    Source: AnoDDPM, section 3 (square error).
    """
    return jnp.square(x0 - y).mean(-1)


def patch_average(features: Array, patch: int = 3) -> Array:
    """3x3 mean around each position in float32, zeros outside; [b, h, w, c]. The cosine that follows is
    blind to how many neighbours a border position has.

    Args:
      patch: side of the mean in positions, odd.

    Source: feature_map averaging of the published code (the paper says adaptive average pooling).
    """
    window = (1, patch, patch, 1)
    total = jax.lax.reduce_window(features.astype(jnp.float32), 0.0, jax.lax.add, window, (1, 1, 1, 1), "SAME")
    return total / patch**2


def cosine_distance(a: Array, b: Array) -> Array:
    """1 - cos(a, b) over the last axis, in float32; [..., c] -> [...], 0 .. 2.

    >>> a, b = jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.array([[0.0, 2.0], [-3.0, 0.0]])
    >>> print(cosine_distance(a, b).round(3))
    [1. 2.]
    """
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    norms = jnp.maximum(jnp.linalg.norm(a, axis=-1), 1e-8) * jnp.maximum(jnp.linalg.norm(b, axis=-1), 1e-8)
    return 1.0 - (a * b).sum(-1) / norms


def feature_distances(features_x0: Mapping[str, Array], features_y: Mapping[str, Array]) -> dict[str, Array]:
    """For every layer, 1 - cos of the patch-averaged features at the layer's own size; [b, h_j, w_j].

    Kept per layer, so that which layers to sum is a choice made after the network has run.

    Source: DDAD Eq. 8.
    """
    return {
        layer: cosine_distance(patch_average(features_x0[layer]), patch_average(features_y[layer]))
        for layer in features_y
    }


UPSAMPLING: dict[str, Callable[[Array, int], Array]] = {
    "half_pixel": lambda x, size: between_centres(x, (size, size)),
    "align_corners": upsample,
}
"""How maps [b, h, w, c] of a layer are brought to size x size."""


def feature_distance(
    distances: Mapping[str, Array], layers: Sequence[str], size: int, *, upsampling: str = "half_pixel"
) -> Array:
    """D_f = sum over layers of the distances upsampled bilinearly to [b, size, size].

    Args:
      distances: what ``feature_distances`` returned.
      layers: the set J; the paper uses layer2 and layer3. Of none D_f is 0, [1, size, size].
      upsampling: one of UPSAMPLING. Deviation: "half_pixel", so that a patch of a stride stays where its pixels are;
        published "align_corners", which moves those at the border outwards by up to half a stride.

    Raises:
      InputError: another ``upsampling``.

    Source: DDAD Eq. 8.

    >>> distances = {"layer2": jnp.ones((1, 4, 4)), "layer3": jnp.full((1, 2, 2), 0.5)}
    >>> d_f = feature_distance(distances, ("layer2", "layer3"), 8)
    >>> d_f.shape, round(float(d_f[0, 3, 3]), 3)
    ((1, 8, 8), 1.5)
    """
    if upsampling not in UPSAMPLING:
        raise InputError(f"upsampling = {upsampling!r}: expected {' or '.join(UPSAMPLING)}")
    if not layers:
        return jnp.zeros((1, size, size))
    enlarged = UPSAMPLING[upsampling]
    return jnp.stack([enlarged(distances[layer][..., None], size)[..., 0] for layer in layers]).sum(0)
