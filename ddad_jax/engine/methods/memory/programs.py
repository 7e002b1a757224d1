"""Programs from pictures to what is measured on them, in padded batches over the devices."""

import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.data.batches import image_seed, padded_batches
from ddad_jax.mesh import copied, jit_rows, own_rows, rounded_up, shard_rows

Compiled = dict[Hashable, Callable[..., Any]]
"""What was compiled so far, by what it is of and the shapes it takes."""


class BatchOutput(NamedTuple):
    """Of one batch. of: what the program gave, a tree of arrays [b, ...] on the devices; valid: which rows count, bool
    [b], the others repeat the last picture. seconds: the whole batch took. seeds: of each picture's noise, of its own
    content, uint32 [b] on the devices."""

    of: Any
    valid: np.ndarray
    seconds: float
    seeds: Any


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
    weights = copied_to_devices(weights, mesh)
    for at, valid in padded_batches(len(images), batch):
        pictures = images[at][own]
        rows = shard_rows(pictures, mesh)
        seeds = shard_rows(np.array([image_seed(picture) for picture in pictures], np.uint32), mesh)
        found, seconds = run_timed(compiled, what, function, weights, rows, mesh=mesh)
        yield BatchOutput(found, valid, seconds, seeds)


def copied_to_devices(weights: Any, mesh: Mesh | None) -> Any:
    """A tree of arrays on the devices, whole on each."""
    return jax.tree.map(jnp.asarray, weights) if mesh is None else copied(weights, mesh)


def run_timed(
    compiled: Compiled,
    what: Hashable,
    function: Callable[..., Any],
    weights: Any,
    *rows: Any,
    mesh: Mesh | None,
) -> tuple[Any, float]:
    """``function(weights, *rows)`` of arrays that lie on the devices, compiled once a shape, and the seconds it took
    without that."""
    shapes = tuple(leaf.shape for leaf in jax.tree.leaves((weights, rows)))
    if (what, shapes, mesh) not in compiled:
        compiled[what, shapes, mesh] = jit_rows(function, mesh).lower(weights, *rows).compile()
    started = time.perf_counter()
    found = jax.block_until_ready(compiled[what, shapes, mesh](weights, *rows))
    return found, time.perf_counter() - started
