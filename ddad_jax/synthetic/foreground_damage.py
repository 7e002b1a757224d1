"""L1. Damage that lies on the object: foreign or own texture behind a Perlin mask times the foreground.

Source: Zhang et al. 2023, "DiffusionAD", and the published code, whose foregrounds come from a network of its own.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.synthetic.perlin import perlin_mask
from ddad_jax.synthetic.recolouring import recoloured
from ddad_jax.synthetic.shuffling import drawn_orders, shuffled
from ddad_jax.types import Array

SHOWN = (0.2, 0.8)
"""Share of the normal picture inside a mask."""
CANDIDATES = 8
"""Masks that are drawn for a picture; the first one that meets the foreground counts. Deviation: published 50, one
after the other, of the same numbers of cells."""


class MarkedPictures(NamedTuple):
    """pictures: [b, h, w, 3] in [0, 1]. mask: [b, h, w] in [0, 1], as soft as the foreground's edge. damaged: bool
    [b]."""

    pictures: Array
    mask: Array
    damaged: Array


def softly_blended(picture: Array, texture: Array, mask: Array, beta: Array | float) -> Array:
    """(1 - m) x + m (beta x + (1 - beta) texture) with m the mask [h, w] in [0, 1] and x the picture [h, w, 3]."""
    m = mask[..., None]
    return (1.0 - m) * picture + m * (beta * picture + (1.0 - beta) * texture)


def _one(key: Array, picture: Array, foreground: Array, textures: Array, share: float, own: float) -> MarkedPictures:
    keys, (h, w) = jax.random.split(key, 8), foreground.shape
    masks = jax.vmap(lambda k: perlin_mask(k, (h, w)))(jax.random.split(keys[0], CANDIDATES)) * foreground
    mask = masks[jnp.argmax(masks.sum((1, 2)) > 0)]
    mask = jnp.where(jax.random.uniform(keys[1]) < share, mask, 0.0)
    foreign = textures[jax.random.randint(keys[2], (), 0, len(textures))].astype(picture.dtype) / 255.0
    itself = shuffled(recoloured(keys[3], picture), drawn_orders(keys[4]))
    texture = jnp.where(jax.random.uniform(keys[5]) < own, itself, recoloured(keys[6], foreign))
    beta = jax.random.uniform(keys[7], minval=SHOWN[0], maxval=SHOWN[1])
    return MarkedPictures(softly_blended(picture, texture, mask, beta), mask, mask.sum() > 0)


def marked_pictures(
    keys: Array, pictures: Array, foregrounds: Array, textures: Array, *, share: float, own: float
) -> MarkedPictures:
    """A batch, each picture by its key alone.

    Args:
      keys: [b]. pictures: [b, h, w, 3] in [0, 1]. foregrounds: [b, h, w] in [0, 1], where damage may lie. textures:
        uint8 [n, h, w, 3], drawn from with replacement.
      share: of pictures that are damaged; published 0.5. own: of these, whose texture is the picture itself, shuffled;
        published 0.5 for objects and 0 for textures.
    """
    return jax.vmap(lambda key, picture, where: _one(key, picture, where, textures, share, own))(
        keys, pictures, foregrounds
    )
