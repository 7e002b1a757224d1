"""Battery over every backbone: types, names of what is asked for, and modes; its stages are in ``test_stages``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.backbones import (
    BACKBONES,
    Backbone,
    feature_fn,
    get_backbone,
    imagenet_normalise,
    lite_normalise,
)
from ddad_jax.backbones.wide_resnet import WideResNet
from ddad_jax.errors import InputError
from ddad_jax.types import Variables
from ddad_jax.weights import random_backbone

MILLIONS = {
    "efficientnet_lite0": 0.701,
    "resnet50": 8.543,
    "wide_resnet50_2": 24.863,
    "wide_resnet101_2": 82.866,
}
"""Parameters up to layer3; the wide ones as counted in the published code."""

SHALLOW = {
    "resnet50": WideResNet((1, 1, 1)),
    "wide_resnet50_2": WideResNet((1, 1, 1), widen=2),
    "wide_resnet101_2": WideResNet((1, 1, 2), widen=2),
}
"""In place of the networks that take long to compile: every kind of layer they have, once. The others run whole."""


@pytest.mark.parametrize("name", BACKBONES)
def test_types_and_sizes(name: str) -> None:
    backbone = get_backbone(name, dtype=jnp.bfloat16)
    image = jax.ShapeDtypeStruct((2, 64, 96, 3), jnp.float32)
    outputs, variables = jax.eval_shape(backbone.module.init_with_output, jax.random.key(0), image)
    assert {v.dtype for v in outputs.values()} == {jnp.dtype(jnp.bfloat16)}
    assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    millions = sum(p.size for p in jax.tree.leaves(variables["params"])) / 1e6
    assert millions == pytest.approx(MILLIONS[name], abs=5e-4)


@pytest.fixture(scope="module", params=BACKBONES)
def network(request: pytest.FixtureRequest) -> tuple[Backbone, Variables]:
    name = request.param
    with pytest.MonkeyPatch.context() as patch:
        whole = BACKBONES[name]
        patch.setitem(BACKBONES, name, whole._replace(module=SHALLOW.get(name, whole.module)))
        return get_backbone(name), random_backbone(name, jax.random.key(1))


def test_features_do_not_depend_on_batch_mates(network: tuple[Backbone, Variables]) -> None:
    x = np.random.default_rng(4).uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32)
    features = jax.jit(feature_fn(*network))
    one, other = features(x), features(np.stack([-x[2], x[1], 5.0 * x[0]]))
    for layer, value in one.items():
        np.testing.assert_array_equal(value[1], other[layer][1])


def test_training_mode_uses_the_batch_and_moves_every_statistic(network: tuple[Backbone, Variables]) -> None:
    backbone, variables = network
    x = np.random.default_rng(5).uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32)

    @jax.jit
    def trained(v: Variables, x: jax.Array) -> tuple[dict[str, jax.Array], Variables]:
        return backbone.module.apply(v, backbone.normalise(x), train=True, mutable=["batch_stats"])

    _, moved = trained(variables, x)
    before, after = variables["batch_stats"], moved["batch_stats"]
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), before, after)))


def test_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(InputError, match=f"'no_such_network'.*{', '.join(sorted(BACKBONES))}"):
        get_backbone("no_such_network")


def test_too_small_an_image_is_refused() -> None:
    with pytest.raises(InputError, match="sides of at least 32 px, these are 64 x 16"):
        feature_fn(get_backbone("resnet50"), {})(jnp.zeros((1, 64, 16, 3)))


def test_normalisations_agree_with_their_definitions_on_every_grey_value() -> None:
    v = np.arange(256.0)
    x = jnp.asarray(np.repeat((v / 127.5 - 1.0)[None, :, None, None], 3, axis=-1), jnp.float32)
    lite, imagenet = np.asarray(lite_normalise(x)), np.asarray(imagenet_normalise(x))
    np.testing.assert_allclose(lite[0, :, 0, 1], (v - 127.0) / 128.0, atol=1e-6)
    for c, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        expected = (v / 255.0 - mean) / std
        np.testing.assert_allclose(imagenet[0, :, 0, c], expected, atol=2e-6)
