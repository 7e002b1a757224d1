"""Parity of PaDiM with the usual published code and with anomalib."""

from typing import Any

import golden_methods_files as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import assert_close, nhwc

from ddad_jax.embedding import channel_choice, position_embedding
from ddad_jax.padim import (
    Gaussian,
    Moments,
    add,
    covariance,
    fit_padim,
    mahalanobis,
    no_pictures,
    padim_detect,
    scaled_over_set,
)
from ddad_jax.types import Array

METHOD = "padim"
CASES = golden.cases(METHOD, "dist")
LIMIT = 5e-5
"""Of distances and what is made of them: the published float32 inverse is not better."""
LAYERS = ("layer1", "layer2", "layer3")

each = pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])


def stored(case: dict[str, Any]) -> dict[str, np.ndarray]:
    return golden.arrays(METHOD, case["file"])


def embedded(case: dict[str, Any], dtype: Any = np.float32) -> tuple[Array, Array]:
    """Of the training and of the test pictures."""
    features = {layer: jnp.asarray(nhwc(stored(case)[layer]), dtype) for layer in LAYERS}
    channels = channel_choice(sum(case["channels"]), case["d"], seed=case["python_random_seed"])
    np.testing.assert_array_equal(channels, stored(case)["idx"])
    all_of_them = position_embedding(features, LAYERS, channels)
    return all_of_them[: case["n_train"]], all_of_them[case["n_train"] :]


def moments(embeddings: Array) -> Moments:
    return add(no_pictures(embeddings.shape[1:], embeddings.dtype), embeddings, jnp.ones(len(embeddings), bool))


def at_positions(case: dict[str, Any], matrices: Array) -> Array:
    return matrices.reshape(-1, case["d"], case["d"])[np.asarray(case["covariance_positions"])]


def fitted(case: dict[str, Any], train: Array) -> Gaussian:
    return fit_padim([train], regularisation=case["regularisation"])


@each
def test_embedding_mean_and_covariance(case: dict[str, Any]) -> None:
    train, test = embedded(case)
    both = np.moveaxis(np.concatenate([train, test]), -1, 1)
    np.testing.assert_array_equal(both, stored(case)["embedding"])
    found = moments(train)
    golden.held(METHOD, case["file"], "mean", found.mean.reshape(-1, case["d"]).T)
    matrices = covariance(found, case["regularisation"])
    golden.held(METHOD, case["file"], "cov", at_positions(case, matrices), 1e-5)


@each
def test_distances_maps_and_scores(case: dict[str, Any]) -> None:
    train, test = embedded(case)
    file, size, sigma = case["file"], (case["image_size"],) * 2, case["blur_sigma"]
    found = fitted(case, train)
    golden.held(METHOD, file, "dist", mahalanobis(found, test), LIMIT)
    maps, scores = padim_detect(found, test, size=size, sigma=sigma, repeat_edge=True)
    golden.held(METHOD, file, "map_raw", maps, LIMIT)
    np.testing.assert_array_equal(scores, maps.max((1, 2)))
    scaled = scaled_over_set(maps)
    golden.held(METHOD, file, "map", scaled, LIMIT)
    golden.held(METHOD, file, "image_score", scaled.max((1, 2)), LIMIT)


@each
def test_anomalib(case: dict[str, Any]) -> None:
    train, test = embedded(case)
    more = case["regularisation"] + case["anomalib_extra_regularisation"]
    found = fit_padim([train], regularisation=more)
    inverse = jnp.einsum("hwki,hwkj->hwij", found.whiten, found.whiten)
    golden.held(METHOD, case["file"], "an_inv_cov", at_positions(case, inverse), 1e-4)
    golden.held(METHOD, case["file"], "an_dist", mahalanobis(found, test), LIMIT)
    maps, scores = padim_detect(found, test, size=(case["image_size"],) * 2, sigma=case["blur_sigma"])
    golden.held(METHOD, case["file"], "an_map", maps, LIMIT)
    golden.held(METHOD, case["file"], "an_image_score", scores, LIMIT)


@each
def test_in_float64(case: dict[str, Any]) -> None:
    with jax.enable_x64(True):
        train, test = embedded(case, np.float64)
        found = moments(train)
        assert_close(found.mean.reshape(-1, case["d"]).T, stored(case)["mean_f64"], 1e-9)
        matrices = at_positions(case, covariance(found, case["regularisation"]))
        assert_close(matrices, stored(case)["cov_f64"], 1e-9)
        assert_close(mahalanobis(fitted(case, train), test), stored(case)["dist_f64"], 1e-9)


def test_published_channels() -> None:
    lists = [
        (name, found) for _, case in golden.cases(METHOD) for name, found in stored(case).items() if "idx_" in name
    ]
    assert lists
    for name, found in lists:
        _, total, d = name.split("_")
        np.testing.assert_array_equal(channel_choice(int(total), int(d)), found)


def test_the_folder_has_cases() -> None:
    assert CASES
