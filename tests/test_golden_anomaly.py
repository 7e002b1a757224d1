"""Parity of distances, anomaly map and score with the published implementation, and of the two filters
they rest on."""

import functools
from typing import Any

import golden_files as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.backbones import feature_fn, get_backbone
from ddad_jax.distance import feature_distance, feature_distances, pixel_distance
from ddad_jax.image import centre_crop, gaussian_blur, gaussian_kernel, upsample
from ddad_jax.score import anomaly_map, batch_ratio, combine, image_score
from ddad_jax.types import Array, Image, Variables
from ddad_jax.weights import backbone_variables

MAPS = golden.cases("anomaly_")
FILTERS = golden.cases("preprocess")
LAYERS = ("layer2", "layer3")
LIMIT = 5e-6
"""Absolute, and relative where values exceed 1: distances are 1 - cosine of nearly parallel vectors, where
float32 keeps about 3e-7."""


def net_of(case: dict[str, Any]) -> str:
    named = [c["net"] for _, c in golden.cases("features_") if c["state"] == case["state"]]
    return named[0] if named else case["state"].removeprefix("state_").removesuffix(".json")


@functools.cache
def loaded(net: str, state: str) -> Variables:
    return backbone_variables(net, golden.state(state), source=state)


def as_named(arrays: dict[str, np.ndarray], stem: str, v: float) -> str:
    """The arrays' name for a v: 1 -> "A_v1", 1.5 -> "A_v1.5" or "A_v1p5"."""
    plain = f"{stem}_v{v:g}"
    return plain if any(k == plain or k.startswith(f"{plain}_") for k in arrays) else plain.replace(".", "p")


def assert_map(got: Array, arrays: dict[str, np.ndarray], name: str) -> None:
    """A map against whatever is stored of it: all, every 8th row and column, or its statistics."""
    value = np.asarray(got, np.float64)
    compared = 0
    if name in arrays:
        golden.assert_close(value[:, None], arrays[name], LIMIT, LIMIT)
        compared += 1
    if f"{name}_s8" in arrays:
        golden.assert_close(value[:, None, ::8, ::8], arrays[f"{name}_s8"], LIMIT, LIMIT)
        compared += 1
    if f"{name}_stats" in arrays:
        stats = [value.mean(), value.std(), value.min(), value.max()]
        golden.assert_close(stats, arrays[f"{name}_stats"], LIMIT, LIMIT)
        compared += 1
    assert compared, f"nothing is stored of {name}"


@pytest.mark.parametrize(("name", "case"), MAPS, ids=[name for name, _ in MAPS])
def test_distances_map_and_score(name: str, case: dict[str, Any]) -> None:
    arrays = golden.arrays(case["file"])
    suffix = "" if "target" in arrays else "_small"
    repeat = case.get("repeat", 1)
    target, rec = (golden.nhwc(arrays[k + suffix]).repeat(repeat, 1).repeat(repeat, 2) for k in ("target", "rec"))
    net, size, sigma = net_of(case), case["size"], float(case.get("blur_sigma", 4))
    assert target.shape[1:3] == (size, size)

    @jax.jit
    def distances(variables: Variables, rec: Image, target: Image) -> tuple[Array, dict[str, Array]]:
        both = feature_fn(get_backbone(net), variables)(jnp.concatenate([rec, target]))
        n = len(rec)
        of_rec, of_target = ({k: f[half] for k, f in both.items()} for half in (np.s_[:n], np.s_[n:]))
        return pixel_distance(rec, target), feature_distances(of_rec, of_target)

    d_p, by_layer = distances(loaded(net, case["state"]), rec, target)
    for layer in LAYERS:
        if f"lowres_{layer}" in arrays:
            golden.assert_close(by_layer[layer][:, None], arrays[f"lowres_{layer}"], 0, LIMIT)
    d_f = feature_distance(by_layer, LAYERS, size, upsampling="align_corners")
    assert_map(d_p, arrays, "D_p")
    assert_map(d_f, arrays, "D_f")
    ratio = batch_ratio(d_p, d_f)
    if "max_D" in arrays:
        max_p, max_f = arrays["max_D"]
        golden.assert_close([d_p.max(), d_f.max()], arrays["max_D"], 0, LIMIT)
        np.testing.assert_allclose(ratio, max_f / max_p, rtol=2 * LIMIT / min(max_f, max_p))

    for v in case["v"]:
        assert_map(combine(d_p, d_f, v=v, ratio=ratio), arrays, as_named(arrays, "A", v))
        whole = anomaly_map(d_p, d_f, v=v, ratio=ratio, sigma=sigma)
        assert_map(whole, arrays, as_named(arrays, "blur", v))
        crop = case.get("crop", 0)
        kept = anomaly_map(d_p, d_f, v=v, ratio=ratio, sigma=sigma, crop=crop)
        assert kept.shape[1:] == ((crop, crop) if crop else (size, size))
        scores = as_named(arrays, "score", v)
        golden.assert_close(image_score(kept), arrays[scores], LIMIT, LIMIT)
        if f"{scores}_f64" in arrays:
            golden.assert_close(image_score(kept), arrays[f"{scores}_f64"], LIMIT, LIMIT)
        uncropped = as_named(arrays, "score_uncropped", v)
        if uncropped in arrays:
            golden.assert_close(image_score(whole), arrays[uncropped], LIMIT, LIMIT)
            np.testing.assert_array_equal(kept, centre_crop(whole, crop))


@pytest.mark.parametrize(("name", "case"), FILTERS, ids=[name for name, _ in FILTERS])
def test_upsampling_and_blur(name: str, case: dict[str, Any]) -> None:
    arrays = golden.arrays(case["file"])
    for small, large, size in case["upsample"]:
        golden.assert_close(golden.nchw(upsample(jnp.asarray(golden.nhwc(arrays[small])), size)), arrays[large], 1e-6)
    sigma = float(case["blur_sigma"])
    assert len(gaussian_kernel(sigma)) == case["blur_taps"]
    golden.assert_close(gaussian_kernel(sigma), arrays["blur_kernel"], 1e-6)
    golden.assert_close(gaussian_blur(jnp.asarray(arrays["blur_in"][:, 0]), sigma)[:, None], arrays["blur_out"], 1e-6)


def test_the_folder_has_maps_and_filters() -> None:
    assert MAPS and FILTERS
