"""A detector gives what a sweep gives at its point, from one program, whoever shares its batch."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_sweep import ALPHA_BAR, LAYERS, SIZE, eps_fn, features, pictures, program

from ddad_jax.detector import Calibration, Detection, Detector
from ddad_jax.distance_maps import blurred
from ddad_jax.errors import InputError
from ddad_jax.first_pass import SIGMA, First, first_pass, first_ratio, first_scores, start_times, unusual
from ddad_jax.image import centre_crop
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import OPTIMISED, ReconPoint, ScorePoint, grid_key
from ddad_jax.score import combine, normal_spread, standardise
from ddad_jax.sweep import sweep_distances
from ddad_jax.timesteps import quadratic
from ddad_jax.types import Array
from ddad_jax.vision.view_mask import silenced

POINT = ReconPoint(3.0, 250, 3, 0.7, "trailing", 5)
SCORE = ScorePoint(3.0, ("layer2", "layer3"), 0.9)
RATIO = 0.37


@functools.cache
def detector(point: ReconPoint = POINT, score: ScorePoint = SCORE, crop: int = 0, **how: Any) -> Detector:
    return Detector(program(**how), point, score, Calibration(RATIO), crop=crop)


def swept_maps(images: np.ndarray, point: ReconPoint = POINT, score: ScorePoint = SCORE, **how: Any) -> np.ndarray:
    """By the sweep: distances to the host, each blurred, combined there."""
    ((_, distances),) = sweep_distances(
        program(), images, [point], chunk=len(images), timer=itertools.count().__next__, **how
    )
    weights = {"v": np.float32(score.v), "feature_weight": np.float32(score.feature_weight)}
    both = blurred(distances, score.layers, score.sigma, upsampling=score.upsampling)
    return combine(*both, ratio=np.float32(RATIO), **weights)


def assert_agrees(found: Detection, maps: np.ndarray) -> None:
    # Where a reconstruction is its picture, what two programs make of the same features is rounding alone.
    atol = 1e-5 * np.abs(maps).max() + 1e-6
    np.testing.assert_allclose(found.maps, maps, atol=atol)
    np.testing.assert_allclose(found.scores, maps.max((1, 2)), atol=atol)


@pytest.mark.parametrize(
    ("point", "score"),
    [
        (POINT, SCORE),
        (POINT, SCORE._replace(layers=LAYERS, v=0.0, sigma=0.0)),
        (POINT, SCORE._replace(feature_weight=0.0)),
        (POINT, SCORE._replace(upsampling="half_pixel")),
        (POINT._replace(start="inversion", draws=2, blend_low=50, start_noise=0.0), SCORE),
        (POINT._replace(solver="dpm2m", eta=0.0, start_noise=0.0, blend_max=1.0, fade=0.0), SCORE._replace(v=7.0)),
    ],
    ids=[
        "published",
        "features alone, no blur",
        "pixels alone",
        "half-pixel upsampling",
        "inversion, two draws, interval",
        "another solver, start and blend",
    ],
)
def test_maps_and_scores_are_those_of_a_sweep(point: ReconPoint, score: ScorePoint) -> None:
    images = pictures(4)
    assert_agrees(detector(point, score)(images), swept_maps(images, point, score))


def test_a_map_is_cropped_behind_its_blur() -> None:
    images = pictures(4)
    found = detector(crop=SIZE - 6)(images)
    assert found.maps.shape == (4, SIZE - 6, SIZE - 6)
    assert_agrees(found, centre_crop(swept_maps(images), SIZE - 6))  # type: ignore[arg-type]


def test_stored_constants_standardise_as_the_normal_maps_do() -> None:
    images, normal = pictures(4), swept_maps(pictures(6, seed=1))
    constants = Calibration(RATIO, normal_spread(normal))
    found = Detector(program(), POINT, SCORE._replace(standardise=True), constants)(images)
    assert_agrees(found, standardise(swept_maps(images), normal))


def test_the_grid_found_for_a_model_is_visited() -> None:
    images, grids = pictures(4), {grid_key(POINT): quadratic(250, 3)}
    point = POINT._replace(grid=OPTIMISED)
    found = Detector(program(), point, SCORE, Calibration(RATIO), optimised=grids)(images)
    assert_agrees(found, swept_maps(images, point, optimised=grids))
    assert np.abs(found.maps - detector()(images).maps).max() > 1e-3
    with pytest.raises(InputError, match="optimised"):
        Detector(program(), point, SCORE, Calibration(RATIO))


def test_every_picture_may_start_at_its_own_time() -> None:
    images, starts = pictures(4), np.array([250, 300, 270, 250])
    point = POINT._replace(rise=0.2)
    found = detector(point)(images, starts)
    assert_agrees(found, swept_maps(images, point, starts={point: starts}))
    with pytest.raises(InputError, match="rise = 0.2: expected starts"):
        detector(point)(images)
    with pytest.raises(InputError, match="rise = 0"):
        detector()(images, starts)


def test_a_first_pass_finds_the_start_times_in_the_same_program() -> None:
    point, images, n = POINT._replace(rise=1.0), pictures(8), 4
    ((_, once),) = sweep_distances(program(), images, [first_pass(point)], chunk=8, timer=itertools.count().__next__)
    ratio = first_ratio(once, n)
    scores = first_scores(once, ratio=ratio, sigma=SIGMA * SIZE)
    starts = start_times(point, unusual(scores, n))
    assert len(set(starts[n:].tolist())) > 1
    found = Detector(program(), point, SCORE, Calibration(RATIO, None, First(ratio, np.sort(scores[:n]))))
    assert_agrees(found(images[n:]), swept_maps(images[n:], point, starts={point: starts[n:]}))
    with pytest.raises(InputError, match=r"rise = 1.0: expected starts = None, the first pass finds them"):
        found(images[n:], starts[n:])
    with pytest.raises(InputError, match="rise = 0: expected no first pass"):
        Detector(program(), POINT, SCORE, Calibration(RATIO, None, First(ratio, scores[:n])))


def test_a_first_pass_that_diverged_starts_every_picture_at_t_prime() -> None:
    images, lost = pictures(3), First(np.nan, np.full(4, np.nan, np.float32))
    found = Detector(program(), POINT._replace(rise=1.0), SCORE, Calibration(RATIO, None, lost))(images)
    assert_agrees(found, swept_maps(images))


def test_masks_before_and_after_are_those_of_a_sweep() -> None:
    images, watched = pictures(4), np.ones((SIZE, SIZE), bool)
    watched[3:9, 2:12] = False
    point, score = POINT._replace(mask_before=True), SCORE._replace(mask_after=True)
    own = Detector(program(), point, score, Calibration(RATIO, watched=watched))
    assert_agrees(own(images), silenced(swept_maps(images, point, watched=watched), watched))
    each = np.stack([watched, ~watched, watched, ~watched])
    assert_agrees(own(images, watched=each), silenced(swept_maps(images, point, watched=each), watched))
    for p, s in ((point, SCORE), (POINT, score)):
        with pytest.raises(InputError, match="expected the mask of the view"):
            Detector(program(), p, s, Calibration(RATIO))(images)


def test_order_and_batch_mates_do_not_show() -> None:
    images = pictures(4)
    whole, order = detector()(images), np.array([2, 0, 3, 1])
    assert_agrees(detector()(images[order]), np.asarray(whole.maps)[order])
    images[1:] = pictures(3, seed=9)
    np.testing.assert_allclose(detector()(images).maps[0], whole.maps[0], atol=1e-5)


def test_one_program_a_batch_size_and_no_feature_that_no_layer_of_the_score_needs() -> None:
    traced: list[int] = []

    def counted(x: Array) -> dict[str, Array]:
        traced.append(len(x))
        return features(x)

    own = Detector(
        PairProgram(lambda _: (eps_fn, counted), None, alpha_bar=ALPHA_BAR), POINT, SCORE, Calibration(RATIO)
    )
    for n in (2, 2, 1):
        own(pictures(n))
    assert traced == [2, 2, 1, 1]  # of reconstruction and picture, when it is compiled
    pairs = own.place(pictures(2))
    flops = {}
    for layers in (LAYERS, ("layer3",)):
        fewer = detector(score=SCORE._replace(layers=layers))
        cost = fewer.lowered(pairs).cost_analysis()
        flops[layers] = cost["flops"]
    assert flops[("layer3",)] < flops[LAYERS]


def test_only_maps_and_scores_leave_the_program() -> None:
    own = detector()
    out = own.lowered(own.place(pictures(2))).out_info
    assert [(a.shape, a.dtype) for a in jax.tree.leaves(out)] == [((2, SIZE, SIZE), jnp.float32), ((2,), jnp.float32)]


@pytest.mark.parametrize("images", [pictures(2).astype(np.float32), pictures(2)[0], pictures(0)])
def test_other_arrays_than_a_batch_of_pictures_are_refused(images: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"expected uint8 \[b, h, w, c\]"):
        detector()(images)


def test_standardising_without_constants_is_refused() -> None:
    score = SCORE._replace(standardise=True)
    with pytest.raises(InputError, match="spread"):
        Detector(program(), POINT, score, Calibration(RATIO))
