"""L5. A chunk of (grid point, picture) pairs as one program: reconstructed, measured, compiled once a shape.

Every pair is one element of a flattened batch with its own w, eta, visited times and noise key, cut over all devices of
all hosts (``ddad_jax.mesh``).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.data import to_float
from ddad_jax.data.batches import padded_batches
from ddad_jax.distance import feature_distances, pixel_distance, squared_distance
from ddad_jax.errors import InputError
from ddad_jax.image import resize
from ddad_jax.inversion import inverted, norms
from ddad_jax.mesh import copied, everywhere, jit_rows, over_rows, own_rows, rounded_up, shard_rows
from ddad_jax.points import ReconPoint
from ddad_jax.resilience import resilience
from ddad_jax.reuse import reusing
from ddad_jax.sampler import noise_of, reconstruct
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import CONTINUOUS, TimeGrid
from ddad_jax.types import Array, FeatureFn, NoiseDraw
from ddad_jax.vision.tiles import Tiles
from ddad_jax.vision.view_mask import masked


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
      draw: of a picture's noise, the kind that the network was trained with.

    Attributes:
      weights: as given, on the devices.
      networks: as given.
      redrawn: (weights, pairs, solver, reuse, start, by) -> what ``by``, called as ``reconstruct``, makes of the pairs'
        y with the noise of their seeds.
      function: (weights, pairs, solver, reuse, start, draws, scoring, squared) -> the same, not compiled: for a program
        that goes on from there. x0 is that of the first draw.
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
        draw: NoiseDraw = jax.random.normal,
    ) -> None:
        def redrawn(weights: Any, pairs: PairInput, solver: str, reuse: int, start: str, by: Callable[..., Any]) -> Any:
            y = to_float(pairs.images)
            noise_fn = noise_of(pair_keys(pairs.seed, pairs.image_seed), y.shape[1:], draw)
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
            scoring: str = "reconstruction", squared: bool = False,
        ) -> tuple[Array | None, Array, dict[str, Array]]:  # fmt: skip
            if scoring == "reconstruction" and pairs.features is None:
                pairs = pairs._replace(features=features_of(weights, pairs.images, pairs.watched))

            def measured(pairs: PairInput) -> tuple[Array | None, Array, dict[str, Array]]:
                if scoring == "reconstruction":
                    return drawn(weights, pairs, solver, reuse, start, squared)
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
            noise = noise_of(pair_keys(pairs.seed, pairs.image_seed), y.shape[1:], draw)(jnp.asarray(0))
            return resilience(network, y, pairs.grid.t[0], noise[None], alpha_bar=alpha_bar, antithetic=True)

        def drawn(
            weights: Any, pairs: PairInput, solver: str, reuse: int, start: str, squared: bool
        ) -> tuple[Array, Array, dict[str, Array]]:
            x0 = redrawn(weights, pairs, solver, reuse, start, reconstruct)
            if clip:
                x0 = jnp.clip(x0, -1.0, 1.0)
            seen, y = (seen_of(picture, pairs.watched) for picture in (x0, to_float(pairs.images)))
            assert pairs.features is not None
            pixels = squared_distance if squared else pixel_distance
            return x0, pixels(seen, y), feature_distances(featured(weights, seen), pairs.features)

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
            new = features_of(weights, *seen)
            if mesh is not None:
                # Each device its own rows, then these alone to all of them: the room is there already.
                new = jax.lax.with_sharding_constraint(new, over_rows(mesh))
                new = jax.lax.with_sharding_constraint(new, everywhere(mesh))
            put = functools.partial(jax.lax.dynamic_update_slice_in_dim, start_index=at, axis=0)
            return jax.tree.map(put, room, new)

        self.mesh, self.networks, self.function, self.redrawn = mesh, networks, program, redrawn
        self._program = jit_rows(
            program, mesh, static_argnames=("solver", "reuse", "start", "draws", "scoring", "squared")
        )
        on_all: dict[str, Any] = {"out_shardings": everywhere(mesh)} if mesh else {}
        self._room = jax.jit(room, static_argnames="rows", **on_all)
        self._filled = jax.jit(filled, donate_argnums=1, **on_all)
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

    def features_bytes(self, images: np.ndarray | Tiles, *, batch: int) -> int:
        """That ``features`` of these pictures would take on a device."""
        batch = rounded_up(min(batch, len(images)), self.mesh)
        one = jax.ShapeDtypeStruct((1, *images.shape[1:]), np.uint8)
        of_one = jax.eval_shape(functools.partial(self._room, rows=1), self.weights, one)
        rows = -(-len(images) // batch) * batch
        return rows * sum(of.size * of.dtype.itemsize for of in of_one.values())

    def with_features(self, pairs: PairInput, features: dict[str, Array], at: np.ndarray) -> PairInput:
        """Placed pairs that need not ask the feature network for their pictures.

        Args:
          features: of all pictures; at: which of them those of this process are, int [p].
        """
        return pairs._replace(features=self._taken(features, shard_rows(at.astype(np.int32), self.mesh)))

    def compiled(
        self, pairs: PairInput, solver: str = "ddim", reuse: int = 1, start: str = "noise", draws: int = 1,
        scoring: str = "reconstruction", squared: bool = False,
    ) -> Callable[[PairInput], tuple[Array | None, Array, dict[str, Array]]]:  # fmt: skip
        """The program for the shapes of placed ``pairs``, a name of ``SOLVERS``, ``reuse.reusing``'s ``every``, one of
        ``sampler.STARTS``, a number of draws, one of ``points.SCORINGS`` and whether pixel distances are squared,
        compiled if it was not before."""
        grid = pairs.grid.t.shape, pairs.grid.t.dtype
        how: dict[str, Any] = {"solver": solver, "reuse": reuse, "start": start, "draws": draws, "scoring": scoring}
        how["squared"] = squared
        shape = (pairs.images.shape, *grid, *how.values(), pairs.watched is None, pairs.features is None)
        if shape not in self._compiled:
            compiled = self._program.lower(self.weights, pairs, **how).compile()
            self._compiled[shape] = functools.partial(compiled, self.weights)
        return self._compiled[shape]


def program_key(point: ReconPoint) -> tuple[Any, ...]:
    """What decides a compilation: points of one key share it."""
    how = way_of(point)
    return (how.pop("solver"), point.steps, *how.values(), point.mask_before, point.grid in CONTINUOUS)


def way_of(point: ReconPoint) -> dict[str, Any]:
    """Of a point, what ``PairProgram.function`` and ``compiled`` take."""
    return {name: getattr(point, name) for name in ("solver", "reuse", "start", "draws", "scoring", "squared")}
