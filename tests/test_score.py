import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.image import gaussian_blur
from ddad_jax.score import (
    Scale,
    anomaly_map,
    batch_ratio,
    combine,
    image_score,
    maps_and_scores,
    normal_spread,
    scale_from_normal,
    standardise,
    standardise_apart,
)
from ddad_jax.types import Array

RNG = np.random.default_rng(0)
D_P = jnp.asarray(RNG.random((4, 32, 32)) * 0.2, jnp.float32)
D_F = jnp.asarray(RNG.random((4, 32, 32)) * 0.9, jnp.float32)


def test_the_combination_is_equation_9() -> None:
    for v in (0.0, 1.0, 7.0):
        expected = v * (D_F.max() / D_P.max()) * D_P + D_F
        np.testing.assert_allclose(combine(D_P, D_F, v=v, ratio=batch_ratio(D_P, D_F)), expected, rtol=1e-6)
    np.testing.assert_array_equal(combine(D_P, D_F, v=0.0, ratio=3.0), D_F)


def test_the_weight_of_the_features_is_a_factor_of_their_term_alone() -> None:
    """Deviation: feature_weight. At 1 it is the published combination, at 0 pixels are left alone."""
    both = {"v": 2.0, "ratio": 3.0}
    np.testing.assert_array_equal(combine(D_P, D_F, **both, feature_weight=1.0), combine(D_P, D_F, **both))
    np.testing.assert_array_equal(combine(D_P, D_F, **both, feature_weight=0.0), 6.0 * D_P)
    np.testing.assert_allclose(combine(D_P, D_F, **both, feature_weight=0.5), 6.0 * D_P + 0.5 * D_F, rtol=1e-6)


def test_the_batch_ratio_gives_both_terms_the_same_peak() -> None:
    assert float((batch_ratio(D_P, D_F) * D_P).max()) == pytest.approx(float(D_F.max()), rel=1e-6)


def scores(d_p: Array, d_f: Array, ratio: Array | float) -> np.ndarray:
    return np.asarray(image_score(anomaly_map(d_p, d_f, v=1.0, ratio=ratio, sigma=2.0)))


def test_a_score_depends_on_its_own_image_alone_by_default_and_on_its_batch_as_published() -> None:
    """The deviation: the ratio comes from held-out normal images, not from the batch that is scored."""
    scale = scale_from_normal(np.asarray(D_P), np.asarray(D_F))
    order = jnp.array([3, 1, 0, 2])
    fixed = scores(D_P, D_F, scale.ratio)
    np.testing.assert_array_equal(scores(D_P[order], D_F[order], scale.ratio), fixed[order])
    for i in range(4):
        one = np.s_[i : i + 1]
        np.testing.assert_allclose(scores(D_P[one], D_F[one], scale.ratio), fixed[one], rtol=1e-6)

    loud = D_P.at[3].multiply(10.0)
    np.testing.assert_array_equal(scores(loud, D_F, scale.ratio)[:3], fixed[:3])
    published = scores(D_P, D_F, batch_ratio(D_P, D_F))
    assert np.abs(scores(loud, D_F, batch_ratio(loud, D_F)) - published)[:3].min() > 0.05


def test_blurring_before_or_after_combining_is_the_same() -> None:
    after = anomaly_map(D_P, D_F, v=7.0, ratio=3.0, sigma=2.0)
    before = combine(gaussian_blur(D_P, 2.0), gaussian_blur(D_F, 2.0), v=7.0, ratio=3.0)
    np.testing.assert_allclose(after, before, rtol=1e-5)


def test_the_crop_is_taken_from_the_blurred_map_and_drops_what_is_in_the_border() -> None:
    d_p, d_f = jnp.zeros((1, 32, 32)), jnp.full((1, 32, 32), 0.1).at[0, 0, 0].set(5.0)
    whole = anomaly_map(d_p, d_f, v=1.0, ratio=1.0, sigma=1.0)
    cropped = anomaly_map(d_p, d_f, v=1.0, ratio=1.0, sigma=1.0, crop=20)
    np.testing.assert_array_equal(cropped, whole[:, 6:26, 6:26])
    assert float(image_score(whole)[0]) > 0.5 > float(image_score(cropped)[0])


def test_the_score_is_the_peak_of_each_map() -> None:
    maps = jnp.zeros((3, 4, 4)).at[1, 2, 3].set(2.0).at[2].set(-1.0)
    np.testing.assert_array_equal(image_score(maps), [0.0, 2.0, -1.0])


@pytest.mark.parametrize("crop", [0, 3])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("standardised", [False, True])
def test_maps_are_scored_alike_on_host_and_device(standardised: bool, masked: bool, crop: int) -> None:
    maps = RNG.random((5, 8, 8)).astype(np.float32)
    spread = normal_spread(RNG.random((6, 8, 8))) if standardised else None
    watched = RNG.random((8, 8)) < 0.5 if masked else None
    on_host, on_device = (
        maps_and_scores(given, spread=spread, watched=watched, crop=crop) for given in (maps, jnp.asarray(maps))
    )
    for host, device in zip(on_host, on_device, strict=True):
        assert isinstance(host, np.ndarray) and not isinstance(device, np.ndarray)
        np.testing.assert_allclose(host, device, rtol=1e-5, atol=1e-6)
    apart = [maps_and_scores(one[None], spread=spread, watched=watched, crop=crop)[1][0] for one in maps]
    np.testing.assert_array_equal(on_host[1], apart)  # no influence of batch mates


def test_a_mask_follows_the_spreads_and_goes_before_the_crop() -> None:
    maps, watched = np.zeros((1, 6, 6), np.float32), np.ones((6, 6), bool)
    maps[0, 0, 0], maps[0, 2, 2], maps[0, 3, 3], watched[2, 2] = 9.0, 7.0, 2.0, False
    spread = normal_spread(RNG.random((4, 6, 6)))._replace(mean=np.ones((6, 6)), std=np.full((6, 6), 0.5))
    kept, (score,) = maps_and_scores(maps, spread=spread, watched=watched, crop=4)
    assert score == (2.0 - 1.0) / 0.5 and kept.shape == (1, 4, 4)
    assert kept[0, 1, 1] == kept.min() == -2.0, "not watched: the least that is watched, in spreads"


def test_the_scale_is_the_median_peak_of_normal_images() -> None:
    d_p, d_f = np.full((5, 4, 4), 0.01), np.full((5, 4, 4), 0.02)
    d_p[:, 1, 1], d_f[:, 2, 2] = [0.1, 0.2, 0.3, 0.4, 9.0], [0.5, 0.6, 0.7, 0.8, 50.0]
    scale = scale_from_normal(d_p, d_f)
    assert scale == Scale(0.3, 0.7)
    assert scale.ratio == pytest.approx(0.7 / 0.3)
    assert all(isinstance(v, float) for v in scale)


def test_one_odd_normal_image_does_not_move_the_scale_far() -> None:
    odd = np.asarray(D_P).copy()
    odd[0, 5, 5] = 100.0
    plain, disturbed = (scale_from_normal(d, np.asarray(D_F)) for d in (np.asarray(D_P), odd))
    assert disturbed.pixel == pytest.approx(plain.pixel, rel=0.01)


@pytest.mark.parametrize(
    ("d_p", "d_f", "message"),
    [
        (np.zeros((0, 4, 4)), np.zeros((0, 4, 4)), "no held-out normal images"),
        (np.zeros((2, 4, 4)), np.ones((2, 4, 4)), "above 0"),
        (np.ones((2, 4, 4)), np.zeros((2, 4, 4)), "above 0"),
        (np.full((2, 4, 4), np.nan), np.ones((2, 4, 4)), "finite"),
        (np.ones((2, 4, 4)), np.full((2, 4, 4), np.inf), "finite"),
    ],
)
def test_a_scale_that_cannot_be_measured_is_refused(d_p: np.ndarray, d_f: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scale_from_normal(d_p, d_f)


# Standardised maps


def normal_maps(n: int = 12) -> np.ndarray:
    """Normal maps that are high and restless in the left half."""
    rng = np.random.default_rng(1)
    level = np.where(np.arange(16) < 8, 1.0, 0.2)
    return np.float32(level * (1 + 0.3 * rng.standard_normal((n, 16, 16))))


def test_a_standardised_map_has_the_normal_mean_and_spread_at_each_pixel() -> None:
    """Deviation: standardise. Without a prior it is (A - mean) / std."""
    normal, new = normal_maps(), normal_maps(5) + 0.1
    expected = (new - normal.mean(0)) / normal.std(0)
    np.testing.assert_allclose(standardise(new, normal, prior=0.0), expected, rtol=1e-3)


def test_a_prior_that_outweighs_all_images_leaves_the_order_of_the_pixels_alone() -> None:
    normal, new = normal_maps(), normal_maps(5)
    assert np.corrcoef(standardise(new, normal, prior=1e9).ravel(), new.ravel())[0, 1] == pytest.approx(1.0, abs=1e-6)


def test_a_small_change_in_a_calm_place_comes_before_a_usual_one_in_a_restless_place() -> None:
    normal = normal_maps(40)
    new = normal[:1].copy()
    new[0, 4, 12] += 0.9
    assert np.unravel_index(new[0].argmax(), (16, 16))[1] < 8
    assert np.unravel_index(standardise(new, normal)[0].argmax(), (16, 16)) == (4, 12)


def test_a_map_is_standardised_by_the_normal_maps_that_are_not_its_own() -> None:
    normal, own = normal_maps(5), np.array([3, 0, 4, 3, -1])
    damaged = normal[own] + 0.1
    got = standardise_apart(damaged, normal, own)
    for i in range(5):
        others = np.delete(normal, own[i], 0) if own[i] >= 0 else normal
        np.testing.assert_allclose(got[i], standardise(damaged[i : i + 1], others)[0], rtol=1e-3, atol=1e-4)


def test_too_few_or_constant_normal_maps_cannot_standardise() -> None:
    with pytest.raises(InputError, match="held_out"):
        standardise(normal_maps(), normal_maps()[:0])
    with pytest.raises(InputError, match="at least 2"):
        standardise_apart(normal_maps()[:1], normal_maps()[:1], np.zeros(1, int))
    with pytest.raises(InputError, match="the same everywhere"):
        standardise(normal_maps(), np.ones((3, 16, 16), np.float32))
