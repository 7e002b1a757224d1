"""A sweep of small pictures by networks of one line, and what it gives each picture and point alone."""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.data import to_float
from ddad_jax.data.batches import image_seed
from ddad_jax.distance import feature_distances, pixel_distance
from ddad_jax.image import resize
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import ReconPoint, recon_grid, time_grid
from ddad_jax.reuse import Layered, reusing
from ddad_jax.sampler import noise_of, reconstruct
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.solvers import SOLVERS
from ddad_jax.sweep import Distances, sweep_distances
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Array

ALPHA_BAR = jnp.asarray(alpha_bar_table())
SIZE, N = 16, 5
LAYERS = ("layer1", "layer2", "layer3")


def eps_fn(x_t: Array, t: Array) -> Array:
    """Depends on pixels, on the whole image and on its own time, as a network does, and on no batch mate."""
    time = jnp.cos(0.01 * jnp.broadcast_to(t, x_t.shape[:1]))[:, None, None, None]
    return jnp.tanh(x_t.mean((1, 2), keepdims=True) + 0.7 * x_t) * time


def shallow(x_t: Array, t: Array, mean: Array) -> Array:
    time = jnp.cos(0.01 * jnp.broadcast_to(t, x_t.shape[:1]))[:, None, None, None]
    return jnp.tanh(mean + 0.7 * x_t) * time


def mean_of(x_t: Array) -> Array:
    return x_t.mean((1, 2), keepdims=True)


LAYERED = Layered(eps_fn, lambda x_t, t: (eps_fn(x_t, t), mean_of(x_t)), shallow)
"""``eps_fn`` with what it knows of the whole image as its deep feature."""


def features(x: Array) -> dict[str, Array]:
    def pooled(stride: int) -> Array:
        b, h, w, c = x.shape
        blocks = x.reshape(b, h // stride, stride, w // stride, stride, c).transpose(0, 1, 3, 2, 4, 5)
        return jnp.sin(3.0 * blocks.reshape(b, h // stride, w // stride, -1)) + 0.2

    return {layer: pooled(stride) for layer, stride in zip(LAYERS, (2, 4, 8), strict=True)}


@functools.cache
def program(**how: Any) -> PairProgram:
    """One for each set of options, so that the tests compile little."""
    return PairProgram(lambda _: (LAYERED, features), None, alpha_bar=ALPHA_BAR, **how)


def pictures(n: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)


def swept(images: np.ndarray, points: list[ReconPoint], chunk: int = 7, **how: Any) -> dict[ReconPoint, Distances]:
    return dict(
        sweep_distances(program(**how), images, points, chunk=chunk, keep_x0=True, timer=itertools.count().__next__)
    )


@functools.partial(jax.jit, static_argnames=("solver", "reuse"))
def of_one(y: Array, key: Array, grid: TimeGrid, solver: str, reuse: int, how: dict[str, Any]) -> Array:
    how = {**how, "alpha_bar": ALPHA_BAR, "noise_fn": noise_of(key[None], y.shape[1:]), "solver": SOLVERS[solver]}
    return reconstruct(reusing(LAYERED, reuse), y, y, grid, **how)


@functools.partial(jax.jit, static_argnames="size")
def measured(x0: Array, y: Array, size: int) -> tuple[Array, dict[str, Array]]:
    layers = feature_distances(features(resize(x0, size)), features(resize(y, size)))
    return pixel_distance(x0, y)[0], {layer: d[0] for layer, d in layers.items()}


def alone(
    image: np.ndarray, point: ReconPoint, *, clip: bool = True, size: int = SIZE
) -> tuple[Array, Array, dict[str, Array]]:
    """(x0, D_p, {layer: D_f}) of one image at one point by the plain functions: no batch, no chunk."""
    y = to_float(jnp.asarray(image[None]))
    key = jax.random.fold_in(jax.random.key(point.seed), image_seed(image))
    how = {name: getattr(point, name) for name in ("w", "eta", "start_noise", "fade")}
    x0 = of_one(y, key, time_grid(point), point.solver, point.reuse, {**how, "blend_max": point.blend_max or math.inf})
    x0 = jnp.clip(x0, -1, 1) if clip else x0
    return x0[0], *measured(x0, y, size)


def reconstructed(found: Distances) -> np.ndarray:
    assert found.x0 is not None
    return found.x0


def assert_same(left: Distances, right: Distances, rows: Any = slice(None)) -> None:
    np.testing.assert_allclose(left.pixel, right.pixel[rows], atol=1e-5)
    for layer in LAYERS:
        np.testing.assert_allclose(left.features[layer], right.features[layer][rows], atol=1e-5)


GRID = recon_grid(w=(0.0, 3.0), t_prime=(40, 250), steps=(1, 3), eta=(0.0, 0.7), grid=("trailing",), seed=(0, 9))
