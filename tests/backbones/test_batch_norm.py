"""Claims: the batch's statistics normalise in training, PyTorch's unbiased variance is what is stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.backbones.batch_norm import TorchBatchNorm


def _variables(rng: np.random.Generator, c: int) -> dict[str, dict[str, jax.Array]]:
    positive = rng.uniform(0.5, 2.0, (2, c)).astype(np.float32)
    mean, bias = rng.standard_normal((2, c)).astype(np.float32)
    return {
        "params": {"scale": jnp.asarray(positive[0]), "bias": jnp.asarray(bias)},
        "batch_stats": {"mean": jnp.asarray(mean), "var": jnp.asarray(positive[1])},
    }


def test_training_normalises_by_the_batch_and_stores_the_unbiased_variance() -> None:
    rng = np.random.default_rng(1)
    x = (3.0 + 2.0 * rng.standard_normal((2, 3, 2, 5))).astype(np.float32)
    v = _variables(rng, 5)
    y, moved = TorchBatchNorm(eps=1e-3, momentum=0.9).apply(v, x, False, mutable=["batch_stats"])
    mean, var = x.mean((0, 1, 2), np.float64), x.var((0, 1, 2), np.float64)
    p = jax.tree.map(np.asarray, v["params"])
    expected = (x - mean) / np.sqrt(var + 1e-3) * p["scale"] + p["bias"]
    np.testing.assert_allclose(y, expected, atol=2e-6)
    n = x.size // 5
    old = jax.tree.map(np.asarray, v["batch_stats"])
    np.testing.assert_allclose(moved["batch_stats"]["mean"], 0.9 * old["mean"] + 0.1 * mean, atol=1e-6)
    unbiased = var * n / (n - 1)
    np.testing.assert_allclose(moved["batch_stats"]["var"], 0.9 * old["var"] + 0.1 * unbiased, atol=1e-6)


def test_evaluation_uses_the_stored_statistics_and_leaves_them() -> None:
    rng = np.random.default_rng(2)
    x, v = rng.standard_normal((2, 4, 4, 3)).astype(np.float32), _variables(rng, 3)
    y, kept = TorchBatchNorm().apply(v, x, True, mutable=["batch_stats"])
    p, s = (jax.tree.map(np.asarray, v[k]) for k in ("params", "batch_stats"))
    np.testing.assert_allclose(y, (x - s["mean"]) / np.sqrt(s["var"] + 1e-5) * p["scale"] + p["bias"], atol=2e-6)
    jax.tree.map(np.testing.assert_array_equal, kept["batch_stats"], v["batch_stats"])


@pytest.mark.parametrize("train", [False, True])
def test_bfloat16_input_gives_bfloat16_output_and_float32_statistics(train: bool) -> None:
    x = jnp.full((2, 2, 2, 3), 300.0, jnp.bfloat16)
    v = _variables(np.random.default_rng(3), 3)
    y, moved = TorchBatchNorm().apply(v, x, not train, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert {a.dtype for a in jax.tree.leaves(moved)} == {jnp.dtype(jnp.float32)}
