"""L3. How alike the edges of two pictures are: gradient magnitude similarity, at several scales."""

from functools import reduce

import jax.numpy as jnp

from ddad_jax.image import between_centres
from ddad_jax.types import Array, Image

C = 0.0026
"""Of ``edge_similarity``, for pictures that span 1."""
SCALES = 4


def median3(x: Array) -> Array:
    """The median of 3 x 3 pixels around each, zeros outside; [b, h, w] -> [b, h, w].

    The border is one of zeros as the published results were made with; later versions of the library that they used
    mirror it, which changes maps near the border by up to 0.6.

    >>> print(median3(jnp.eye(3)[None])[0])
    [[0. 0. 0.]
     [0. 0. 0.]
     [0. 0. 0.]]
    """
    h, w = x.shape[1:]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1)))
    rows = _sorted3(*(padded[:, i : i + h] for i in range(3)))
    lows, middles, highs = ([of[..., j : j + w] for j in range(3)] for of in rows)
    # Columns are sorted once for the three windows that they are in: the median of all is that of the largest low, the
    # middle one of the middles, and the smallest high.
    return _sorted3(reduce(jnp.maximum, lows), _sorted3(*middles)[1], reduce(jnp.minimum, highs))[1]


def _sorted3(a: Array, b: Array, c: Array) -> tuple[Array, Array, Array]:
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    below = jnp.minimum(high, c)
    return jnp.minimum(low, below), jnp.maximum(low, below), jnp.maximum(high, c)


def gradient_magnitude(x: Array) -> Array:
    """sqrt(gx^2 + gy^2) with Prewitt's operators, each divided by 3; [b, h, w] -> [b, h - 2, w - 2].

    Where nothing changes the derivative is taken as 0. That of the root is infinite there, and the published loss NaN
    whenever the median left such a place.
    """
    across, down = (x[:, :-2] + x[:, 1:-1] + x[:, 2:]) / 3.0, (x[..., :-2] + x[..., 1:-1] + x[..., 2:]) / 3.0
    squared = jnp.square(across[..., 2:] - across[..., :-2]) + jnp.square(down[:, 2:] - down[:, :-2])
    flat = squared == 0.0
    return jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, squared)))


def edge_similarity(x: Image, y: Image, *, span: float = 2.0) -> Array:
    """(2 g g' + c) / (g^2 + g'^2 + c) of the gradient magnitudes g of both, channels averaged and a median taken first;
    c = 0.0026 span^2.

    Args:
      x, y: [b, h, w, c], sides of 3 and more.
      span: of their values. Deviation: 2 for pictures in [-1, 1]; published 1 for these.

    Returns:
      [b, h - 2, w - 2], in (0, 1].

    Source: Xue et al. 2014 (GMSD), without the median; the unofficial code of RIAD, with it.
    """
    g, other = (gradient_magnitude(median3(of.mean(-1))) for of in (x, y))
    c = C * span**2
    return (2.0 * g * other + c) / (jnp.square(g) + jnp.square(other) + c)


def mean_halved(x: Array) -> Array:
    """Means of 2 x 2 pixels, [b, h, w, c] -> [b, h // 2, w // 2, c]; a last odd row or column is left out."""
    b, h, w, c = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def similarities(x: Image, y: Image, *, scales: int = SCALES, span: float = 2.0) -> list[Array]:
    """``edge_similarity`` at full size, half of it, a quarter, ..., [b, h_s - 2, w_s - 2] each; bind ``scales`` before
    ``jit``. The last needs 3 pixels: pictures of 3 * 2^(scales - 1) and more."""
    every = []
    for scale in range(scales):
        x, y = (mean_halved(x), mean_halved(y)) if scale else (x, y)
        every.append(edge_similarity(x, y, span=span))
    return every


def multiscale_loss(x: Image, y: Image, *, scales: int = SCALES, span: float = 2.0) -> Array:
    """Mean over scales of the mean of 1 - ``edge_similarity``, []. Source: RIAD, MSGMS loss."""
    return 1.0 - jnp.stack([of.mean() for of in similarities(x, y, scales=scales, span=span)]).mean()


def multiscale_map(x: Image, y: Image, *, scales: int = SCALES, span: float = 2.0) -> Array:
    """1 - the mean over scales of ``edge_similarity`` brought to full size, [b, h, w], in [0, 1).

    The two pixels that each scale lacks are made up for by stretching it, as published: things move outwards by up to
    a pixel of the scale. The published map is 3/4 lower at 4 scales (a bracket that closes too late), which orders no
    two pictures otherwise.

    Source: RIAD, anomaly map.
    """
    size = x.shape[1:3]
    every = similarities(x, y, scales=scales, span=span)
    whole = [between_centres(of[..., None], (size[0], size[1]))[..., 0] for of in every]
    return 1.0 - jnp.stack(whole).mean(0)
