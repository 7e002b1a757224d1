"""L1. Damage on normal pictures, within a compiled program: foreign texture behind a Perlin mask, or a white rectangle.

Source: Zavrtanik et al. 2021, "DRAEM"; the rectangle ("cutout") from a thesis on line clearance that extends it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.synthetic.perlin import perlin_mask
from ddad_jax.synthetic.recolouring import recoloured
from ddad_jax.synthetic.turning import turned
from ddad_jax.types import Array

LEAST_SHOWN = 0.2
"""Opacity of a texture, at least; the paper says 0.1."""
SIDES = (0.05, 0.3)
"""Of a rectangle, shares of the picture's side. The thesis says "feasible" without numbers; these are ours."""
MOST_TURN = 90.0


class DamageShares(NamedTuple):
    """How often what is done to a picture. perlin: foreign texture behind a mask of noise, published 0.5. cutout: a
    white rectangle, published 0, in the thesis's variant about 0.25 of each. turned: the picture, by -90 to 90 degrees
    with black corners, damaged or not; published 0.3."""

    perlin: float = 0.5
    cutout: float = 0.0
    turned: float = 0.3


class DamagedPictures(NamedTuple):
    """clean: what should come out again, [b, h, w, 3]; damaged: the same where ``mask``, bool [b, h, w], is False."""

    clean: Array
    damaged: Array
    mask: Array


def blended(picture: Array, texture: Array, mask: Array, beta: Array) -> Array:
    """beta picture + (1 - beta) texture inside the mask, the picture outside; [..., h, w, 3], mask [..., h, w].

    >>> out = blended(jnp.zeros((1, 2, 3)), jnp.ones((1, 2, 3)), jnp.array([[True, False]]), 0.25)
    >>> print(out[0, :, 0])
    [0.75 0.  ]
    """
    return jnp.where(mask[..., None], beta * picture + (1.0 - beta) * texture, picture)


def rectangle(key: Array, shape: tuple[int, int]) -> Array:
    """One rectangle fully inside, bool [h, w]; its sides are drawn from ``SIDES``, one pixel at least."""
    of_sides, of_place = jax.random.split(key)
    size = jnp.asarray(shape, jnp.float32)
    sides = jnp.maximum(jnp.round(jax.random.uniform(of_sides, (2,), minval=SIDES[0], maxval=SIDES[1]) * size), 1.0)
    first = jnp.floor(jax.random.uniform(of_place, (2,)) * (size - sides + 1.0))
    rows, columns = ((jnp.arange(n) >= first[i]) & (jnp.arange(n) < first[i] + sides[i]) for i, n in enumerate(shape))
    return rows[:, None] & columns[None, :]


def sometimes_turned(of_angle: Array, of_share: Array, picture: Array, share: float) -> Array:
    """[h, w, 3], turned by -90 to 90 degrees with that probability, black corners."""
    if not share:
        return picture
    angle = jax.random.uniform(of_angle, (), minval=-MOST_TURN, maxval=MOST_TURN)
    return jnp.where(jax.random.uniform(of_share) < share, turned(picture, angle), picture)


def _one(key: Array, picture: Array, textures: Array, shares: DamageShares) -> DamagedPictures:
    keys = jax.random.split(key, 8)
    h, w, _ = picture.shape
    clean = sometimes_turned(keys[0], keys[1], picture, shares.turned)
    which = jax.random.uniform(keys[2])
    by_noise = perlin_mask(keys[3], (h, w)) & (which < shares.perlin)
    texture = textures[jax.random.randint(keys[4], (), 0, len(textures))].astype(picture.dtype) / 255.0
    beta = (1.0 - LEAST_SHOWN) * jax.random.uniform(keys[5])
    damaged, mask = blended(clean, recoloured(keys[6], texture), by_noise, beta), by_noise
    if shares.cutout:
        cut = rectangle(keys[7], (h, w)) & (which >= shares.perlin) & (which < shares.perlin + shares.cutout)
        damaged, mask = jnp.where(cut[..., None], 1.0, damaged), mask | cut
    return DamagedPictures(clean, damaged, mask)


def damaged_pictures(keys: Array, pictures: Array, textures: Array, shares: DamageShares) -> DamagedPictures:
    """A batch, each picture by its key alone.

    Args:
      keys: [b]. pictures: [b, h, w, 3] in [0, 1]. textures: uint8 [n, h, w, 3], drawn from with replacement.
      shares: together ``perlin`` and ``cutout`` at most 1; the rest stays as it is.
    """
    return jax.vmap(lambda key, picture: _one(key, picture, textures, shares))(keys, pictures)
