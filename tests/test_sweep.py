"""A sweep gives what each point and picture would give alone, whatever its chunks, order and batch mates are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_sweep import GRID, LAYERS, N, alone, assert_same, pictures, reconstructed, swept

from ddad_jax.data import to_float
from ddad_jax.points import ReconPoint, recon_grid
from ddad_jax.types import Array


def silent(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.zeros(shape)


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
