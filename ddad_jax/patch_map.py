"""L3. Scores of patches -> an anomaly map of the picture: what PatchCore and PaDiM have in common."""

from ddad_jax.image import between_centres, gaussian_blur
from ddad_jax.types import Array


def patch_map(scores: Array, size: tuple[int, int], *, sigma: float, repeat_edge: bool = False) -> Array:
    """Scores [b, h, w] of patches, brought to ``size`` bilinearly between their centres and blurred; [b, *size].

    Args:
      size: (height, width) of the pictures in pixels.
      sigma: of the blur in pixels; 0 for none. Published 4, at 224 px.
      repeat_edge: as in ``image.gaussian_blur``.
        Deviation: published True, for no reason but scipy's default; False is the border of every other map here.

    Source: Roth et al. 2022 (PatchCore), section 3.3; the published code of both.

    >>> import jax.numpy as jnp
    >>> scores = jnp.array([[[0.0, 4.0]]])
    >>> print(patch_map(scores, (1, 8), sigma=0.0)[0, 0])  # half a patch from the border there is nothing between
    [0.  0.  0.5 1.5 2.5 3.5 4.  4. ]
    """
    return gaussian_blur(between_centres(scores[..., None], size)[..., 0], sigma, repeat_edge=repeat_edge)
