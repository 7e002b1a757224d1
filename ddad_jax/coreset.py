"""L3. Few rows that lie close to all: the greedy choice of farthest rows, on the device, one new row at a time."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.types import Array

_LANES = 8
"""Sums over a row are taken in as many parts side by side: on two cores that halves the time of a pick."""

PADDING = -1.0
"""Distance of a row that must not be chosen: padding, and those that are chosen already."""


class Chosen(NamedTuple):
    """rows: places of the rows chosen, in order, int32 [n]. radius: how far each was from those before, [n]."""

    rows: Array
    radius: Array


def drawn_evenly(places: np.ndarray, share: float) -> np.ndarray:
    """Which of the rows at these places of a long list are among a share of it that is spread over all; *host*.

    The list's own period (positions of a picture) does not matter: kept are the places i whose i / golden ratio has a
    fractional part below the share (a Kronecker sequence), without random numbers.

    Args:
      places: int [n]. share: in (0, 1].

    >>> drawn_evenly(np.arange(8), 0.5).tolist()
    [True, False, True, False, True, True, False, True]
    """
    return np.mod(places * ((np.sqrt(5.0) - 1) / 2), 1.0) < share


@partial(jax.jit, static_argnames="n")
def farthest(rows: Array, anchor: Array, n: int) -> Chosen:
    """n times the row that is farthest, by Euclid, from all that came before it; the lowest of equals.

        i = argmax anchor,   anchor = min(anchor, |rows - rows_i|)

    Distances to the new row are subtracted directly, so that rows which are nearly the same stay apart. Memory besides
    the rows is O(N); time O(n N d).

    Args:
      rows: [N, d], d > 0; possibly projected (``random_projection``), since places alone come out.
      anchor: how far each row is from what counts as chosen before, [N]; ``from_middle``, ``from_starts`` or
        ``from_all``. PADDING for rows that must not be chosen.
      n: 1 to the number of rows that may be chosen.
        Deviation: a row is chosen once. The published code chooses one again and again when nothing is farther than 0.

    Source: Roth et al. 2022 (PatchCore), algorithm 1; Sener and Savarese 2018 (greedy k-centre).

    >>> rows = jnp.array([[0.0], [1.0], [9.0], [10.0]])
    >>> farthest(rows, jnp.array([20.0, 10.0, 10.0, 10.0]), 3).rows.tolist()
    [0, 3, 1]
    """
    size, d = rows.shape
    if not 1 <= n <= size:
        raise InputError(f"n = {n}: expected 1 to {size}, the rows to choose from")
    lanes = jnp.pad(rows, ((0, 0), (0, -d % _LANES))).reshape(size, -1, _LANES)

    def pick(k: Array, state: tuple[Array, Chosen]) -> tuple[Array, Chosen]:
        left, chosen = state
        i = jnp.argmax(left).astype(jnp.int32)
        chosen = Chosen(chosen.rows.at[k].set(i), chosen.radius.at[k].set(left[i]))
        distance = jnp.sqrt(jnp.square(lanes - lanes[i][None]).sum(1).sum(1))
        return jnp.minimum(left, distance).at[i].set(PADDING), chosen

    begin = Chosen(jnp.zeros(n, jnp.int32), jnp.zeros(n, rows.dtype))
    return jax.lax.fori_loop(0, n, pick, (anchor.astype(rows.dtype), begin))[1]


def from_middle(rows: Array) -> Array:
    """An anchor that begins with the row nearest the mean of all: greedy k-centre, [N].

    The rows, not their order, decide the choice, and its covering radius is at most twice the best.

    Deviation: the published choice begins from random rows, of which it keeps none (``from_starts``).
    """
    middle = jnp.argmin(jnp.square(rows - rows.mean(0)[None]).sum(1))
    return jnp.full(len(rows), jnp.finfo(rows.dtype).max).at[middle].set(jnp.inf)


def from_starts(rows: Array, starts: Array) -> Array:
    """The mean distance to some rows, int [s], which are not chosen by that and cap every later distance; [N].

    Source: ApproximateGreedyCoresetSampler of the published code, s = 10 rows at random. The paper does not say.
    """
    total = jnp.zeros(len(rows), rows.dtype)
    total = jax.lax.fori_loop(
        0, len(starts), lambda k, t: t + jnp.sqrt(jnp.square(rows - rows[starts[k]][None]).sum(1)), total
    )
    return total / len(starts)


def from_all(rows: Array) -> Array:
    """The root of the sum of squared distances to all rows, [N].

    By the mean m it is N |x_i - m|^2 + sum |x_j - m|^2, without the N x N distances that the published code asks for.

    Source: GreedyCoresetSampler of the published code.
    """
    from_mean = jnp.square(rows - rows.mean(0)[None]).sum(1)
    return jnp.sqrt(len(rows) * from_mean + from_mean.sum())


def random_projection(key: Array, d: int, to: int = 128) -> Array:
    """A matrix [d, to] that roughly keeps the order of distances between rows, uniform in +-1 / sqrt(d).

    For choosing rows alone: what is kept is the whole row.

    Source: the published code's linear layer without bias, never trained. The paper: Johnson-Lindenstrauss.

    Raises:
      InputError: ``to`` below 1.
    """
    if to < 1:
        raise InputError(f"projection = {to}: expected a number of dimensions from 1 on, 128 as published")
    return jax.random.uniform(key, (d, to), minval=-1.0, maxval=1.0) / np.sqrt(d).astype(np.float32)


def projected(rows: Array, matrix: Array) -> Array:
    """rows [N, d] times a matrix [d, to], at full precision on every device."""
    return jnp.matmul(rows, matrix, precision=jax.lax.Precision.HIGHEST)


def coreset_size(n_rows: int, share: float, most: int) -> int:
    """``share`` of the rows, rounded down as published, at least 1 and at most ``most``; *host*.

    Args:
      n_rows: from 1 on.
      share: in (0, 1]. Published 0.1 at 224 px and 0.01 at 320 px.
      most: the bound of memory and time. Deviation: published without.

    Raises:
      InputError: a share outside, or ``most`` below 1.

    >>> coreset_size(160_000, 0.1, 100_000), coreset_size(160_000, 0.1, 4096), coreset_size(50, 0.01, 4096)
    (16000, 4096, 1)
    """
    if not 0 < share <= 1:
        raise InputError(f"share = {share}: expected a share of the rows above 0 and at most 1, 0.1 as published")
    if most < 1:
        raise InputError(f"most = {most}: expected a number of rows from 1 on")
    # A share in float32 or one computed (1 - 0.9) must not lose a row that its decimal figure has.
    return max(1, min(int(n_rows * share + 1e-6), most))
