"""A sweep gives what each point and image would give alone: the same numbers in bounded memory, compiled once a step
count."""

import functools
import itertools
import math
import time
import tracemalloc
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.data import to_float
from ddad_jax.data.batches import image_seed
from ddad_jax.distance import feature_distance, feature_distances, pixel_distance
from ddad_jax.distance_maps import blurred
from ddad_jax.errors import InputError
from ddad_jax.image import resize
from ddad_jax.inversion import inverted, norms
from ddad_jax.pair_program import PairProgram, program_key
from ddad_jax.points import ReconPoint, recon_grid, time_grid
from ddad_jax.resilience import resilience
from ddad_jax.reuse import Layered, reusing
from ddad_jax.sampler import noise_of, reconstruct
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.score import anomaly_map, combine
from ddad_jax.solvers import SOLVERS
from ddad_jax.spilled import Spilled
from ddad_jax.sweep import Distances, sweep_distances, sweep_pieces
from ddad_jax.timesteps import TimeGrid, trailing
from ddad_jax.types import Array
from ddad_jax.vision.tiles import stitch, tiling

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


def silent(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.zeros(shape)


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
STEERED = recon_grid(
    w=(3.0,), t_prime=(250,), steps=(3,), eta=(0.7,), grid=("trailing", "log_snr"), seed=(0,), solver=("ddim", "dpm2m"),
    start_noise=(0.0, 1.0), fade=(1.0, 2.0), blend_max=(0.0, 1.0),
)  # fmt: skip


REUSED = recon_grid(
    w=(0.0, 3.0), t_prime=(40, 250), steps=(4,), eta=(0.7,), grid=("trailing",), seed=(0,), solver=("ddim", "heun"),
    reuse=(2,),
)  # fmt: skip
KINDS = {"published settings": GRID, "solver, start and steering": STEERED, "reused deep features": REUSED}


@pytest.mark.parametrize("grid", KINDS.values(), ids=KINDS)
def test_every_point_equals_its_own_evaluation(grid: list[ReconPoint]) -> None:
    images = pictures(3)
    found = swept(images, grid, 7)
    assert list(found) == grid
    for point in grid:
        for i, image in enumerate(images):
            x0, pixel, layers = alone(image, point)
            np.testing.assert_allclose(reconstructed(found[point])[i], x0, atol=1e-3)  # kept as float16
            np.testing.assert_allclose(found[point].pixel[i], pixel, atol=1e-4)
            for layer in LAYERS:
                np.testing.assert_allclose(found[point].features[layer][i], layers[layer], atol=1e-4)


@pytest.mark.parametrize("grid", ["reference", "uniform", "quadratic"])
def test_every_grid_of_times_can_be_swept(grid: str) -> None:
    points = recon_grid(w=(2.0,), t_prime=(42, 240), steps=(3,), eta=(1.0,), grid=(grid,), seed=(0,))
    images = pictures(3)
    for point, distances in swept(images, points, 7).items():
        np.testing.assert_allclose(distances.pixel[1], alone(images[1], point)[1], atol=1e-4)


def test_the_chunk_does_not_show() -> None:
    points = GRID[:6]
    whole = swept(pictures(), points, 7)
    for chunk in (1, 4):  # 5 images: 7 spans two points, 4 cuts one
        for point, distances in swept(pictures(), points, chunk).items():
            assert_same(distances, whole[point])
            assert distances.seconds.shape == (N,)


def test_order_and_batch_mates_do_not_show() -> None:
    points, images = GRID[-3:], pictures()
    found = swept(images, points)
    order = np.array([3, 0, 4, 1, 2])
    for point, distances in swept(images[order], points).items():
        assert_same(distances, found[point], order)
    with_another = images.copy()
    with_another[1] = pictures(1, seed=99)[0]
    for point, distances in swept(with_another, points).items():
        others = [0, 2, 3, 4]
        assert np.abs(distances.pixel[1] - found[point].pixel[1]).max() > 0.01
        assert_same(jax.tree.map(lambda d: d[np.array(others)], distances), found[point], np.array(others))  # noqa: B023


def test_one_compilation_a_step_count_whatever_else_varies() -> None:
    one, points = PairProgram(lambda _: (eps_fn, features), None, alpha_bar=ALPHA_BAR), GRID
    for _ in sweep_distances(one, pictures(), points, chunk=4, timer=lambda: 0.0):
        pass
    assert one.compilations == len({point.steps for point in points}) == 2
    others = recon_grid(w=(1.5, 7.0), t_prime=(33, 120), steps=(3,), eta=(0.2,), grid=("trailing",), seed=(5,))
    for _ in sweep_distances(one, pictures(9, seed=3), others, chunk=4, timer=lambda: 0.0):
        pass
    assert one.compilations == 2


def test_one_compilation_for_each_step_count_solver_and_reuse() -> None:
    one = PairProgram(lambda _: (LAYERED, features), None, alpha_bar=ALPHA_BAR)
    points = recon_grid(
        w=(0.0, 2.0), t_prime=(40, 250), steps=(1, 3), eta=(0.0, 1.0), grid=("trailing",), seed=(0,), reuse=(1, 2)
    )
    for _ in sweep_distances(one, pictures(2), points, chunk=4, timer=lambda: 0.0):
        pass
    assert one.compilations == 1 + 2  # no more is reused than there are steps


def test_the_distances_of_several_draws_are_the_means_over_their_seeds() -> None:
    images, plain = pictures(3), ReconPoint(1.0, 250, 2, 1.0, "trailing", 0)
    seeds = [plain._replace(seed=seed) for seed in (3, 4, 5)]
    found = swept(images, [*seeds, plain._replace(seed=1, draws=3)])
    mean = found[plain._replace(seed=1, draws=3)]
    np.testing.assert_allclose(mean.pixel, np.mean([found[p].pixel for p in seeds], axis=0), atol=1e-5)
    for layer in LAYERS:
        of_seeds = [found[p].features[layer] for p in seeds]
        np.testing.assert_allclose(mean.features[layer], np.mean(of_seeds, axis=0), atol=1e-4)
    np.testing.assert_array_equal(reconstructed(mean), reconstructed(found[seeds[0]]))


def test_an_interval_of_the_blend_is_each_pairs_own() -> None:
    images, whole = pictures(2), ReconPoint(2.0, 250, 3, 0.0, "trailing", 0)
    never, unsteered = whole._replace(blend_low=251), whole._replace(w=0.0)
    late = whole._replace(blend_high=200)
    found = swept(images, [whole, never, late, unsteered])
    np.testing.assert_allclose(found[never].pixel, found[unsteered].pixel, atol=1e-5)
    assert np.abs(found[late].pixel - found[whole].pixel).max() > 1e-3
    assert np.abs(found[late].pixel - found[never].pixel).max() > 1e-3


def test_points_of_whole_and_of_real_times_are_programs_apart() -> None:
    one = PairProgram(lambda _: (eps_fn, features), None, alpha_bar=ALPHA_BAR)
    grids = ("trailing", "log_snr_continuous", "uniform")
    points = recon_grid(w=(0.0, 2.0), t_prime=(250,), steps=(3,), eta=(0.0,), grid=grids, seed=(0,))
    points.sort(key=program_key)
    for point, distances in sweep_distances(one, pictures(2), points, chunk=3, keep_x0=True, timer=lambda: 0.0):
        np.testing.assert_allclose(reconstructed(distances)[1], alone(pictures(2)[1], point)[0], atol=2e-3)
    assert one.compilations == 2


def test_a_network_without_deep_layers_cannot_be_asked_to_reuse_them() -> None:
    one = PairProgram(lambda _: (eps_fn, features), None, alpha_bar=ALPHA_BAR)
    point = ReconPoint(3.0, 250, 3, 0.0, "trailing", 0, reuse=2)
    with pytest.raises(InputError, match="reuse = 2: this network has no layers that could be left out"):
        next(sweep_distances(one, pictures(2), [point], chunk=4, timer=lambda: 0.0))


def test_points_come_one_by_one_and_memory_holds_one_chunk() -> None:
    points, images = GRID, pictures()
    done: list[int] = []
    pass_over = sweep_distances(program(), images, points, chunk=4, timer=lambda: 0.0, progress=done.append)
    for i, point in enumerate(points):
        assert next(pass_over)[0] == point
        # No more is reconstructed before a point is handed over than the chunks that point lies in.
        group = [p for p in points[: i + 1] if p.steps == point.steps]
        before = sum(p.steps != point.steps for p in points[:i]) * len(images)
        assert sum(done) - before <= math.ceil(len(group) * len(images) / 4) * 4
    assert next(pass_over, None) is None
    assert sum(done) == len(points) * len(images)


def test_a_chunk_may_span_several_points() -> None:
    points = GRID[:8]
    found = list(sweep_distances(program(), pictures(2), points, chunk=7, timer=lambda: 0.0))
    assert [point for point, _ in found] == points
    assert all(distances.x0 is None and distances.pixel.shape == (2, SIZE, SIZE) for _, distances in found)


def test_seeds_draw_other_noise_and_points_of_one_seed_share_it() -> None:
    base = ReconPoint(0.0, 250, 1, 0.0, "trailing", 0)
    zero, other = swept(pictures(), [base, base._replace(seed=1)]).values()
    assert np.abs(zero.pixel - other.pixel).max() > 0.1
    # With w = 1e-6 nothing but shared noise can make the reconstructions agree.
    (near,) = swept(pictures(), [base._replace(w=1e-6)]).values()
    np.testing.assert_allclose(near.pixel, zero.pixel, atol=1e-4)


def test_equal_pictures_score_equally() -> None:
    images = pictures()
    images[4] = images[0]
    (found,) = swept(images, [ReconPoint(3.0, 250, 3, 1.0, "trailing", 0)]).values()
    np.testing.assert_array_equal(found.pixel[4], found.pixel[0])


def test_clipping_is_an_option() -> None:
    point = ReconPoint(60.0, 250, 1, 0.0, "trailing", 0)
    for clip in (True, False):
        (found,) = swept(pictures(), [point], clip=clip).values()
        np.testing.assert_allclose(found.pixel[0], alone(pictures()[0], point, clip=clip)[1], rtol=1e-3, atol=1e-4)
        assert (np.abs(reconstructed(found)).max() <= 1) == clip


def test_pictures_may_enter_the_features_at_another_size() -> None:
    point = ReconPoint(3.0, 250, 1, 0.0, "trailing", 0)
    (found,) = swept(pictures(), [point], feature_size=32).values()
    assert found.features["layer1"].shape == (N, 16, 16)
    expected = alone(pictures()[2], point, size=32)[2]
    for layer in LAYERS:
        np.testing.assert_allclose(found.features[layer][2], expected[layer], atol=1e-4)


def distances(n: int = 3, seed: int = 0) -> Distances:
    rng = np.random.default_rng(seed)
    layers = {layer: rng.random((n, s, s), np.float32) for layer, s in zip(LAYERS, (8, 4, 2), strict=True)}
    return Distances(None, rng.random((n, SIZE, SIZE), np.float32), layers, np.zeros(n))


def test_blurring_is_linear_so_v_needs_no_second_blur() -> None:
    found, layers, sigma = distances(), ("layer2", "layer3"), 1.5
    d_f = feature_distance({k: jnp.asarray(d) for k, d in found.features.items()}, layers, SIZE)
    blurred_p, blurred_f = blurred(found, layers, sigma)
    for v in (0.0, 1.0, 7.0):
        expected = anomaly_map(jnp.asarray(found.pixel), d_f, v=v, ratio=0.3, sigma=sigma)
        np.testing.assert_allclose(combine(blurred_p, blurred_f, v=v, ratio=0.3), expected, rtol=1e-5, atol=1e-5)


def test_blurring_sums_layers_and_scales() -> None:
    found, sigma = distances(), 2.0
    parts = [blurred(found, (layer,), sigma)[1] for layer in LAYERS]
    np.testing.assert_allclose(blurred(found, LAYERS, sigma)[1], sum(parts), rtol=1e-5)
    doubled = jax.tree.map(lambda d: 2 * d, found)
    for once, twice in zip(blurred(found, LAYERS, sigma), blurred(doubled, LAYERS, sigma), strict=True):
        np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)


def test_blurring_in_batches_pads_nothing_into_the_result() -> None:
    found = distances(7)
    for left, right in zip(blurred(found, LAYERS, 1.0, batch=3), blurred(found, LAYERS, 1.0), strict=True):
        assert left.shape == (7, SIZE, SIZE)
        np.testing.assert_allclose(left, right, rtol=1e-6)
    sharp_p, _ = blurred(found, LAYERS, 0.0)
    np.testing.assert_array_equal(sharp_p, found.pixel)


def test_the_grid_is_the_product_in_groups_of_one_step_count() -> None:
    assert len(GRID) == 2**5
    assert [steps for steps, _ in itertools.groupby(GRID, key=lambda p: p.steps)] == [1, 3]
    repeated = recon_grid(w=(1, 1.0), t_prime=(50, 50), steps=(2,), eta=(0,), grid=("trailing",), seed=(0,))
    assert repeated == [ReconPoint(1.0, 50, 2, 0.0, "trailing", 0)]


@pytest.mark.parametrize("piece", [0, 2, 5, 99])
@pytest.mark.parametrize("chunk", [1, 4, 7])
def test_pieces_put_together_are_the_whole(piece: int, chunk: int) -> None:
    points, images = GRID[-3:], pictures()
    whole, parts = swept(images, points, chunk), dict[ReconPoint, list[Distances]]()
    how: dict[str, Any] = {"keep_x0": True, "timer": itertools.count().__next__}
    for point, rows, part in sweep_pieces(program(), images, points, chunk=chunk, piece=piece, **how):
        own = parts.setdefault(point, [])
        assert rows.start == sum(len(one.pixel) for one in own) and rows.stop - rows.start == len(part.pixel)
        assert not piece or rows.stop == min(rows.start + piece, N)
        own.append(part)
    assert list(parts) == points
    for point, own in parts.items():
        joined = jax.tree.map(lambda *rows: np.concatenate(rows), *own)
        np.testing.assert_array_equal(joined.x0, whole[point].x0)
        np.testing.assert_array_equal(joined.pixel, whole[point].pixel)
        for layer in LAYERS:
            np.testing.assert_array_equal(joined.features[layer], whole[point].features[layer])


def test_reconstructions_of_some_images_are_kept_alone() -> None:
    points, images, asked = GRID[-2:], pictures(), np.array([True, False, False, True, True])
    how: dict[str, Any] = {"chunk": 4, "timer": lambda: 0.0}
    some = dict(sweep_distances(program(), images, points, keep_x0=asked, **how))
    for point, distances in swept(images, points, 4).items():
        np.testing.assert_array_equal(reconstructed(some[point]), reconstructed(distances)[asked])
        np.testing.assert_array_equal(some[point].pixel, distances.pixel)
    none = dict(sweep_distances(program(), images, points, keep_x0=np.zeros(N, bool), **how))
    assert all(distances.x0 is None for distances in none.values())


def test_distances_in_files_are_the_same_and_leave_nothing_behind(tmp_path: Path) -> None:
    points, images = GRID[-2:], pictures()
    in_files = sweep_distances(
        program(), images, points, chunk=4, keep_x0=True, spill=tmp_path, timer=itertools.count().__next__
    )
    for (_, lies), (_, whole) in zip(in_files, swept(images, points, 4).items(), strict=True):
        assert isinstance(lies.pixel, Spilled) and isinstance(lies.x0, Spilled)
        assert_same(lies, whole)
        np.testing.assert_array_equal(np.asarray(lies.x0), whole.x0)
        for read, kept in zip(blurred(lies, LAYERS, 1.5), blurred(whole, LAYERS, 1.5), strict=True):
            np.testing.assert_array_equal(read, kept)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("n", "piece"), [(8, 0), (64, 0), (64, 4)])
def test_memory_of_a_sweep_does_not_grow_with_its_images(n: int, piece: int, tmp_path: Path) -> None:
    points, images, chunk = GRID[-2:], pictures(n), 4
    for _ in sweep_distances(program(), images, points, chunk=chunk, keep_x0=True, timer=lambda: 0.0):
        pass  # compiled outside of what is measured
    tracemalloc.start()
    try:
        how: dict[str, Any] = {"chunk": chunk, "keep_x0": True, "timer": lambda: 0.0}
        if piece:
            for _ in sweep_pieces(program(), images, points, piece=piece, **how):
                pass
        else:
            for _ in sweep_distances(program(), images, points, spill=tmp_path, **how):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    one = (
        SIZE * SIZE * (3 * 4 + 3 * 4 + 3 * 2 + 4)
    )  # bytes of a pair: seen twice as float32, kept as float16, distances
    assert peak < 8 * chunk * one + n * 1000, f"{peak} bytes for {n} images"


@pytest.mark.parametrize("how", [{"ahead": 2}, {"features_bytes": 0}], ids=["given ahead", "features asked anew"])
def test_what_is_shared_and_given_ahead_does_not_show(how: dict[str, Any]) -> None:
    images, points = pictures(5), GRID[:4]
    asked = {points[1]: np.array([0, 1, 0, 0, 1], bool), points[3]: np.ones(5, bool)}
    begun: dict[str, Any] = {"chunk": 4, "keep_x0": asked, "timer": itertools.count().__next__}
    plain, other = (dict(sweep_distances(program(), images, points, **begun, **more)) for more in ({}, how))
    assert list(plain) == list(other) == points
    for point in points:
        assert_same(plain[point], other[point])
        np.testing.assert_array_equal(plain[point].seconds > 0, True)
    assert plain[points[0]].x0 is None is other[points[0]].x0, "of a point that is asked for none"
    for point, own in asked.items():
        assert len(reconstructed(plain[point])) == own.sum()
        np.testing.assert_allclose(reconstructed(plain[point]), reconstructed(other[point]), atol=1e-3)
        np.testing.assert_allclose(
            reconstructed(plain[point]), reconstructed(swept(images, points, 4)[point])[own], atol=1e-3
        )


def test_what_the_host_does_between_chunks_is_no_time_of_theirs() -> None:
    images, points = pictures(4), GRID[:6]
    list(sweep_distances(program(), images, points, chunk=4, timer=time.perf_counter, ahead=1))
    took = []
    for _, distances in sweep_distances(program(), images, points, chunk=4, timer=time.perf_counter, ahead=1):
        took.append(distances.seconds.sum())
        time.sleep(0.2)  # as judging a point does
    assert len(took) == len(points) and np.median(took) < 0.1


def test_maps_of_tiles_are_put_together_picture_by_picture() -> None:
    t = tiling((2 * SIZE - 4, 3 * SIZE - 8), SIZE, 4)
    found = distances(3 * t.count)
    tiles_p, tiles_f = blurred(found, LAYERS, 1.0)
    whole_p, whole_f = blurred(found, LAYERS, 1.0, tiling=t)
    np.testing.assert_allclose(whole_p, stitch(tiles_p, t), rtol=1e-6)
    np.testing.assert_allclose(whole_f, stitch(tiles_f, t), rtol=1e-6)
    second = blurred(found, LAYERS, 1.0, tiling=t, rows=slice(1, 2))
    np.testing.assert_array_equal(second, (whole_p[1:2], whole_f[1:2]))
    np.testing.assert_allclose(blurred(found, LAYERS, 1.0, rows=slice(2, 5))[1], tiles_f[2:5], rtol=1e-6)
    assert blurred(found, LAYERS, 1.0, rows=slice(0, 0))[0].shape == (0, SIZE, SIZE)


def test_scores_without_a_reconstruction_are_each_picture_s_own_and_run_no_feature_network() -> None:
    def blind(x: Array) -> dict[str, Array]:
        raise AssertionError("features are not looked at")

    how: dict[str, Any] = {"w": (1.0,), "eta": (0.0,), "grid": ("trailing",)}
    points = recon_grid(**how, scoring=("inversion",), t_prime=(90, 250), steps=(3,), seed=(0,))
    points += recon_grid(**how, scoring=("resilience",), t_prime=(5, 20), steps=(1,), seed=(4,), draws=(2,))
    images, own = pictures(3), PairProgram(lambda _: (LAYERED, blind), None, alpha_bar=ALPHA_BAR)
    found = dict(sweep_distances(own, images, points, chunk=2, keep_x0=True, timer=itertools.count().__next__))
    assert list(found) == points and own.compilations == 2  # T' is traced
    seeds = [[jax.random.fold_in(jax.random.key(8 + i), image_seed(image)) for image in images] for i in range(2)]
    y, keys = to_float(images), jnp.stack([jnp.stack(of_draw) for of_draw in seeds])
    noise = jnp.stack([noise_of(of_draw, y.shape[1:])(jnp.asarray(0)) for of_draw in keys])

    @jax.jit
    def directly(grid: TimeGrid) -> tuple[Array, Array]:
        latent = inverted(eps_fn, y, grid, alpha_bar=ALPHA_BAR).latent
        return norms(latent), resilience(eps_fn, y, grid.start, noise, alpha_bar=ALPHA_BAR, antithetic=True)

    for point, distances in found.items():
        assert distances.x0 is None and distances.features == {}
        expected = directly(trailing(point.t_prime, 3))[point.scoring == "resilience"]
        np.testing.assert_allclose(distances.pixel, expected, rtol=2e-4, atol=1e-5)
        d_p, d_f = blurred(distances, (), 1.0)
        assert not d_f.any() and d_p.shape == d_f.shape == distances.pixel.shape


def test_the_noise_of_the_start_is_the_one_that_is_asked_for() -> None:
    images, quiet = pictures(2), GRID[0]._replace(start_noise=0.0, eta=0.0)
    loud = quiet._replace(start_noise=1.0)
    without, with_none = swept(images, [quiet])[quiet], swept(images, [loud], draw=silent)[loud]
    np.testing.assert_allclose(with_none.pixel, without.pixel, atol=1e-5)
    assert np.abs(swept(images, [loud])[loud].pixel - without.pixel).max() > 0.01


def test_pixel_distances_by_their_squares() -> None:
    images, point = pictures(2), GRID[0]
    squared = swept(images, [point._replace(squared=True)])[point._replace(squared=True)]
    y, x0 = np.asarray(to_float(jnp.asarray(images))), squared.x0
    np.testing.assert_allclose(squared.pixel, np.square(x0.astype(np.float32) - y).mean(-1), atol=5e-3)
    assert np.abs(squared.pixel - swept(images, [point])[point].pixel).max() > 0.01
