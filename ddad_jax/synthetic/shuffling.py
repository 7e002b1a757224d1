"""L1. A picture as the texture of its own damage: cut into a grid and put together in another order.

Source: the published code of DiffusionAD ("self-augmentation").
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.types import Array

PARTS = 8
"""Columns and rows of the grid."""


class Orders(NamedTuple):
    """Permutations, int. even_columns, odd_columns: of the columns 0, 2, ... and 1, 3, ...; rows: of all; even_rows,
    odd_rows: then of every other one of these."""

    even_columns: Array
    odd_columns: Array
    rows: Array
    even_rows: Array
    odd_rows: Array


def drawn_orders(key: Array, parts: int = PARTS) -> Orders:
    keys, half = jax.random.split(key, 5), parts // 2
    sizes = (parts - half, half, parts, parts - half, half)
    return Orders(*(jax.random.permutation(k, n) for k, n in zip(keys, sizes, strict=True)))


def shuffled(picture: Array, orders: Orders) -> Array:
    """[h, w, c], h and w multiples of the number of parts: first the even columns, then the odd ones, in their orders;
    the rows in theirs, and then the even and the odd ones of these."""
    parts = len(orders.rows)
    h, w, c = picture.shape
    columns = jnp.concatenate([2 * orders.even_columns, 2 * orders.odd_columns + 1])
    rows = jnp.concatenate([orders.rows[::2][orders.even_rows], orders.rows[1::2][orders.odd_rows]])
    grid = picture.reshape(parts, h // parts, parts, w // parts, c)
    return grid[rows][:, :, columns].reshape(h, w, c)
