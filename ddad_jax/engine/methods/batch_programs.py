"""Programs from pictures to what is measured on them, in padded batches over the devices, and from that to maps."""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.data.batches import image_seed, padded_batches
from ddad_jax.engine.methods.measured import Constants, Mapped, MeasuredPictures
from ddad_jax.engine.methods.point import Point
from ddad_jax.mesh import copied, jit_rows, own_rows, rounded_up, shard_rows
from ddad_jax.picture_program import MapDetector
from ddad_jax.spilled import Spilled
from ddad_jax.types import Array
from ddad_jax.vision.tiles import stitch

MAPPED_AT_ONCE = 64
"""Pictures whose maps are made in one call."""

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
    function: Callable[..., Any],
    weights: Any,
    images: np.ndarray,
    *,
    batch: int,
    mesh: Mesh | None,
    seeded: bool = False,
) -> Iterator[BatchOutput]:
    """``function(weights, pictures uint8 [b, h, w, 3])`` of all pictures, in order; every process takes all. seeded:
    the function takes the seeds of their noise besides, uint32 [b].

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
        inputs = (rows, seeds) if seeded else (rows,)
        found, seconds = run_timed(compiled, what, function, weights, *inputs, mesh=mesh)
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


Judge = Callable[..., tuple[Array, Array | None]]
"""(evidence, cheap=, size=) -> maps [b, *size], and image scores [b] where the method has its own."""


def maps_of_evidence(
    compiled: Compiled,
    judge: Judge,
    evidence: Any,
    points: Sequence[Any],
    pictures: MeasuredPictures,
    *,
    size: tuple[int, int],
    folder: Path,
) -> Iterator[Mapped]:
    """At each cheap point, in chunks; tiles are put together.

    Args:
      compiled: is added to. evidence: a tree of arrays, pictures along the first axis, on the host. folder: where maps
        of tiles lie meanwhile.
    """
    for cheap in points:
        what = ("judge", cheap)
        if what not in compiled:
            compiled[what] = jax.jit(partial(judge, cheap=cheap, size=size))
        shape, scores = (len(pictures.images), *size), []
        # The maps of all tiles would be the largest array of a run.
        whole: Any = Spilled(shape, np.float32, folder) if pictures.tiling else np.empty(shape, np.float32)
        for at, valid in padded_batches(len(pictures.images), min(MAPPED_AT_ONCE, len(pictures.images))):
            of_batch, own = compiled[what](jax.tree.map(lambda rows, at=at: rows[at], evidence))
            whole[int(at[0]) : int(at[0]) + int(valid.sum())] = np.asarray(of_batch)[valid]
            if own is not None:
                scores.append(np.asarray(own)[valid])
        if pictures.tiling is not None:
            # The score of a picture is that of no tile.
            whole, scores = stitch(whole, pictures.tiling), []
        yield Mapped(cheap, whole, {}, np.concatenate(scores) if scores else None)


def map_detector(
    maps: Callable[[Any, Array, Array], Any], weights: Any, point: Point, constants: Constants, crop: int
) -> MapDetector:
    """The program of a point. maps: (weights, images [b, h, w, 3] in [-1, 1], seeds of their noise) -> maps [b, h, w],
    or (maps, image scores [b])."""
    return MapDetector(
        maps,
        jax.tree.map(jnp.asarray, weights),
        spread=constants.spread if point.cheap.standardise else None,
        watched=constants.watched if point.cheap.mask_after else None,
        crop=crop,
    )
