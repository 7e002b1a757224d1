from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import multivariate_normal

from ddad_jax.errors import InputError
from ddad_jax.padim import (
    REGULARISATION,
    Gaussian,
    Moments,
    add,
    covariance,
    fit_padim,
    gaussian,
    mahalanobis,
    no_pictures,
    padim_detect,
    regularisation_for,
    scaled_over_set,
)

RNG = np.random.default_rng(0)
N, H, W, D = 20, 3, 2, 5


def pictures(n: int = N, *, at: float = 0.0) -> np.ndarray:
    """Embeddings whose channels depend on each other, otherwise at each position."""
    mixed = RNG.standard_normal((H, W, D, D))
    return (np.einsum("nhwi,hwij->nhwj", RNG.standard_normal((n, H, W, D)), mixed) + at).astype(np.float32)


def moments_of(x: np.ndarray, batch: int = N) -> Moments:
    found = no_pictures((H, W, D))
    for first in range(0, len(x), batch):
        part = x[first : first + batch]
        padded = np.concatenate([part, np.full((batch - len(part), H, W, D), np.nan, np.float32)])
        found = add(found, jnp.asarray(padded), jnp.arange(batch) < len(part))
    return found


def exact_covariance(x: np.ndarray, regularisation: float) -> np.ndarray:
    flat = x.astype(np.float64).reshape(len(x), H * W, D)
    return np.reshape([np.cov(flat[:, p].T) + regularisation * np.eye(D) for p in range(H * W)], (H, W, D, D))


def test_distances_are_those_of_the_normal_density() -> None:
    train, test = pictures(), pictures(4)
    got = mahalanobis(fit_padim([train], regularisation=0.01), jnp.asarray(test))
    matrices, mean = exact_covariance(train, 0.01), train.mean(0, np.float64)
    for i, j in np.ndindex(H, W):
        density = multivariate_normal(mean[i, j], matrices[i, j])
        at_mean = density.logpdf(mean[i, j])
        np.testing.assert_allclose(got[:, i, j], np.sqrt(2 * (at_mean - density.logpdf(test[:, i, j]))), rtol=1e-4)


def test_the_mean_is_at_0_and_one_picture_has_a_gaussian() -> None:
    x = pictures()
    found = fit_padim([x])
    assert float(mahalanobis(found, found.mean[None]).max()) == 0.0
    one = fit_padim([x[:1]])
    away = jnp.asarray(x[1:2])
    expected = np.linalg.norm(x[1] - x[0], axis=-1) / np.sqrt(REGULARISATION)
    np.testing.assert_allclose(mahalanobis(one, away)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("regularisation", [0.01, 0.5])
def test_whitening_of_the_training_pictures(regularisation: float) -> None:
    """Their mean squared distance is (n - 1) / n trace(S (S + r I)^-1)."""
    x = pictures()
    squares = np.square(mahalanobis(fit_padim([x], regularisation=regularisation), jnp.asarray(x))).mean(0)
    whole = exact_covariance(x, regularisation)
    traces = np.trace((whole - regularisation * np.eye(D)) @ np.linalg.inv(whole), axis1=-2, axis2=-1)
    np.testing.assert_allclose(squares, (N - 1) / N * traces, rtol=1e-4)


@pytest.mark.parametrize("at", [0.0, 1000.0])
@pytest.mark.parametrize("batch", [1, 3, 7, 20])
def test_batches_of_any_size_padding_and_an_offset_change_nothing(batch: int, at: float) -> None:
    """A sum of squares in float32 would have lost a variance of 1 at a mean of 1000."""
    x = pictures(at=at)
    found = moments_of(x, batch)
    assert float(found.n) == N
    np.testing.assert_allclose(found.mean, x.mean(0, np.float64), rtol=3e-7, atol=1e-6)
    expected = exact_covariance(x, 0.0)
    limit = 5e-6 if at == 0 else 3e-5
    np.testing.assert_allclose(covariance(found, 0.0), expected, atol=limit * expected.max())


def test_the_order_of_pictures_matters_to_rounding_alone() -> None:
    x = pictures()
    one, other = (mahalanobis(fit_padim([y[:8], y[8:]]), jnp.asarray(x)) for y in (x, x[::-1]))
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_batch_mates_and_order_leave_a_score_as_it_is_bit_for_bit() -> None:
    found, x = fit_padim([pictures()]), jnp.asarray(pictures(6))
    run = jax.jit(lambda x: padim_detect(found, x, size=(12, 8), sigma=1.0))
    maps, scores = run(x)
    order = np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_array_equal(run(x[order])[0], np.asarray(maps)[order])
    np.testing.assert_array_equal(mahalanobis(found, x[2:3]), mahalanobis(found, x)[2:3])
    np.testing.assert_allclose(run(x[2:3])[1], scores[2:3], rtol=1e-6)


def test_more_channels_than_pictures_are_carried_by_the_regularisation() -> None:
    """Along what no picture shows, a distance is the length over the root of the regularisation."""
    x = pictures(3)
    found = fit_padim([x], regularisation=0.01)
    basis = np.linalg.svd(x[:, 0, 0] - x[:, 0, 0].mean(0))[2]
    test = np.asarray(found.mean)[None].repeat(1, 0)
    test[0, 0, 0] += basis[-1]
    np.testing.assert_allclose(mahalanobis(found, jnp.asarray(test))[0, 0, 0], 10.0, rtol=1e-3)


def test_the_default_fits_features_of_any_scale_and_the_published_one_does_not() -> None:
    train, test = pictures(), pictures(3)
    plain, larger = (np.asarray(mahalanobis(fit_padim([s * train]), jnp.asarray(s * test))) for s in (1.0, 50.0))
    np.testing.assert_allclose(plain, larger, rtol=1e-4)
    fixed = [
        np.asarray(mahalanobis(fit_padim([s * train], regularisation=0.01), jnp.asarray(s * test))) for s in (1.0, 50.0)
    ]
    assert np.abs(fixed[0] / fixed[1] - 1).max() > 1e-3
    found = moments_of(train)
    variance = np.trace(exact_covariance(train, 0.0), axis1=-2, axis2=-1).mean() / D
    np.testing.assert_allclose(regularisation_for(found, 0.2), 0.2 * variance, rtol=1e-5)


def test_scores_of_the_published_code_depend_on_the_test_set_and_ours_do_not() -> None:
    found, x = fit_padim([pictures()]), jnp.asarray(pictures(4))
    maps, scores = padim_detect(found, x, size=(12, 8), sigma=1.0)
    scaled = np.asarray(scaled_over_set(maps))
    np.testing.assert_allclose([scaled.min(), scaled.max()], [0.0, 1.0], atol=1e-6)
    np.testing.assert_array_equal(np.argsort(scaled.max((1, 2))), np.argsort(scores))
    fewer = scaled_over_set(maps[np.argsort(scores)[:2]])
    np.testing.assert_allclose(fewer.max(), 1.0, atol=1e-6)
    np.testing.assert_array_equal(scaled_over_set(jnp.ones((2, 3, 3))), 0.0)


def test_the_border_of_the_map_is_that_of_scipy_where_asked_for() -> None:
    found, x = fit_padim([pictures()]), jnp.asarray(pictures(2))
    d = np.asarray(mahalanobis(found, x), np.float64)
    for repeat_edge, mode in ((True, "reflect"), (False, "mirror")):
        maps, scores = padim_detect(found, x, size=(H, W), sigma=0.8, repeat_edge=repeat_edge)
        expected = [gaussian_filter(one, 0.8, mode=mode, truncate=4) for one in d]
        np.testing.assert_allclose(maps, expected, rtol=1e-5)
        np.testing.assert_array_equal(scores, maps.max((1, 2)))


def test_one_program_for_a_shape() -> None:
    add.clear_cache()
    fit_padim([pictures(4), pictures(4), pictures(4)])
    assert add._cache_size() == 1


def test_memory_does_not_grow_with_the_pictures_and_holds_the_matrices_once() -> None:
    shape = (16, 16, 48)
    state = jax.eval_shape(lambda: no_pictures(shape))
    batch = [jax.ShapeDtypeStruct((4, *shape), jnp.float32), jax.ShapeDtypeStruct((4,), bool)]
    stats = add.lower(state, *batch).compile().memory_analysis()
    matrices = 16 * 16 * 48 * 48 * 4
    assert stats.alias_size_in_bytes >= matrices, "the matrices are added to where they lie"
    assert stats.temp_size_in_bytes < matrices / 2


@pytest.mark.parametrize(
    ("batches", "settings", "message"),
    [
        ([], {}, "no normal pictures"),
        ([np.zeros((0, H, W, D), np.float32)], {}, "no normal pictures"),
        ([np.ones((4, H, W, D), np.float32)], {"regularisation": 0.0}, r"regularisation = 0.*4 normal pictures in 5"),
        ([np.full((4, H, W, D), np.nan, np.float32)], {}, "not finite"),
    ],
)
def test_refusals(batches: Any, settings: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_padim(batches, **settings)


def test_what_is_fitted_is_a_tree_of_arrays() -> None:
    found = gaussian(moments_of(pictures()), 0.01)
    assert isinstance(found, Gaussian) and [x.shape for x in jax.tree.leaves(found)] == [(H, W, D), (H, W, D, D)]
    assert not np.triu(np.asarray(found.whiten), 1).any()
