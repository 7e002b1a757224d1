import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.distance import (
    UPSAMPLING,
    cosine_distance,
    feature_distance,
    feature_distances,
    patch_average,
    pixel_distance,
)
from ddad_jax.errors import InputError
from ddad_jax.types import Array

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return jnp.asarray(RNG.standard_normal(shape, np.float32))


def test_pixel_distance_is_the_channel_mean_in_pixel_units() -> None:
    x0, y = normal(2, 5, 5, 3), normal(2, 5, 5, 3)
    np.testing.assert_allclose(pixel_distance(x0, y), np.abs(np.asarray(x0) - y).mean(-1), rtol=1e-6)
    assert float(pixel_distance(x0, x0).max()) == 0.0
    assert float(pixel_distance(jnp.ones((1, 2, 2, 3)), -jnp.ones((1, 2, 2, 3))).max()) == 2.0


def test_patch_average_is_the_3x3_mean_with_zeros_outside() -> None:
    x = np.asarray(normal(2, 4, 5, 3))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = sum(padded[:, i : i + 4, j : j + 5] for i in range(3) for j in range(3)) / 9
    np.testing.assert_allclose(patch_average(jnp.asarray(x)), expected, atol=1e-6)
    np.testing.assert_array_equal(patch_average(jnp.asarray(x), 1), x)
    whole = patch_average(jnp.asarray(x), 9)
    np.testing.assert_allclose(whole, np.broadcast_to(x.sum((1, 2), keepdims=True) / 81, x.shape), atol=1e-6)


def test_patches_are_averaged_in_float32_whatever_the_features_are() -> None:
    a = normal(1, 6, 6, 64)
    b = a + 0.05 * normal(1, 6, 6, 64)
    a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
    got = feature_distances({"layer2": a}, {"layer2": b})["layer2"]
    exact = feature_distances({"layer2": a.astype(jnp.float32)}, {"layer2": b.astype(jnp.float32)})["layer2"]
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, exact)


def test_cosine_distance_sees_direction_alone() -> None:
    a, b = normal(7, 16), normal(7, 16)
    expected = 1 - (np.asarray(a) * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    np.testing.assert_allclose(cosine_distance(a, b), expected, atol=1e-6)
    np.testing.assert_allclose(cosine_distance(1000.0 * a, 0.01 * b), expected, atol=1e-6)
    np.testing.assert_allclose(cosine_distance(a, a), 0.0, atol=1e-6)
    np.testing.assert_allclose(cosine_distance(a, -a), 2.0, atol=1e-6)


def test_features_that_vanish_have_a_distance_and_not_nan() -> None:
    np.testing.assert_array_equal(cosine_distance(jnp.zeros((2, 4)), jnp.ones((2, 4))), 1.0)


def test_the_border_is_as_similar_as_the_middle() -> None:
    """The zeros outside shorten a border patch, and the cosine does not see length."""
    a, b = (jnp.broadcast_to(normal(8), (1, 5, 5, 8)) for _ in range(2))
    distance = feature_distances({"l": a}, {"l": b})["l"]
    np.testing.assert_allclose(distance, np.asarray(distance)[0, 2, 2], atol=1e-6)


def test_a_changed_position_shows_in_its_3x3_neighbourhood_only() -> None:
    a = jnp.abs(normal(1, 7, 7, 8))
    b = a.at[0, 3, 3].multiply(-5.0)
    changed = np.asarray(feature_distances({"l": a}, {"l": b})["l"][0]) > 1e-4
    expected = np.zeros((7, 7), bool)
    expected[2:5, 2:5] = True
    np.testing.assert_array_equal(changed, expected)


@pytest.mark.parametrize("layers", [("layer2",), ("layer3",), ("layer1", "layer2", "layer3")])
@pytest.mark.parametrize("upsampling", UPSAMPLING)
def test_the_feature_distance_is_the_sum_of_the_chosen_layers_at_full_size(
    layers: tuple[str, ...], upsampling: str
) -> None:
    distances = {f"layer{i}": jnp.abs(normal(2, n, n)) for i, n in ((1, 16), (2, 8), (3, 4))}
    enlarged = UPSAMPLING[upsampling]
    expected = sum(np.asarray(enlarged(distances[layer][..., None], 64)[..., 0]) for layer in layers)
    got = feature_distance(distances, layers, 64, upsampling=upsampling)
    assert got.shape == (2, 64, 64)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(("upsampling", "low", "high"), [("half_pixel", 0.0, 0.5), ("align_corners", 2.0, 4.0)])
def test_a_feature_stays_where_its_pixels_are(upsampling: str, low: float, high: float) -> None:
    """Deviation: upsampling. The centre of mass of each column of patches against the middle of its pixels."""
    n, stride = 8, 8
    one_column = {"l": jnp.eye(n)[:, None, :] * jnp.ones((n, n, n))}
    across = np.asarray(feature_distance(one_column, ("l",), n * stride, upsampling=upsampling))[:, 20]
    found = (across * np.arange(n * stride)).sum(1) / across.sum(1)
    moved = np.abs(found - (stride * np.arange(n) + (stride - 1) / 2))
    assert low <= moved.max() <= high


def test_an_unknown_upsampling_is_refused() -> None:
    with pytest.raises(InputError, match="upsampling = 'nearest': expected half_pixel or align_corners"):
        feature_distance({"l": jnp.ones((1, 2, 2))}, ("l",), 4, upsampling="nearest")


def test_distances_do_not_mix_images() -> None:
    a, b = ({"layer2": normal(3, 8, 8, 4)} for _ in range(2))
    together = jax.jit(feature_distances)(a, b)["layer2"]
    alone = feature_distances({"layer2": a["layer2"][1:2]}, {"layer2": b["layer2"][1:2]})["layer2"]
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)
