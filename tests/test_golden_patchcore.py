"""Parity of PatchCore with the published code, and of its other descriptor, score and choice with anomalib."""

import re
from typing import Any

import golden_methods_files as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import assert_close, nhwc

from ddad_jax.coreset import Chosen, farthest, from_all, from_starts
from ddad_jax.embedding import patch_descriptors, pooled_neighbourhoods
from ddad_jax.image import between_centres, gaussian_blur
from ddad_jax.neighbours import nearest
from ddad_jax.patch_map import patch_map
from ddad_jax.patchcore import Evidence, evidence, image_scores, patch_scores
from ddad_jax.types import Array

METHOD = "patchcore"


def of(*having: str) -> Any:
    found = golden.cases(METHOD, *having)
    if not found:
        why = pytest.mark.skip(reason=f"{golden.folder(METHOD)} holds no {having[0]}")
        return pytest.mark.parametrize("case", [pytest.param({}, marks=why)])
    return pytest.mark.parametrize("case", [case for _, case in found], ids=[name for name, _ in found])


def stored(case: dict[str, Any]) -> dict[str, np.ndarray]:
    return golden.arrays(METHOD, case["file"])


def layers_of(case: dict[str, Any]) -> dict[str, np.ndarray]:
    return {layer: nhwc(stored(case)[layer]) for layer in case["layers"]}


def descriptors(case: dict[str, Any], patch: int, n: int | None = None) -> Array:
    widths = (case["pretrain_embed_dimension"], case["target_embed_dimension"])
    features = {layer: jnp.asarray(x[:n]) for layer, x in layers_of(case).items()}
    return patch_descriptors(features, case["layers"], patch=patch, widths=widths)


@of("embedding")
def test_descriptors(case: dict[str, Any]) -> None:
    got = descriptors(case, case["patchsize"])
    golden.held(METHOD, case["file"], "embedding", got.reshape(-1, got.shape[-1]))
    for name in stored(case):
        if other := re.fullmatch(r"embedding_ps(\d+)", name):
            got = descriptors(case, int(other[1]), 1)
            golden.held(METHOD, case["file"], name, got.reshape(-1, got.shape[-1]))


@of("embedding_f64")
def test_descriptors_in_float64(case: dict[str, Any]) -> None:
    with jax.enable_x64(True):
        widths = (case["pretrain_embed_dimension"], case["target_embed_dimension"])
        features = {layer: jnp.asarray(x, jnp.float64) for layer, x in layers_of(case).items()}
        got = patch_descriptors(features, case["layers"], patch=case["patchsize"], widths=widths)
        assert_close(got.reshape(-1, got.shape[-1]), stored(case)["embedding_f64"], 1e-9)


@of("patches_layer2_first", "layer3_rows_first", "pre_first")
def test_what_descriptors_are_made_of(case: dict[str, Any]) -> None:
    features, patch = layers_of(case), case["patchsize"]
    first, *others = (jnp.asarray(features[layer][:1]) for layer in case["layers"])
    grid = first.shape[1:3]
    assert list(grid) == case["patch_grid"]

    def neighbourhoods(x: Array) -> Array:
        # Pooled to as many numbers as there are.
        c = x.shape[-1]
        return between_centres(pooled_neighbourhoods(x, c * patch**2, patch=patch), grid).reshape(-1, c, patch, patch)

    golden.held(METHOD, case["file"], "patches_layer2_first", neighbourhoods(first))
    rows = stored(case)["layer3_rows_first"]
    every = -(-grid[0] * grid[1] // len(rows))
    golden.held(METHOD, case["file"], "layer3_rows_first", neighbourhoods(others[0])[::every])
    width = case["pretrain_embed_dimension"]
    pre = [between_centres(pooled_neighbourhoods(x, width, patch=patch), grid) for x in (first, *others)]
    golden.held(METHOD, case["file"], "pre_first", jnp.stack(pre, 3).reshape(-1, len(pre), width))


@of("an_embedding")
def test_the_plain_mean_is_that_of_anomalib(case: dict[str, Any]) -> None:
    n = len(stored(case)["an_embedding"])
    features = {layer: jnp.asarray(x[:n]) for layer, x in layers_of(case).items()}
    got = patch_descriptors(features, case["layers"], patch=case["patchsize"])
    golden.held(METHOD, case["file"], "an_embedding", np.moveaxis(np.asarray(got), -1, 1))


@of("features", "exact_idx")
def test_choice(case: dict[str, Any]) -> None:
    arrays = stored(case)
    rows, n = jnp.asarray(arrays["features"]), case["n_selected"]
    small = jnp.asarray(arrays["features"] @ arrays["projection"].T)
    starts = jnp.asarray(arrays["approx_start"])

    def from_one(rows: Array) -> Array:
        return jnp.full(len(rows), 1e30).at[case["kcenter_start"]].set(jnp.inf)

    tried = {
        "exact": farthest(rows, from_all(rows), n),
        "exact_proj": farthest(small, from_all(small), n),
        "approx": farthest(rows, from_starts(rows, starts), n),
        "approx_proj": farthest(small, from_starts(small, starts), n),
        "an_kcenter": farthest(rows, from_one(rows), n),
    }
    for name, chosen in tried.items():
        assert_chosen(chosen, arrays[f"{name}_idx"], arrays[f"{name}_radius"])


def assert_chosen(chosen: Chosen, rows: np.ndarray, radius: np.ndarray) -> None:
    np.testing.assert_array_equal(chosen.rows, rows)
    # Where the first row was given, nothing was maximised to find it.
    known = np.isfinite(radius) & np.isfinite(np.asarray(chosen.radius))
    assert known.sum() >= len(rows) - 1
    assert_close(np.asarray(chosen.radius)[known], radius[known], 1e-5)


def bank_and_queries(case: dict[str, Any]) -> tuple[Array, Array]:
    """Of the case that the descriptors come from: the chosen rows, and the test pictures' [b, h, w, d]."""
    _, source = golden.cases(METHOD, "embedding", "an_embedding")[0]
    grid, arrays = source["patch_grid"], stored(case)
    rows = stored(source)["embedding"].reshape(-1, *grid, source["target_embed_dimension"])
    train = jnp.asarray(rows[: source["n_train"]].reshape(-1, rows.shape[-1]))
    chosen = farthest(train, from_starts(train, jnp.asarray(arrays["start_points"])), case["n_bank"]).rows
    np.testing.assert_array_equal(chosen, arrays["bank_idx"])
    return train[chosen], jnp.asarray(rows[source["n_train"] :])


@of("bank_idx", "start_points")
def test_scores_and_maps(case: dict[str, Any]) -> None:
    bank, queries = bank_and_queries(case)
    size, ks, file = tuple(case["image_size"]), case["k_values"], case["file"]
    found = evidence(bank, queries, k=max(ks))
    for k in ks:
        near = nearest(queries.reshape(-1, queries.shape[-1]), bank, k)
        np.testing.assert_array_equal(near.rows, stored(case)[f"nn_k{k}"])
        golden.held(METHOD, file, f"sq_dist_k{k}", jnp.square(near.distances), 1e-5)
        golden.held(METHOD, file, f"sq_dist_k{k}", jnp.square(found.distances[..., :k]).reshape(-1, k), 1e-5)
        scores = patch_scores(found.distances, k=k, squared=True)
        golden.held(METHOD, file, f"image_score_k{k}", image_scores(scores, found.weight), 1e-5)
        maps = patch_map(scores, size, sigma=case["blur_sigma"], repeat_edge=True)
        golden.held(METHOD, file, f"map_k{k}", maps, 1e-5)


@of("an_patch_dist", "an_weight")
def test_scores_of_anomalib(case: dict[str, Any]) -> None:
    bank, queries = bank_and_queries(case)
    arrays, file, b = stored(case), case["file"], case["anomalib_num_neighbors"]
    found: Evidence = evidence(bank, queries, support=b)
    flat = np.asarray(found.distances).reshape(len(queries), -1)
    golden.held(METHOD, file, "an_patch_dist", flat, 1e-5)
    np.testing.assert_array_equal(flat.argmax(1), arrays["an_worst_patch"])
    near = nearest(queries.reshape(-1, queries.shape[-1]), bank).rows.reshape(len(queries), -1)
    own = np.asarray(near)[np.arange(len(queries)), flat.argmax(1)]
    np.testing.assert_array_equal(own, arrays["an_nn_of_worst"])
    np.testing.assert_array_equal(nearest(bank[own], bank, b).rows, arrays["an_support"])
    golden.held(METHOD, file, "an_weight", found.weight, 1e-5)
    scores = patch_scores(found.distances)
    golden.held(METHOD, file, "an_image_score", image_scores(scores, found.weight), 1e-5)
    # Its map is enlarged by repetition; the border of its blur is that of this package.
    (height, width), (h, w) = case["image_size"], scores.shape[1:]
    rows, columns = np.arange(height) * h // height, np.arange(width) * w // width
    maps = gaussian_blur(scores[:, rows][:, :, columns], case["blur_sigma"])
    golden.held(METHOD, file, "an_map", maps, 1e-5)


def test_the_folder_has_all_kinds() -> None:
    for having in ("embedding", "an_embedding", "exact_idx", "bank_idx", "an_weight"):
        assert golden.cases(METHOD, having)
