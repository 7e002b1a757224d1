"""Distances become blurred maps of pixels and of features: linear, whatever the batches and tiles are."""

import jax
import jax.numpy as jnp
import numpy as np
from small_sweep import LAYERS, SIZE

from ddad_jax.distance import feature_distance
from ddad_jax.distance_maps import blurred
from ddad_jax.score import anomaly_map, combine
from ddad_jax.sweep import Distances
from ddad_jax.vision.tiles import stitch, tiling


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
