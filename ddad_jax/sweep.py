"""L5. A grid of settings as one batched program a compiled shape.

Every (grid point, image) pair is one element of a flattened batch with its own w, eta, visited times and
noise key, so that all points of one step count, solver and reuse share a compilation and nothing is recomputed for a
choice that does not touch the reconstruction: v, layers and blur work on the distances kept per point. The
flattened axis is cut over all devices of all hosts (``ddad_jax.mesh``).
"""

import collections
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.data import to_float
from ddad_jax.data.batches import image_seed, padded_batches
from ddad_jax.distance import feature_distance, feature_distances, pixel_distance
from ddad_jax.errors import InputError
from ddad_jax.image import gaussian_blur, resize
from ddad_jax.inversion import inverted, norms
from ddad_jax.mesh import copied, everywhere, jit_rows, own_rows, rounded_up, shard_rows
from ddad_jax.points import GridKey, ReconPoint, time_grid
from ddad_jax.resilience import resilience
from ddad_jax.reuse import reusing
from ddad_jax.sampler import noise_of, reconstruct
from ddad_jax.solvers import SOLVERS
from ddad_jax.spilled import Spilled, room_like
from ddad_jax.timesteps import CONTINUOUS, TimeGrid
from ddad_jax.types import Array, FeatureFn
from ddad_jax.vision.tiles import Tiles, Tiling, stitch
from ddad_jax.vision.view_mask import masked


class Distances(NamedTuple):
    """Of n images at one grid point, host arrays, or ``Spilled`` ones. x0: float16 [n, h, w, c], of the images asked
    for alone, or None. pixel: [n, h, w]. features: layer -> [n, h_j, w_j]. seconds: [n], of each image's share of its
    chunk, compilation apart. Where nothing is reconstructed pixel is what is measured of each pixel in the place of a
    distance, x0 is None and features is empty."""

    x0: np.ndarray | None
    pixel: np.ndarray
    features: dict[str, np.ndarray]
    seconds: np.ndarray


class PairInput(NamedTuple):
    """A chunk of p (grid point, image) pairs. images: uint8 [p, h, w, c]. image_seed, seed: uint32 [p].
    w, eta, start_noise, fade, blend_max: float32 [p]. blend_low, blend_high: int32 [p]. grid: start [p], t and s
    [K, p]. watched: bool [p, h, w], what of a pair its distances are taken of; None: everything of all of them.
    features: layer -> [p, h_j, w_j, c_j] of the pictures as they are watched; None: the program asks the network."""

    images: Array
    image_seed: Array
    seed: Array
    w: Array
    eta: Array
    start_noise: Array
    fade: Array
    blend_max: Array
    blend_low: Array
    blend_high: Array
    grid: TimeGrid
    watched: Array | None = None
    features: Mapping[str, Array] | None = None


def pair_input(
    points: Sequence[ReconPoint],
    grids: Sequence[TimeGrid],
    images: np.ndarray,
    seeds: np.ndarray,
    watched: np.ndarray | None = None,
) -> PairInput:
    """One pair for each entry: its point, the times it visits, its picture (uint8), the picture's seed and, with
    points that mask before, what of the picture is watched (bool [p, h, w]); *host*.

    Raises:
      InputError: a point that masks before without a mask.
    """
    if before := any(p.mask_before for p in points):
        require_mask(watched)

    def of(name: str) -> Any:
        return np.array([getattr(p, name) for p in points], np.float32)

    arrays: tuple[Any, ...] = (
        images,
        seeds,
        np.array([p.seed for p in points], np.uint32),
        of("w"),
        of("eta"),
        of("start_noise"),
        of("fade"),
        np.array([p.blend_max or np.inf for p in points], np.float32),
        np.array([p.blend_low for p in points], np.int32),
        np.array([p.blend_high for p in points], np.int32),
        TimeGrid(
            np.array([g.start for g in grids]), np.stack([g.t for g in grids], 1), np.stack([g.s for g in grids], 1)
        ),
    )
    everything = np.array([not p.mask_before for p in points])[:, None, None]
    seen: Any = watched | everything if before and watched is not None else None
    return PairInput(*arrays)._replace(watched=seen)


def require_mask(watched: object) -> None:
    """Raises InputError where there is no mask, for points that need one."""
    if watched is None:
        raise InputError("mask_before or mask_after = True: expected the mask of the view (--config.view.mask=FILE)")


def pair_keys(seed: Array, image_seed: Array) -> Array:
    """A key for each pair from the run's seed and the image's own content, so from no batch mate."""
    return jax.vmap(lambda s, i: jax.random.fold_in(jax.random.key(s), i))(seed, image_seed)


class PairProgram:
    """One chunk of pairs -> (x0 [p, h, w, c], D_p [p, h, w], {layer: [p, h_j, w_j]}), compiled once a shape; where
    nothing is reconstructed (None, what is measured of each pixel [p, h, w], {}), and no feature network runs.

    Args:
      networks: weights -> (the noise predictor, or what ``reconstruct`` takes for it, the feature extractor); with
        points that reuse deep layers the first is a ``reuse.Layered``.
      weights: a tree of arrays, handed to every call: held by no compiled program, they are in memory once.
      alpha_bar: table [T].
      feature_size: Deviation: side in pixels at which image and reconstruction enter the feature network, 0
        for their own; a network made for 224 px sees little in a 64 px picture.
      clip: Deviation: reconstructions are clipped to [-1, 1] before any distance; the published code does
        not, so a large w leads both distances outside the range of pictures.
      mesh: the devices the pairs are cut over, each with a copy of the weights; None for the default device alone.
      reconstruct: in the place of ``sampler.reconstruct``, e.g. ``distilled.reconstruct_by_student``.

    Attributes:
      weights: as given, on the devices.
      networks: as given.
      redrawn: (weights, pairs, solver, reuse, start, by) -> what ``by``, called as ``reconstruct``, makes of the pairs'
        y with the noise of their seeds.
      function: (weights, pairs, solver, reuse, start, draws, scoring) -> the same, not compiled: for a program that
        goes on from there. x0 is that of the first draw.
      compilations: how many shapes have been compiled; one for each ``program_key`` and number of pairs.
    """

    def __init__(
        self,
        networks: Callable[[Any], tuple[Callable[..., Any], FeatureFn]],
        weights: Any,
        *,
        alpha_bar: Array,
        feature_size: int = 0,
        clip: bool = True,
        mesh: Mesh | None = None,
        reconstruct: Callable[..., Array] = reconstruct,
    ) -> None:
        def redrawn(weights: Any, pairs: PairInput, solver: str, reuse: int, start: str, by: Callable[..., Any]) -> Any:
            y = to_float(pairs.images)
            noise_fn = noise_of(pair_keys(pairs.seed, pairs.image_seed), y.shape[1:])
            return by(
                reusing(networks(weights)[0], reuse),
                y,
                y,
                pairs.grid,
                w=pairs.w,
                eta=pairs.eta,
                alpha_bar=alpha_bar,
                noise_fn=noise_fn,
                solver=SOLVERS[solver],
                start_noise=pairs.start_noise,
                fade=pairs.fade,
                blend_max=pairs.blend_max,
                blend_low=pairs.blend_low,
                blend_high=pairs.blend_high,
                start=start,
            )

        def program(
            weights: Any, pairs: PairInput, solver: str, reuse: int = 1, start: str = "noise", draws: int = 1,
            scoring: str = "reconstruction",
        ) -> tuple[Array | None, Array, dict[str, Array]]:  # fmt: skip
            if scoring == "reconstruction" and pairs.features is None:
                pairs = pairs._replace(features=features_of(weights, pairs.images, pairs.watched))

            def measured(pairs: PairInput) -> tuple[Array | None, Array, dict[str, Array]]:
                if scoring == "reconstruction":
                    return drawn(weights, pairs, solver, reuse, start)
                return None, unredrawn(weights, pairs, scoring), {}

            if draws == 1:
                return measured(pairs)
            seeds = (pairs.seed * np.uint32(draws))[None] + jnp.arange(draws, dtype=jnp.uint32)[:, None]
            x0, *distances = jax.lax.map(lambda seed: measured(pairs._replace(seed=seed)), seeds)
            pixel, layers = jax.tree.map(lambda each: each.mean(0), distances)
            return jax.tree.map(lambda each: each[0], x0), pixel, layers

        def unredrawn(weights: Any, pairs: PairInput, scoring: str) -> Array:
            y, network = to_float(pairs.images), reusing(networks(weights)[0], 1)
            if scoring == "inversion":
                return norms(inverted(network, y, pairs.grid, alpha_bar=alpha_bar).latent)
            noise = noise_of(pair_keys(pairs.seed, pairs.image_seed), y.shape[1:])(jnp.asarray(0))
            return resilience(network, y, pairs.grid.t[0], noise[None], alpha_bar=alpha_bar, antithetic=True)

        def drawn(
            weights: Any, pairs: PairInput, solver: str, reuse: int, start: str
        ) -> tuple[Array, Array, dict[str, Array]]:
            x0 = redrawn(weights, pairs, solver, reuse, start, reconstruct)
            if clip:
                x0 = jnp.clip(x0, -1.0, 1.0)
            seen, y = (seen_of(picture, pairs.watched) for picture in (x0, to_float(pairs.images)))
            assert pairs.features is not None
            return x0, pixel_distance(seen, y), feature_distances(featured(weights, seen), pairs.features)

        def seen_of(pictures: Array, watched: Array | None) -> Array:
            return pictures if watched is None else masked(pictures, watched)

        def featured(weights: Any, seen: Array) -> dict[str, Array]:
            return networks(weights)[1](resize(seen, feature_size or seen.shape[1]))

        def features_of(weights: Any, images: Array, watched: Array | None = None) -> dict[str, Array]:
            return featured(weights, seen_of(to_float(images), watched))

        def room(weights: Any, one: Array, rows: int) -> dict[str, Array]:
            like = jax.eval_shape(features_of, weights, one)
            return {name: jnp.zeros((rows, *of.shape[1:]), of.dtype) for name, of in like.items()}

        def filled(weights: Any, room: dict[str, Array], at: Array, *seen: Array) -> dict[str, Array]:
            put = functools.partial(jax.lax.dynamic_update_slice_in_dim, start_index=at, axis=0)
            return jax.tree.map(put, room, features_of(weights, *seen))

        self.mesh, self.networks, self.function, self.redrawn = mesh, networks, program, redrawn
        self._program = jit_rows(program, mesh, static_argnames=("solver", "reuse", "start", "draws", "scoring"))
        on_all: dict[str, Any] = {"out_shardings": everywhere(mesh)} if mesh else {}
        self._room = jax.jit(room, static_argnames="rows", **on_all)
        self._filled = jit_rows(filled, mesh, gathered=True, donate_argnums=1)
        self._taken = jit_rows(lambda rows, at: jax.tree.map(lambda of: of[at], rows), mesh, gathered=False)
        self.weights = copied(weights, mesh)
        self._compiled: dict[tuple, Callable] = {}

    @property
    def compilations(self) -> int:
        return len(self._compiled)

    def place(self, pairs: PairInput) -> PairInput:
        """The pairs of this process, host arrays, as part of the one chunk that lies on all devices."""
        rows = shard_rows(pairs._replace(grid=()), self.mesh)  # type: ignore[arg-type]
        return rows._replace(grid=shard_rows(pairs.grid, self.mesh, axis=-1))

    def features(
        self, images: np.ndarray | Tiles, watched: np.ndarray | None = None, *, batch: int
    ) -> dict[str, Array]:
        """What the feature network says of n pictures, all of it on every device; layer -> [n or more, h_j, w_j, c_j].

        Args:
          images: uint8 [n, h, w, c], in every process all of them; watched: bool [n, h, w], what may be seen of each.
          batch: pictures in one call.
        """
        batch = rounded_up(min(batch, len(images)), self.mesh)
        own, one = own_rows(batch, self.mesh), np.zeros((1, *images.shape[1:]), np.uint8)
        room = self._room(self.weights, one, rows=-(-len(images) // batch) * batch)
        for at, _ in padded_batches(len(images), batch):
            seen = (images[at[own]], *([] if watched is None else [watched[at[own]]]))
            room = self._filled(self.weights, room, int(at[0]), *shard_rows(seen, self.mesh))
        return room

    def features_bytes(self, images: np.ndarray | Tiles) -> int:
        """That ``features`` of these pictures would take on a device."""
        one = jax.ShapeDtypeStruct((1, *images.shape[1:]), np.uint8)
        of_one = jax.eval_shape(functools.partial(self._room, rows=1), self.weights, one)
        return len(images) * sum(of.size * of.dtype.itemsize for of in of_one.values())

    def with_features(self, pairs: PairInput, features: dict[str, Array], at: np.ndarray) -> PairInput:
        """Placed pairs that need not ask the feature network for their pictures.

        Args:
          features: of all pictures; at: which of them those of this process are, int [p].
        """
        return pairs._replace(features=self._taken(features, shard_rows(at.astype(np.int32), self.mesh)))

    def compiled(
        self, pairs: PairInput, solver: str = "ddim", reuse: int = 1, start: str = "noise", draws: int = 1,
        scoring: str = "reconstruction",
    ) -> Callable[[PairInput], tuple[Array | None, Array, dict[str, Array]]]:  # fmt: skip
        """The program for the shapes of placed ``pairs``, a name of ``SOLVERS``, ``reuse.reusing``'s ``every``, one of
        ``sampler.STARTS``, a number of draws and one of ``points.SCORINGS``, compiled if it was not before."""
        grid = pairs.grid.t.shape, pairs.grid.t.dtype
        how: dict[str, Any] = {"solver": solver, "reuse": reuse, "start": start, "draws": draws, "scoring": scoring}
        shape = (pairs.images.shape, *grid, *how.values(), pairs.watched is None, pairs.features is None)
        if shape not in self._compiled:
            compiled = self._program.lower(self.weights, pairs, **how).compile()
            self._compiled[shape] = functools.partial(compiled, self.weights)
        return self._compiled[shape]


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
    equal size (the last one padded), so memory holds one chunk and one piece, however many points and images there
    are.
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
    shared = len(points) > 1 and program.features_bytes(images) <= most
    how: dict[str, Any] = {"optimised": optimised, "starts": starts, "watched": watched, "shared": shared}
    chunks = _begun(program, images, points, chunk=chunk, keep_x0=keep_x0, timer=timer, **how)
    parts: list[Distances] = []
    held, given_away, free_since = 0, 0, -np.inf
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


class _Begun(NamedTuple):
    """A chunk that was given to the devices. results: of ``PairProgram``, padding behind the first ``valid`` pairs;
    asked: bool [valid], whose reconstruction is wanted; at: when it was given."""

    results: tuple[Array | None, Array, dict[str, Array]]
    valid: int
    asked: np.ndarray
    at: float


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
) -> Iterator[_Begun]:
    """One chunk after another of ``sweep_pieces``, given to the devices and not waited for; shared: pairs of one
    picture share what the feature network says of it."""
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
            features = {before: program.features(images, watched if before else None, batch=chunk)}
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
            yield _Begun(run(pairs), valid, asked[first : first + valid], at)


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
    ended = timer()
    return Distances(kept, *distances, np.full(valid, (ended - max(begun.at, free_since)) / valid)), ended


def _asked(keep_x0: KeepX0, point: ReconPoint, n: int) -> np.ndarray:
    """Which of the n images' reconstructions of a point are wanted, bool [n]."""
    own = keep_x0.get(point, False) if isinstance(keep_x0, Mapping) else keep_x0
    return np.broadcast_to(np.asarray(own, bool), (n,))


def program_key(point: ReconPoint) -> tuple[Any, ...]:
    """What decides a compilation: points of one key share it."""
    how = way_of(point)
    return (how.pop("solver"), point.steps, *how.values(), point.mask_before, point.grid in CONTINUOUS)


def way_of(point: ReconPoint) -> dict[str, Any]:
    """Of a point, what ``PairProgram.function`` and ``compiled`` take."""
    return {name: getattr(point, name) for name in ("solver", "reuse", "start", "draws", "scoring")}


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


def blurred(
    distances: Distances,
    layers: tuple[str, ...],
    sigma: float,
    *,
    upsampling: str = "half_pixel",
    tiling: Tiling | None = None,
    rows: slice = slice(None),
    batch: int = 64,
) -> tuple[np.ndarray, np.ndarray]:
    """(D_p, D_f) of all images, D_f over ``layers`` at the size of D_p, both blurred; float32 [n, h, w], ``Spilled``
    where the distances are.

    Blurring is linear, so any v combines these two without another blur.

    Args:
      upsampling: as of ``distance.feature_distance``.
      tiling: the images are tiles, and the maps those of whole pictures, put together one after another.
      rows: which of the images, of whole pictures with ``tiling``.
    """
    size, each = distances.pixel.shape[1], tiling.count if tiling else 1
    first, last, _ = rows.indices(len(distances.pixel) // each)
    shape = (max(last - first, 0), *(tiling.picture if tiling else (size, size)))
    out_p, out_f = (room_like(distances.pixel, shape, np.float32) for _ in range(2))
    # A picture of tiles at a time, or as many images as go through at once.
    step = 1 if tiling else batch
    for i in range(first, last, step):
        begin, end = i * each, min(i + step, last) * each
        d_p, d_f = _maps(distances, layers, sigma, upsampling, slice(begin, end), batch)
        at = slice(i - first, min(i + step, last) - first)
        out_p[at], out_f[at] = (d_p, d_f) if tiling is None else (stitch(d_p, tiling), stitch(d_f, tiling))
    return out_p, out_f


def _maps(
    distances: Distances, layers: tuple[str, ...], sigma: float, upsampling: str, rows: slice, batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """``blurred`` of neighbouring images, in calls of ``batch`` of them, the last one padded."""
    size, parts = distances.pixel.shape[1], []
    for first in range(rows.start, rows.stop, batch):
        at = np.minimum(np.arange(first, first + batch), rows.stop - 1)
        part = {k: distances.features[k][at] for k in layers}
        maps = _blurred(distances.pixel[at], part, layers=layers, size=size, sigma=sigma, upsampling=upsampling)
        parts.append([np.asarray(d)[: rows.stop - first] for d in maps])
    d_p, d_f = (np.concatenate(of) for of in zip(*parts, strict=True))
    return d_p, d_f


@functools.partial(jax.jit, static_argnames=("layers", "size", "sigma", "upsampling"))
def _blurred(
    pixel: Array, features: dict[str, Array], *, layers: tuple[str, ...], size: int, sigma: float, upsampling: str
) -> tuple[Array, Array]:
    d_f = jnp.broadcast_to(feature_distance(features, layers, size, upsampling=upsampling), pixel.shape)
    return gaussian_blur(pixel, sigma), gaussian_blur(d_f, sigma)
