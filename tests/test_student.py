"""A student is its teacher until it has learnt something, and then target, w and T' are inputs of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.student import Student, init_student
from ddad_jax.types import Array
from ddad_jax.unet import UNet

SIZE = 8
KINDS = [(1, "eps"), (2, "x0")]
ADDED = {"w_embedding", "start_embedding", "target", "correction"}


def normal(seed: int, *shape: int) -> Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def shaken(params: Any, seed: int = 0) -> Any:
    """Parameters of which none is zero, as after training."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: p + 0.1 * rng.standard_normal(p.shape).astype(np.float32), params)


class Pair:
    """A trained teacher and its student, before and after learning."""

    def __init__(self, patch: int, predict: str) -> None:
        self.unet = UNet(SIZE, 8, (1,), 1, (), 2, patch=patch, predict=predict, groups=4)
        x = jnp.zeros((1, SIZE, SIZE, 3))
        shapes = jax.eval_shape(self.unet.init, jax.random.key(0), x, jnp.zeros(1, int))["params"]
        self.teacher = shaken(jax.tree.map(lambda s: jnp.full(s.shape, 0.1), shapes))
        student = Student(self.unet)
        self.fresh = init_student(student, self.teacher, jax.random.key(1))
        self.learnt = shaken(self.fresh, 2)
        self.predict = jax.jit(lambda params, *inputs: student.apply({"params": params}, *inputs))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(*request.param)


X, Y = normal(0, 3, SIZE, SIZE, 3), normal(1, 3, SIZE, SIZE, 3)
T, W, START = jnp.array([250, 120, 100]), jnp.array([3.0, 0.0, 1.5]), jnp.array([250, 240, 100])


def test_a_new_student_is_its_teacher(pair: Pair) -> None:
    """To the last bit but for what two compiled programs round differently."""
    eps, d = pair.predict(pair.fresh, X, T, Y, W, START)
    own = jax.jit(pair.unet.apply)({"params": pair.teacher}, X, T)
    np.testing.assert_allclose(eps, own, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(d, np.zeros_like(X))
    assert pair.fresh.keys() == ADDED | {"unet"}
    jax.tree.map(np.testing.assert_array_equal, pair.fresh["unet"], pair.teacher)


@pytest.mark.parametrize("changed", ["y", "w", "t_prime"])
def test_target_w_and_start_are_inputs(pair: Pair, changed: str) -> None:
    inputs = {"y": Y, "w": W, "t_prime": START}
    other = {**inputs, changed: {"y": -Y, "w": W + 0.5, "t_prime": START + 30}[changed]}
    before, after = (pair.predict(pair.learnt, X, T, *values.values()) for values in (inputs, other))
    for a, b in zip(before, after, strict=True):
        assert (np.abs(np.asarray(a) - np.asarray(b)).max(axis=(1, 2, 3)) > 1e-5).all()


def test_all_that_was_added_begins_to_learn_at_once(pair: Pair) -> None:
    def loss(added: Any) -> Array:
        eps, d = pair.predict({**added, "unet": pair.teacher}, X, T, Y, W, START)
        return ((eps - Y) ** 2).mean() + ((d - Y) ** 2).mean()

    grads = jax.jit(jax.grad(loss))({name: pair.fresh[name] for name in ADDED})
    # Of an embedding only the last layer is zero and moves first.
    for grad in (*(grads[f"{name}_embedding"]["linear_3"] for name in ("w", "start")), grads["target"]):
        assert float(jnp.abs(grad["kernel"]).max()) > 0
    assert float(jnp.abs(grads["correction"]["bias"]).max()) > 0


def test_an_image_has_its_own_settings_whatever_its_batch_mates_have(pair: Pair) -> None:
    together = pair.predict(pair.learnt, X, T, Y, W, START)
    for i in range(3):
        one = np.s_[i : i + 1]
        alone = pair.predict(pair.learnt, X[one], T[one], Y[one], W[one], START[one])
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[i], b[0], rtol=1e-4, atol=1e-4)


def test_settings_may_be_one_number_for_all(pair: Pair) -> None:
    of_each = pair.predict(pair.learnt, X, jnp.full(3, 250), Y, jnp.full(3, 2.0), jnp.full(3, 250))
    of_all = pair.predict(pair.learnt, X, jnp.asarray(250), Y, jnp.asarray(2.0), jnp.asarray(250))
    for a, b in zip(of_each, of_all, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
