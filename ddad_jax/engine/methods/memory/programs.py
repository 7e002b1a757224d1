"""Programs from pictures to what is measured on them, in padded batches over the devices."""

import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.data.batches import padded_batches
from ddad_jax.mesh import copied, jit_rows, own_rows, rounded_up, shard_rows

Compiled = dict[Hashable, Callable[..., Any]]
"""What was compiled so far, by what it is of and the shapes it takes."""


class BatchOutput(NamedTuple):
    """Of one batch. of: what the program gave, a tree of arrays [b, ...] on the devices; valid: which rows count, bool
    [b], the others repeat the last picture. seconds: the whole batch took."""

    of: Any
    valid: np.ndarray
    seconds: float


def in_batches(
    compiled: Compiled,
    what: Hashable,
    function: Callable[[Any, Any], Any],
    weights: Any,
    images: np.ndarray,
    *,
    batch: int,
    mesh: Mesh | None,
) -> Iterator[BatchOutput]:
    """``function(weights, pictures uint8 [b, h, w, 3])`` of all pictures, in order; every process takes all.

    Args:
      compiled: is added to. what: tells the function from others of that store.
      batch: pictures in one call, over all devices; rounded up to a multiple of their number.
    """
    batch = rounded_up(min(batch, len(images)), mesh)
    own = own_rows(batch, mesh)
    weights = jax.tree.map(jnp.asarray, weights) if mesh is None else copied(weights, mesh)
    for at, valid in padded_batches(len(images), batch):
        rows = shard_rows(images[at][own], mesh)
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves((weights, rows)))
        if (what, shapes, mesh) not in compiled:
            compiled[what, shapes, mesh] = jit_rows(function, mesh).lower(weights, rows).compile()
        started = time.perf_counter()
        found = jax.block_until_ready(compiled[what, shapes, mesh](weights, rows))
        yield BatchOutput(found, valid, time.perf_counter() - started)
