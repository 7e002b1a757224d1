"""Unusual pictures start later; the numbers that decide it are those of held-out normal pictures."""

from typing import Any

import numpy as np
import pytest
import small_sweep
from small_sweep import LAYERS, N, program, swept

from ddad_jax.distance_maps import blurred
from ddad_jax.errors import InputError
from ddad_jax.first_pass import first_pass, first_ratio, first_scores, start_times, unusual
from ddad_jax.points import ReconPoint, time_grid
from ddad_jax.score import anomaly_map, scale_from_normal
from ddad_jax.sweep import Distances, sweep_distances
from ddad_jax.timesteps import trailing

POINT = ReconPoint(w=2.0, t_prime=100, steps=3, eta=0.5, grid="trailing", seed=4, solver="dpm2m", rise=1.0)


def test_q_is_the_share_of_other_normal_images_below() -> None:
    scores = np.array([3.0, 1.0, 2.0, 0.5, 2.5, 9.0, np.nan])
    assert unusual(scores, 3).tolist() == [1.0, 0.0, 0.5, 0.0, 2 / 3, 1.0, 0.0]


def test_one_normal_image_leaves_two_kinds_of_pictures() -> None:
    assert unusual(np.array([1.0, 0.5, 2.0]), 1).tolist() == [0.0, 0.0, 1.0]


def test_the_start_time_rises_with_q_up_to_the_last_time() -> None:
    assert start_times(POINT, np.array([0.0, 0.5, 1.0])).tolist() == [100, 150, 200]
    assert start_times(POINT._replace(t_prime=600), np.array([0.0, 1.0])).tolist() == [600, 999]


def test_the_first_pass_is_one_call_at_the_same_start() -> None:
    once = first_pass(POINT)
    assert once.calls == 1 and not once.rise
    kept = ("w", "t_prime", "seed", "start_noise", "fade", "blend_max", "model")
    assert [getattr(once, name) for name in kept] == [getattr(POINT, name) for name in kept]
    assert POINT.calls == 4


def test_first_scores_are_those_of_the_detector_itself() -> None:
    distances = swept(small_sweep.pictures(), [first_pass(POINT)])[first_pass(POINT)]
    d_p, d_f = blurred(distances, LAYERS, 0.0, upsampling="align_corners")
    expected = anomaly_map(d_p, d_f, v=1.0, ratio=scale_from_normal(d_p[:2], d_f[:2]).ratio, sigma=1.5)
    found = first_scores(distances, ratio=first_ratio(distances, 2), sigma=1.5)
    np.testing.assert_allclose(found, expected.max((1, 2)), rtol=1e-5)


def test_a_picture_with_its_own_start_is_reconstructed_as_by_the_point_of_that_start() -> None:
    images, own = small_sweep.pictures(), np.array([100, 140, 100, 200, 177])
    found = dict(
        sweep_distances(program(), images, [POINT], chunk=3, keep_x0=True, starts={POINT: own}, timer=lambda: 0.0)
    )[POINT]
    for i in range(N):
        alone = POINT._replace(t_prime=int(own[i]), rise=0.0)
        np.testing.assert_array_equal(found.x0[i], swept(images, [alone])[alone].x0[i])


def test_an_optimised_grid_is_stretched_to_the_start() -> None:
    point = POINT._replace(grid="optimised")
    grids = {(100, 3, "dpm2m"): trailing(100, 3)._replace(t=np.array([100, 40, 38]))}
    grid = time_grid(point, grids, start=150)  # type: ignore[arg-type]
    assert (int(grid.start), grid.t.tolist(), grid.s.tolist()) == (150, [150, 60, 57], [60, 57, -1])
    with pytest.raises(InputError, match="twice from T' = 12"):
        time_grid(point, grids, start=12)  # type: ignore[arg-type]


def test_distances_that_diverged_are_refused() -> None:
    flat = np.full((2, 16, 16), np.nan, np.float32)
    with pytest.raises(InputError, match="held-out normal"):
        first_ratio(Distances(None, flat, {"layer1": flat}, np.zeros(2)), 2)


@pytest.mark.parametrize("starts", [None, {}, {POINT: np.array([100])}])
def test_a_rising_point_without_starts_for_all_pictures_is_refused(starts: Any) -> None:
    with pytest.raises(InputError, match="rise = 1: expected starts, a T' for each of 5"):
        list(sweep_distances(program(), small_sweep.pictures(), [POINT], chunk=3, starts=starts, timer=lambda: 0.0))
