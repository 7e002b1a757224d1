"""L5. A grid of settings as one batched program a compiled shape.

Every (grid point, image) pair is one element of a flattened batch, so that all points of one step count, solver and
reuse share a compilation and nothing is recomputed for a choice that does not touch the reconstruction: v, layers and
blur work on the distances kept per point (``distance_maps``).
"""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.data.batches import image_seed
from ddad_jax.errors import InputError
from ddad_jax.mesh import own_rows, rounded_up
from ddad_jax.pair_program import PairProgram, pair_input, program_key, require_mask, way_of
from ddad_jax.points import GridKey, ReconPoint, time_grid
from ddad_jax.spilled import Spilled
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array
from ddad_jax.vision.tiles import Tiles


class Distances(NamedTuple):
    """Of n images at one grid point, host arrays, or ``Spilled`` ones. x0: float16 [n, h, w, c], of the images asked
    for alone, or None. pixel: [n, h, w]. features: layer -> [n, h_j, w_j]. seconds: [n], of each image's share of its
    chunk, compilation apart. Where nothing is reconstructed pixel is what is measured of each pixel in the place of a
    distance, x0 is None and features is empty."""

    x0: np.ndarray | None
    pixel: np.ndarray
    features: dict[str, np.ndarray]
    seconds: np.ndarray


KeepX0 = bool | np.ndarray | Mapping[ReconPoint, np.ndarray]
"""Whose reconstructions are asked for: of all images or none, of these (bool [n]), or of each point its own (none of a
point that is not named)."""


def sweep_distances(
    program: PairProgram,
    images: np.ndarray | Tiles,
    points: Sequence[ReconPoint],
    *,
    chunk: int,
    keep_x0: KeepX0 = False,
    spill: Path | None = None,
    **how: Any,
) -> Iterator[tuple[ReconPoint, Distances]]:
    """Distances of all images at every point, one point at a time, in the order of ``points``.

    Args:
      program, images, points, chunk, keep_x0: as of ``sweep_pieces``; so is everything else.
      spill: a folder in whose files what grows with the images lies (``Spilled``), a point at a time; None: in memory.

    Raises:
      InputError: as ``sweep_pieces``; the disk of that folder takes no more.
    """
    n = len(images)
    whole: Distances | None = None
    place = np.zeros(n + 1, int)

    def room(of: np.ndarray, rows: int) -> Any:
        shape = (rows, *of.shape[1:])
        return np.empty(shape, of.dtype) if spill is None else Spilled(shape, of.dtype, spill)

    pieces = sweep_pieces(program, images, points, chunk=chunk, keep_x0=keep_x0, **how)
    for point, rows, piece in pieces:
        if whole is None:
            # Of an image without a place of its own that of the next: a slice of images is a slice of places.
            place = np.concatenate([[0], np.cumsum(_asked(keep_x0, point, n))])
            x0 = None if piece.x0 is None else room(piece.x0, int(place[-1]))
            layers = {name: room(d, n) for name, d in piece.features.items()}
            whole = Distances(x0, room(piece.pixel, n), layers, np.empty(n))
        if piece.x0 is not None and whole.x0 is not None:
            whole.x0[int(place[rows.start]) : int(place[rows.stop])] = piece.x0
        whole.pixel[rows], whole.seconds[rows] = piece.pixel, piece.seconds
        for name, d in piece.features.items():
            whole.features[name][rows] = d
        if rows.stop == n:
            yield point, whole
            whole = None


def sweep_pieces(
    program: PairProgram,
    images: np.ndarray | Tiles,
    points: Sequence[ReconPoint],
    *,
    chunk: int,
    piece: int = 0,
    keep_x0: KeepX0 = False,
    optimised: Mapping[GridKey, TimeGrid] | None = None,
    starts: Mapping[ReconPoint, np.ndarray] | None = None,
    watched: np.ndarray | None = None,
    timer: Callable[[], float],
    progress: Callable[[int], None] = lambda pairs: None,
    ahead: int | None = None,
    features_bytes: int | None = None,
) -> Iterator[tuple[ReconPoint, slice, Distances]]:
    """Distances of neighbouring images, a piece at a time: (point, which images, their distances); in the order of
    ``points``, and of each from the first image to the last.

    The flattened (point, image) list of each compilation (solver, step count, reuse, mask) is cut into chunks of
    equal size (the last one padded), so memory holds one chunk and those given ahead, one piece, and the features that
    points share, however many points and images there are.
    Every process of the program's mesh calls this with the same arguments, puts its share of each chunk on its own
    devices, and is given everything.

    Args:
      images: uint8 [n, h, w, c].
      chunk: pairs in one call, over all devices; rounded up to a multiple of their number.
      piece: images in a piece, such as the tiles of a picture, the last of a point shorter; 0: as they come.
      keep_x0: also return reconstructions (float16): of all images, of these (bool [n]), or of each point its own; of
        a point that is asked for none, x0 is None.
      optimised: the grids of points whose ``grid`` is "optimised".
      starts: T' of each image, int [n], for every point with ``rise`` (``first_pass.start_times``).
      watched: of every image, for points that mask before; bool, to be broadcast to [n, h, w].
      timer: seconds now, e.g. ``time.perf_counter``; passed in, so that this module has no side effects.
      progress: called with the number of pairs each chunk finished.
      ahead: so many chunks are given to the devices before the results of one are read; None: 1, lest an accelerator
        wait for the host, and 0 on a CPU, which has nothing to do both with but once the memory.
      features_bytes: of the feature network's answers to the images, which all points share, at most so much is kept on
        a device; where they take more, each pair asks anew. None: 4 GiB, and 256 MiB on a CPU.

    Raises:
      InputError: a point with ``rise`` without starts for every image, one that masks before without a mask; as
        ``time_grid``.
    """
    if watched is not None:
        watched = np.broadcast_to(watched, images.shape[:3])
    on_cpu = jax.default_backend() == "cpu"
    ahead = (0 if on_cpu else 1) if ahead is None else ahead
    most = (2**28 if on_cpu else 2**32) if features_bytes is None else features_bytes
    shared = any(p.reconstructs for p in points) and program.features_bytes(images, batch=chunk) <= most
    how: dict[str, Any] = {"optimised": optimised, "starts": starts, "watched": watched, "shared": shared}
    # One thread, so that chunks end in the order they were given.
    watcher = ThreadPoolExecutor(1, thread_name_prefix="chunks") if ahead else None
    how |= {"timer": timer, "watcher": watcher}
    chunks = _begun(program, images, points, chunk=chunk, keep_x0=keep_x0, **how)
    parts: list[Distances] = []
    held, given_away, free_since = 0, 0, -np.inf
    try:
        for begun in _looked_ahead(chunks, ahead):
            part, free_since = _read(begun, free_since, timer)
            parts.append(part)
            held += len(part.pixel)
            progress(len(part.pixel))
            while held:
                at_point, begin = divmod(given_away, len(images))
                ready = min(piece or held, len(images) - begin)
                if held < ready:
                    break
                point = points[at_point]
                asked = int(_asked(keep_x0, point, len(images))[begin : begin + ready].sum())
                joined, none = _joined(parts), not _asked(keep_x0, point, len(images)).any()
                yield point, slice(begin, begin + ready), _rows(joined, slice(0, ready), slice(0, asked), none)
                held, given_away = held - ready, given_away + ready
                # None at the end of a compilation: those of the next may have another structure.
                parts = [_rows(joined, slice(ready, None), slice(asked, None))] if held else []
    finally:
        if watcher:
            watcher.shutdown()


class _Begun(NamedTuple):
    """A chunk that was given to the devices. results: of ``PairProgram``, padding behind the first ``valid`` pairs;
    asked: bool [valid], whose reconstruction is wanted; at: when it was given; ended: when it ends, where another chunk
    is given before it is read: compiling and judging, which the host may do meanwhile, are none of its time."""

    results: tuple[Array | None, Array, dict[str, Array]]
    valid: int
    asked: np.ndarray
    at: float
    ended: Future[float] | None


def _begun(
    program: PairProgram,
    images: np.ndarray | Tiles,
    points: Sequence[ReconPoint],
    *,
    chunk: int,
    keep_x0: KeepX0,
    optimised: Mapping[GridKey, TimeGrid] | None,
    starts: Mapping[ReconPoint, np.ndarray] | None,
    watched: np.ndarray | None,
    shared: bool,
    timer: Callable[[], float],
    watcher: ThreadPoolExecutor | None,
) -> Iterator[_Begun]:
    """One chunk after another of ``sweep_pieces``, given to the devices and not waited for; shared: pairs of one
    picture share what the feature network says of it; watcher: notes when a chunk ends while the host is elsewhere."""
    seeds = np.array([image_seed(image) for image in images], np.uint32)
    n, chunk = len(images), rounded_up(chunk, program.mesh)
    own = own_rows(chunk, program.mesh)
    features: dict[bool, dict[str, Array]] = {}
    for todo in compiled_alike(points):
        how, before = way_of(todo[0]), todo[0].mask_before
        grids = [grids_of(p, n, optimised, starts) for p in todo]
        asked = np.concatenate([_asked(keep_x0, p, n) for p in todo])
        if before:
            require_mask(watched)
        needed = shared and todo[0].reconstructs
        if needed and before not in features:
            # Of one kind at a time: points that mask before are another compilation, and lie together.
            features.clear()
            features[before] = program.features(images, watched if before else None, batch=chunk)
        for first in range(0, len(asked), chunk):
            flat = np.minimum(np.arange(first, first + chunk), len(asked) - 1)
            of_point, of_image = flat[own] // n, flat[own] % n
            own_grids = [grids[i][j] for i, j in zip(of_point, of_image, strict=True)]
            seen = watched[of_image] if watched is not None else None
            given = pair_input([todo[i] for i in of_point], own_grids, images[of_image], seeds[of_image], seen)
            pairs = program.place(given)
            if needed:
                pairs = program.with_features(pairs, features[before], of_image)
            run = program.compiled(pairs, **how)
            at, valid = timer(), min(chunk, len(asked) - first)
            results = run(pairs)
            ended = watcher.submit(_end, results, timer) if watcher else None
            yield _Begun(results, valid, asked[first : first + valid], at, ended)


def _end(results: Any, timer: Callable[[], float]) -> float:
    """When these results are there."""
    jax.block_until_ready(results)
    return timer()


def _looked_ahead(chunks: Iterator[_Begun], ahead: int) -> Iterator[_Begun]:
    """The same, each once ``ahead`` more were begun."""
    waiting: collections.deque[_Begun] = collections.deque()
    for begun in chunks:
        waiting.append(begun)
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def _read(begun: _Begun, free_since: float, timer: Callable[[], float]) -> tuple[Distances, float]:
    """The results on the host, and when the devices had ended; free_since: the same of the chunk before."""
    (x0, pixel, layers), valid = begun.results, begun.valid
    kept = None if x0 is None else np.empty((0, *x0.shape[1:]), np.float16)
    if x0 is not None and begun.asked.any():
        kept = np.asarray(x0.astype(jnp.float16))[:valid][begun.asked]
    distances = np.asarray(pixel)[:valid], {name: np.asarray(d)[:valid] for name, d in layers.items()}
    ended = timer() if begun.ended is None else begun.ended.result()
    return Distances(kept, *distances, np.full(valid, (ended - max(begun.at, free_since)) / valid)), ended


def _asked(keep_x0: KeepX0, point: ReconPoint, n: int) -> np.ndarray:
    """Which of the n images' reconstructions of a point are wanted, bool [n]."""
    own = keep_x0.get(point, False) if isinstance(keep_x0, Mapping) else keep_x0
    return np.broadcast_to(np.asarray(own, bool), (n,))


def compiled_alike(points: Iterable[ReconPoint]) -> Iterator[list[ReconPoint]]:
    """Neighbours that share a compilation and are cut into chunks together."""
    for _, group in itertools.groupby(points, key=program_key):
        yield list(group)


def grids_of(
    point: ReconPoint,
    n: int,
    optimised: Mapping[GridKey, TimeGrid] | None,
    starts: Mapping[ReconPoint, np.ndarray] | None,
) -> list[TimeGrid]:
    """The times each of n images visits; raises InputError as ``sweep_distances`` does."""
    if not point.rise:
        return [time_grid(point, optimised)] * n
    own = (starts or {}).get(point)
    if own is None or len(own) != n:
        raise InputError(f"rise = {point.rise:g}: expected starts, a T' for each of {n} images")
    at = {start: time_grid(point, optimised, start=start) for start in set(own.tolist())}
    return [at[start] for start in own.tolist()]


def _joined(parts: list[Distances]) -> Distances:
    return jax.tree.map(lambda *rows: np.concatenate(rows), *parts)


def _rows(distances: Distances, rows: slice, redrawn: slice, none: bool = False) -> Distances:
    """Of some pairs, their reconstructions among those that are there; none: of a point that is asked for none."""
    x0 = None if none or distances.x0 is None else distances.x0[redrawn]
    return jax.tree.map(lambda d: d[rows], distances._replace(x0=None))._replace(x0=x0)
