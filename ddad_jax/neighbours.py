"""L3. The nearest rows of a bank, exactly, without ever holding all distances."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddad_jax.errors import InputError
from ddad_jax.types import Array

BUDGET = 2**22
"""Distances held at once: 16 MiB."""

_SPARE = 8
"""Candidates besides the k nearest: those that rounding may have put behind others."""


class Nearest(NamedTuple):
    """distances: Euclidean, rising, [m, k]. rows: whose, int32 [m, k]; the lowest of equals first."""

    distances: Array
    rows: Array


def nearest(queries: Array, bank: Array, k: int = 1, *, budget: int = BUDGET) -> Nearest:
    """The k rows of ``bank`` [M, d] nearest to each of ``queries`` [m, d].

    Candidates come from |x|^2 + |y|^2 - 2 x y, which loses digits where two rows are close; their distances are then
    computed again by subtraction, and decide. A query's result does not depend on the other queries.

    Args:
      k: 1 to M, bound before ``jit``.
      budget: distances in memory at once, >= 1: queries and bank are cut so that fewer are held. Decides a shape.
        Besides, k + 8 candidates for each row of a cut are held, with their d numbers.

    Raises:
      InputError: k or budget outside.

    >>> near = nearest(jnp.array([[0.2], [3.0]]), jnp.array([[0.0], [1.0], [5.0]]), 2)
    >>> near.rows.tolist(), near.distances.round(3).tolist()
    ([[0, 1], [1, 2]], [[0.20000000298023224, 0.800000011920929], [2.0, 2.0]])
    """
    (m, d), size = queries.shape, bank.shape[0]
    if not 1 <= k <= size:
        raise InputError(f"k = {k}: expected 1 to {size}, the rows of the bank")
    if budget < 1:
        raise InputError(f"budget = {budget}: expected a number of distances from 1 on")
    n_query, n_bank = cut_sizes(m, size, budget)
    # About their own mean the rows are short, and little is left to cancel.
    middle = bank.mean(0)[None]
    parts = jnp.pad(bank - middle, ((0, -size % n_bank), (0, 0))).reshape(-1, n_bank, d)
    firsts = jnp.arange(len(parts), dtype=jnp.int32) * n_bank
    n_candidates = min(k + _SPARE, size)

    def of_cut(cut: Array) -> Nearest:
        x = cut - middle

        def merge(best: tuple[Array, Array], part: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            y, first = part
            rows = first + jnp.arange(n_bank, dtype=jnp.int32)
            cross = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
            # |x|^2 is the same for all rows.
            far = jnp.where(rows < size, jnp.square(y).sum(1), jnp.inf)[None] - 2.0 * cross
            negative, at = jax.lax.top_k(-far, min(n_candidates, n_bank))
            values = jnp.concatenate([best[0], -negative], 1)
            places = jnp.concatenate([best[1], rows[at]], 1)
            negative, at = jax.lax.top_k(-values, n_candidates)
            return (-negative, jnp.take_along_axis(places, at, 1)), None

        none = (jnp.full((len(cut), n_candidates), jnp.inf, x.dtype), jnp.zeros((len(cut), n_candidates), jnp.int32))
        (_, candidates), _ = jax.lax.scan(merge, none, (parts, firsts))

        def of_candidate(rows: Array) -> Array:
            return jnp.sqrt(jnp.square(cut - bank[rows]).sum(1))

        distances = jax.lax.map(of_candidate, candidates.T).T
        distances, candidates = jax.lax.sort((distances, candidates), num_keys=2)
        return Nearest(distances[:, :k], candidates[:, :k])

    cuts = jnp.pad(queries, ((0, -m % n_query), (0, 0))).reshape(-1, n_query, d)
    found = jax.lax.map(of_cut, cuts)
    return Nearest(*(x.reshape(-1, k)[:m] for x in found))


def cut_sizes(m: int, size: int, budget: int) -> tuple[int, int]:
    """How many queries and how many rows of a bank are compared at once: at most ``budget`` pairs."""
    n_bank = max(1, min(size, budget // min(m, 256, budget)))
    return max(1, min(m, budget // n_bank)), n_bank
