"""L4. RIAD: a picture put together from pieces that were each filled in without being seen, and how it differs.

The cells of a grid fall at random into three sets; each set is blanked in turn and filled in by a network that was
trained on normal pictures alone. What it fills in looks normal; an anomaly does not come back.

Source: Zavrtanik, Kristan and Skocaj 2021, "Reconstruction by inpainting for visual anomaly detection". Its authors
published no code; "published" is the unofficial re-implementation.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ddad_jax.gradient_similarity import SCALES, multiscale_loss, multiscale_map
from ddad_jax.ssim import ssim_map
from ddad_jax.types import Array, Image

SETS = 3
"""Disjoint sets of cells."""
CELLS = (2, 4, 8, 16)
"""Sides of a cell in pixels: one of these a training step, all of them at a test."""
TERMS = ("l2", "edges", "ssim")
"""Of the loss."""

Apply = Callable[[Any, Image], tuple[Image, Any]]
"""(variables, masked pictures) -> (pictures, the variables afterwards, whose running statistics may have moved)."""


def cell_masks(order: Array, size: int, cell: int, sets: int = SETS) -> Array:
    """1 where a pixel is kept and 0 where it is blanked, [sets, size, size]; each pixel is blanked in one of them.

    Args:
      order: permutation of the (size / cell)^2 cells, counted by rows; the first third of it is blanked first.
      cell: side in pixels, a divisor of ``size``; both decide shapes.

    >>> print(cell_masks(jnp.arange(4), 2, 1, 2))
    [[[0. 0.]
      [1. 1.]]
    <BLANKLINE>
     [[1. 1.]
      [0. 0.]]]
    """
    n = size // cell
    share = -(-(n * n) // sets)
    set_of = jnp.zeros(n * n, jnp.int32).at[order].set(jnp.arange(n * n) // share).reshape(n, n)
    visible = set_of[None] != jnp.arange(sets)[:, None, None]
    return visible.repeat(cell, 1).repeat(cell, 2).astype(jnp.float32)


def drawn_masks(key: Array, size: int, cell: int) -> Array:
    """``cell_masks`` of a random order, [SETS, size, size]."""
    return cell_masks(jax.random.permutation(key, (size // cell) ** 2), size, cell)


def training_masks(key: Array, size: int, cells: Sequence[int] = CELLS) -> Array:
    """``drawn_masks`` with cells of one of these sides, drawn too, [SETS, size, size]."""
    keys = jax.random.split(key, len(cells) + 1)
    every = [drawn_masks(of, size, cell) for of, cell in zip(keys[1:], cells, strict=True)]
    return jnp.stack(every)[jax.random.randint(keys[0], (), 0, len(cells))]


def scoring_masks(key: Array, size: int, cells: Sequence[int] = CELLS, draws: int = 1) -> Array:
    """``drawn_masks`` with cells of each of these sides, [draws, len(cells), SETS, size, size].

    Deviation: drawn once for all pictures, so that a score is a function of the picture; published anew for each batch.
    """
    keys = jax.random.split(key, (draws, len(cells)))
    return jnp.stack([jnp.stack([drawn_masks(of[i], size, cell) for i, cell in enumerate(cells)]) for of in keys])


def inpainted(apply: Apply, variables: Any, x: Image, masks: Array, *, together: bool = True) -> tuple[Image, Any]:
    """sum over i of net(x M_i) (1 - M_i), and the variables afterwards.

    Args:
      x: [b, h, w, c] in [-1, 1]; masks: [..., SETS, h, w], any number of such sets in front, which come back in front.
      together: one call of all copies. Deviation: published a call for each mask, which is the same where running
        statistics are used, and in training gives each its own.

    Returns:
      [..., b, h, w, c], no pixel of which was seen when it was filled in.
    """
    lead, (b, h, w, c) = masks.shape[:-2], x.shape
    holes = masks.reshape(-1, h, w)[:, None, :, :, None].astype(x.dtype)
    copies = x[None] * holes
    if together:
        filled, variables = apply(variables, copies.reshape(-1, h, w, c))
    else:
        each = []
        for copy in copies:
            one, variables = apply(variables, copy)
            each.append(one)
        filled = jnp.stack(each)
    pieces = filled.reshape(copies.shape) * (1.0 - holes)
    return pieces.reshape(*lead, b, h, w, c).sum(len(lead) - 1), variables


def inpainting_terms(x: Image, filled: Image, *, scales: int = SCALES, span: float = 2.0) -> Array:
    """[mean squared error, 1 - gradient similarity, 1 - SSIM], [3]; the loss is their sum.

    Args:
      scales, span: of ``gradient_similarity``. Deviation: span = 2 in both similarities; published 1.

    Source: RIAD, all weights 1.
    """
    edges = multiscale_loss(x, filled, scales=scales, span=span)
    return jnp.stack([jnp.square(x - filled).mean(), edges, 1.0 - ssim_map(x, filled, value_range=span).mean()])


def cell_weights(size: int, cells: Sequence[int], weights: str) -> Array:
    """Of the map of each side of cells. "mean": all alike; "area": 1 / (size / cell)^2, as published, which at 256 px
    leaves 16 and 8 pixels 94 % of the sum (the paper seems to mean the number of sides by that letter)."""
    if weights == "area":
        return jnp.array([(cell / size) ** 2 for cell in cells])
    return jnp.full(len(cells), 1.0 / len(cells))


def inpainting_map(x: Image, filled: Image, weights: Array, *, scales: int = SCALES, span: float = 2.0) -> Array:
    """Weighted ``multiscale_map`` of each side of cells, in the mean over draws, [b, h, w], before any smoothing.

    Args:
      filled: [draws, len(weights), b, h, w, c]. weights: ``cell_weights``.
    """
    draws, sides, *shape = filled.shape
    again = jnp.broadcast_to(x[None], (draws * sides, *shape)).reshape(-1, *shape[1:])
    maps = multiscale_map(again, filled.reshape(-1, *shape[1:]), scales=scales, span=span)
    return jnp.einsum("dsbhw,s->bhw", maps.reshape(draws, sides, *shape[:-1]), weights) / draws
