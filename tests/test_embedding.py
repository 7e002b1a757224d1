from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax import embedding
from ddad_jax.embedding import channel_choice
from ddad_jax.errors import InputError

# One program a shape: each operation by itself would be compiled, too.
adaptive_pool = jax.jit(embedding.adaptive_pool, static_argnums=1)
patch_descriptors = jax.jit(embedding.patch_descriptors, static_argnums=1, static_argnames=("patch", "widths"))
pooled_neighbourhoods = jax.jit(embedding.pooled_neighbourhoods, static_argnums=1, static_argnames="patch")
position_embedding = jax.jit(embedding.position_embedding, static_argnums=(1, 2))

RNG = np.random.default_rng(0)


def features(b: int, **shapes: tuple[int, int, int]) -> dict[str, Any]:
    return {layer: jnp.asarray(RNG.standard_normal((b, *shape)), jnp.float32) for layer, shape in shapes.items()}


def neighbourhoods(x: np.ndarray, patch: int) -> np.ndarray:
    """[h, w, c] -> [h, w, c patch^2], channel by channel in rows, zeros outside: one loop a position."""
    (h, w, c), r = x.shape, patch // 2
    padded = np.pad(x, ((r, r), (r, r), (0, 0)))
    places = [padded[i : i + patch, j : j + patch].transpose(2, 0, 1).ravel() for i in range(h) for j in range(w)]
    return np.reshape(places, (h, w, c * patch**2))


def pooled(row: np.ndarray, n: int) -> np.ndarray:
    size = len(row)
    return np.array([row[i * size // n : -(-(i + 1) * size // n)].mean() for i in range(n)])


@pytest.mark.parametrize(("length", "n"), [(12, 4), (7, 3), (5, 12), (6, 6), (9, 1)])
def test_pooling_equals_the_formula(length: int, n: int) -> None:
    x = RNG.standard_normal((2, 3, length)).astype(np.float32)
    np.testing.assert_allclose(adaptive_pool(jnp.asarray(x), n), np.apply_along_axis(pooled, -1, x, n), atol=1e-6)


@pytest.mark.parametrize(("patch", "width"), [(3, 5), (3, 50), (5, 7), (1, 2)])
def test_neighbourhoods_are_pooled_channel_by_channel(patch: int, width: int) -> None:
    x = features(2, layer2=(4, 3, 3))["layer2"]
    got = pooled_neighbourhoods(x, width, patch=patch)
    whole = np.stack([neighbourhoods(np.asarray(picture), patch) for picture in x])
    np.testing.assert_allclose(got, np.apply_along_axis(pooled, -1, whole, width), atol=1e-6)


def test_the_published_widths_have_a_closed_form() -> None:
    """d[c] = (9 mean3x3(f2)[c] + f2[c]) / 10 and d[512 + c] = (mean3x3(f3)[2 c] + mean3x3(f3)[2 c + 1]) / 2."""
    made = features(1, layer2=(3, 4, 512), layer3=(3, 4, 1024))
    got = patch_descriptors(made, ("layer2", "layer3"), widths=(1024, 1024))
    mean2, mean3 = (patch_descriptors(made, (layer,)) for layer in made)
    np.testing.assert_allclose(got[..., :512], (9 * mean2 + made["layer2"]) / 10, atol=2e-6)
    np.testing.assert_allclose(got[..., 512:], (mean3[..., ::2] + mean3[..., 1::2]) / 2, atol=2e-6)


@pytest.mark.parametrize("widths", [None, (8, 6)])
def test_the_first_layer_sets_the_grid_whatever_the_strides(widths: tuple[int, int] | None) -> None:
    made = features(2, first=(6, 5, 3), next=(4, 4, 2), last=(2, 1, 4))
    got = patch_descriptors(made, ("first", "next", "last"), widths=widths)
    assert got.shape == (2, 6, 5, 6 if widths else 9) and got.dtype == jnp.float32
    assert patch_descriptors(made, ("last",), widths=widths).shape[1:3] == (2, 1)


def test_descriptors_are_float32_whatever_the_features_are() -> None:
    made = {"layer2": features(1, layer2=(4, 4, 8))["layer2"].astype(jnp.bfloat16)}
    exact = {"layer2": made["layer2"].astype(jnp.float32)}
    for widths in (None, (16, 4)):
        got = patch_descriptors(made, ("layer2",), widths=widths)
        assert got.dtype == jnp.float32
        np.testing.assert_array_equal(got, patch_descriptors(exact, ("layer2",), widths=widths))


def test_a_position_reads_what_lies_above_it_in_the_order_of_the_channels() -> None:
    made = features(2, layer1=(8, 4, 3), layer2=(4, 2, 4), layer3=(2, 1, 5))
    layers = tuple(made)
    repeated = [np.repeat(np.repeat(x, 8 // x.shape[1], 1), 8 // x.shape[1], 2) for x in map(np.asarray, made.values())]
    whole = np.concatenate(repeated, -1)
    np.testing.assert_array_equal(position_embedding(made, layers, None), whole)
    channels = (11, 0, 5, 3, 7, 1)
    np.testing.assert_array_equal(position_embedding(made, layers, channels), whole[..., [*channels]])


def test_grids_that_are_not_nested_read_the_place_they_lie_in() -> None:
    made = features(1, layer1=(5, 7, 1), layer2=(3, 3, 1))
    got = np.asarray(position_embedding(made, ("layer1", "layer2"), None))[0, ..., 1]
    below = np.asarray(made["layer2"])[0, ..., 0]
    np.testing.assert_array_equal(got, [[below[i * 3 // 5, j * 3 // 7] for j in range(7)] for i in range(5)])


def test_unchosen_channels_never_grow_to_the_grid() -> None:
    made = features(1, layer1=(16, 16, 2), layer3=(2, 2, 64))
    jaxpr = jax.make_jaxpr(lambda f: embedding.position_embedding(f, ("layer1", "layer3"), [0, 20]))(made)
    assert max(int(np.prod(v.aval.shape)) for e in jaxpr.eqns for v in e.outvars) <= 16 * 16 * 2


def test_channels_are_drawn_once_for_a_seed() -> None:
    assert sorted(channel_choice(30, 30)) == list(range(30))
    np.testing.assert_array_equal(channel_choice(176, 100), channel_choice(176, 100))
    assert not np.array_equal(channel_choice(176, 100), channel_choice(176, 100, seed=1))


def test_pictures_do_not_mix() -> None:
    made = features(3, layer2=(4, 4, 6), layer3=(2, 2, 4))
    alone = {layer: x[1:2] for layer, x in made.items()}
    for widths in (None, (16, 8)):
        both = [patch_descriptors(f, ("layer2", "layer3"), widths=widths) for f in (made, alone)]
        np.testing.assert_allclose(both[0][1:2], both[1], atol=1e-6)
    both = [position_embedding(f, ("layer2", "layer3"), (7, 2)) for f in (made, alone)]
    np.testing.assert_array_equal(both[0][1:2], both[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: patch_descriptors(f, ("layer9",)), r"layers \['layer9'\].*layer2"),
        (lambda f: patch_descriptors(f, ()), r"layers \[\]"),
        (lambda f: patch_descriptors(f, ("layer2",), patch=2), r"patch = 2.*odd"),
        (lambda f: patch_descriptors(f, ("layer2",), widths=(0, 4)), r"widths = \(0, 4\)"),
        (lambda f: position_embedding(f, ("layer1", "layer2"), None), r"layer1.*layer2"),
        (lambda f: position_embedding(f, ("layer2",), (0, 6)), r"channels.*below 6"),
        (lambda f: position_embedding(f, ("layer2",), ()), r"channels.*below 6"),
        (lambda f: channel_choice(6, 7), r"channels = 7.*1 to 6"),
        (lambda f: channel_choice(6, 0), r"channels = 0"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(features(1, layer2=(4, 4, 6)))
