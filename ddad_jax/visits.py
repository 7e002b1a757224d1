"""L5. What the reconstructions of a point go through: the clean image that is predicted at each visited time."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ddad_jax.data.batches import image_seed
from ddad_jax.mesh import jit_rows, own_rows, rounded_up
from ddad_jax.pair_program import PairInput, PairProgram, pair_input
from ddad_jax.points import GridKey, ReconPoint
from ddad_jax.sampler import visited
from ddad_jax.sweep import grids_of
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array


class Visits(NamedTuple):
    """Of n images. times: int [n, K], those visited, rounded; x0_hat: uint8 [n, K, h, w, c], predicted there."""

    times: np.ndarray
    x0_hat: np.ndarray


def visits(
    program: PairProgram,
    pictures: Iterable[np.ndarray],
    point: ReconPoint,
    *,
    chunk: int,
    by: Callable[..., Any] = visited,
    optimised: Mapping[GridKey, TimeGrid] | None = None,
    starts: Iterable[np.ndarray] | None = None,
) -> Iterator[Visits]:
    """The same reconstructions as ``sweep_distances``' of that point, seen at each time; no distance is taken.

    Every process of the program's mesh calls this with the same arguments, and is given everything.

    Args:
      program: of the point's model; it is compiled once more, without the feature network.
      pictures: uint8 [n, h, w, c] each, n >= 1, such as the tiles of one picture after those of another; only one
        of them is in memory at a time. chunk: pairs in one call, over all devices.
      by: ``sampler.visited``, or what gives the same of another model's reconstruction.
      optimised: of ``sweep_distances``. starts: T' of each image, int [n] for each of ``pictures``, for a point with
        ``rise``.

    Raises:
      InputError: as ``sweep_distances``.
    """
    mesh, chunk = program.mesh, rounded_up(chunk, program.mesh)
    own = own_rows(chunk, mesh)
    of_point = point._replace(mask_before=False)  # decides what distances see, not what is redrawn

    def redrawn(weights: Any, pairs: PairInput) -> Array:
        first = pairs._replace(seed=pairs.seed * np.uint32(point.draws))
        x0_hat = program.redrawn(weights, first, point.solver, point.reuse, point.start, by).x0_hat
        levels = jnp.round((jnp.clip(x0_hat, -1.0, 1.0) + 1.0) * 127.5)
        return jnp.moveaxis(levels.astype(jnp.uint8), 0, 1)

    run = jit_rows(redrawn, mesh)
    every: Iterable[np.ndarray | None] = itertools.repeat(None) if starts is None else starts
    for images, each in zip(pictures, every, strict=False):
        n, found = len(images), []
        seeds = np.array([image_seed(image) for image in images], np.uint32)
        grids = grids_of(point, n, optimised, None if each is None else {point: each})
        for first in range(0, n, chunk):
            at = np.minimum(np.arange(first, first + chunk), n - 1)[own]
            pairs = pair_input([of_point] * len(at), [grids[i] for i in at], images[at], seeds[at])
            found.append(np.asarray(run(program.weights, program.place(pairs)))[: n - first])
        yield Visits(np.stack([np.round(grid.t).astype(int) for grid in grids]), np.concatenate(found))
