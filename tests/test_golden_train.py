"""Parity of one training step with the published implementation: sum loss, Adam with coupled L2."""

from typing import Any

import golden_files as golden
import golden_unet
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ddad_jax.schedule import alpha_bar_table
from ddad_jax.train import loss_at, optimiser
from ddad_jax.types import Array
from ddad_jax.weights import to_torch

CASES = golden.cases("train_step")


def norm(tensors: dict[str, np.ndarray]) -> float:
    return float(np.sqrt(sum(np.square(v, dtype=np.float64).sum() for v in tensors.values())))


def one_step(tx: optax.GradientTransformation, params: Any, grads: Any) -> Any:
    """The parameters after one update. Every rule here works element by element, so all of them may be
    one vector, which compiles in no time."""

    def flat(tree: Any) -> Array:
        return jnp.asarray(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]))

    leaves, structure = jax.tree.flatten(params)
    before = flat(params)
    updates, _ = tx.update(flat(grads), tx.init(before), before)
    after = np.asarray(optax.apply_updates(before, updates))
    parts = np.split(after, np.cumsum([leaf.size for leaf in leaves])[:-1])
    return jax.tree.unflatten(structure, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])


@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_one_step(name: str, case: dict[str, Any]) -> None:
    arrays = golden.arrays(case["file"])
    x, noise = (jnp.asarray(golden.nhwc(arrays[k])) for k in ("x0", "noise"))
    t, alpha_bar = jnp.asarray(arrays["t"]), jnp.asarray(alpha_bar_table())
    net = golden_unet.unet_of(case, x.shape[1]).clone(dropout=case["dropout"])
    params = golden_unet.loaded(net, case["state"])["params"]
    decay, rate = case["weight_decay_coupled"], case["lr"]
    tx = optimiser(learning_rate=rate, weight_decay=decay)

    def apply(params: Any, x_t: Array, t: Array, dropout_key: Array | None) -> Any:
        return net.apply({"params": params}, x_t, t)

    def loss_of(params: Any) -> Array:
        return loss_at(apply, params, x, t, noise, alpha_bar=alpha_bar, reduce="sum")[0]

    value_and_grad = jax.jit(jax.value_and_grad(loss_of))

    loss, grads = value_and_grad(params)
    stepped = one_step(tx, params, grads)
    loss_after, _ = value_and_grad(stepped)

    golden.assert_close(loss, arrays["loss"], 5e-5)
    gradient = to_torch({"params": grads})
    golden.assert_close(norm(gradient), arrays["grad_norm"], 5e-5)
    by_tensor = np.array([norm({k: gradient[k]}) for k in golden.state(case["state"])])
    golden.assert_close(by_tensor, arrays["grad_norm_by_tensor"], 5e-5)
    # A bias before a norm of one channel a group has no gradient but rounding.
    np.testing.assert_allclose(
        by_tensor, arrays["grad_norm_by_tensor"], rtol=1e-3, atol=1e-6 * float(arrays["grad_norm"])
    )

    before, after = to_torch({"params": params}), to_torch({"params": stepped})
    for key in case["tensors"]:
        expected = arrays[f"grad__{key}"]
        golden.assert_close(gradient[key], expected, 1e-4)
        # Adam's first step is the sign of the gradient: where that is rounding noise, either sign is right.
        clear = np.abs(expected + decay * before[key]) > 1e-4 * np.abs(expected).max()
        assert clear.mean() > 0.9
        difference = np.abs(after[key] - arrays[f"after__{key}"])
        assert difference[clear].max() <= 1e-6
        assert difference.max() <= 2.01 * rate
    change = {k: after[k].astype(np.float64) - before[k] for k in after}
    golden.assert_close(norm(change), arrays["param_change_norm"], 1e-4)
    golden.assert_close(loss_after, arrays["loss_after_step"], 5e-5)


def test_the_folder_has_a_training_step() -> None:
    assert CASES
