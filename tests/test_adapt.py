"""Claims: the loss and its gradient, both BatchNorm behaviours, and pairing."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ddad_jax.adapt import (
    adapt_step,
    adaptation_loss,
    adaptation_optimiser,
    adaptation_terms,
    flat_cosine_loss,
    init_adapt,
    pairs,
)
from ddad_jax.backbones import Backbone, Stage, feature_fn, get_backbone
from ddad_jax.backbones.batch_norm import TorchBatchNorm
from ddad_jax.errors import InputError
from ddad_jax.types import Array, Variables
from ddad_jax.weights import random_backbone


class Tiny(nn.Module):
    """Two convolutions with BatchNorm; the third layer is an average of the second."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> dict[str, Array]:
        outputs = {}
        for layer, features in (("layer1", 4), ("layer2", 6)):
            x = nn.Conv(features, (3, 3), strides=(2, 2), use_bias=False, name=f"conv_{layer}")(x)
            x = nn.relu(TorchBatchNorm(name=f"bn_{layer}")(x, use_running_average=not train))
            outputs[layer] = x
        return outputs | {"layer3": nn.avg_pool(x, (2, 2), (2, 2))}


STAGES = {"layer1": Stage(2, 4), "layer2": Stage(4, 6), "layer3": Stage(8, 6)}
LAYERS = tuple(STAGES)
TINY = Backbone("tiny", Tiny(), lambda x: 0.5 * x, 8, STAGES)


@pytest.fixture(scope="module")
def frozen() -> Variables:
    variables = jax.jit(TINY.module.init)(jax.random.key(3), jnp.zeros((1, 16, 16, 3)))
    # Stored statistics that no batch of the tests has.
    stats = jax.tree.map(lambda a: a + 0.1, variables["batch_stats"])
    return {"params": variables["params"], "batch_stats": stats}


def _images(seed: int, b: int = 4, size: int = 16) -> Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (b, size, size, 3)), jnp.float32)


TX = adaptation_optimiser(learning_rate=1e-2)


@functools.cache
def _compiled(batch_norm: str) -> Any:
    return jax.jit(functools.partial(adapt_step, backbone=TINY, tx=TX, batch_norm=batch_norm))


def _step(frozen: Variables, batch_norm: str = "frozen") -> Any:
    """A fresh state, and step(state, x0, y, frozen), compiled once for all tests."""

    def step(*args: Any, lambda_dl: float = 0.1, **kwargs: Any) -> Any:
        return _compiled(batch_norm)(*args, lambda_dl=lambda_dl, **kwargs)

    return init_adapt(frozen, TX), step


def _assert_same(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


# The loss


def _features(seed: int, b: int = 3) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    shapes = {"layer1": (b, 4, 4, 2), "layer2": (b, 2, 2, 5), "layer3": (b, 1, 1, 7)}
    return {j: jnp.asarray(rng.standard_normal(s), jnp.float32) for j, s in shapes.items()}


def test_one_cosine_per_image_and_layer_of_the_whole_map() -> None:
    a, b = _features(1), _features(2)
    expected = []
    for j in LAYERS:
        x, y = (np.asarray(f[j], np.float64).reshape(3, -1) for f in (a, b))
        cos = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
        expected.append((1 - cos).mean())
    np.testing.assert_allclose(flat_cosine_loss(a, b), expected, atol=2e-7)
    np.testing.assert_allclose(flat_cosine_loss(a, b, ("layer3",)), expected[2:], atol=2e-7)


def test_cosine_loss_is_blind_to_scale_and_finite_at_zero_features() -> None:
    a, b = _features(1), _features(2)
    scaled = jax.tree.map(lambda v: 7.0 * v, a)
    np.testing.assert_allclose(flat_cosine_loss(scaled, b), flat_cosine_loss(a, b), atol=1e-6)
    zero = jax.tree.map(jnp.zeros_like, a)
    loss, grads = jax.jit(jax.value_and_grad(lambda f: flat_cosine_loss(f, b).sum()))(zero)
    assert float(loss) == len(LAYERS)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_invalid_images_do_not_count() -> None:
    a, b = _features(1), _features(2)
    first_two = (jax.tree.map(lambda v: v[:2], f) for f in (a, b))
    spoilt = jax.tree.map(lambda v: v.at[2].set(1e3), a)
    found = flat_cosine_loss(spoilt, b, valid=jnp.array([True, True, False]))
    np.testing.assert_allclose(found, flat_cosine_loss(*first_two), atol=1e-7)


def test_bfloat16_features_are_compared_in_float32() -> None:
    a, b = _features(1), _features(2)
    halved = [jax.tree.map(lambda v: v.astype(jnp.bfloat16), f) for f in (a, b)]
    found = flat_cosine_loss(*halved)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, flat_cosine_loss(a, b), atol=0.02)


def test_terms_are_similarity_and_both_weighted_distillations() -> None:
    x0, y, z0, zy = (_features(i) for i in range(4))
    terms = adaptation_terms(x0, y, z0, zy, lambda_dl=0.3)
    assert terms.shape == (3, len(LAYERS))
    np.testing.assert_allclose(terms[0], flat_cosine_loss(x0, y))
    np.testing.assert_allclose(terms[1], 0.3 * flat_cosine_loss(y, zy), rtol=1e-6)
    np.testing.assert_allclose(terms[2], 0.3 * flat_cosine_loss(x0, z0), rtol=1e-6)


def test_no_gradient_reaches_the_frozen_extractor(frozen: Variables) -> None:
    live = jax.tree.map(lambda a: 1.1 * a + 0.01, frozen)

    def loss(live: Variables, frozen: Variables) -> Array:
        x0, y = _images(1), _images(2)
        return adaptation_loss(live["params"], live["batch_stats"], x0, y, frozen, backbone=TINY)[0]

    of_live, of_frozen = jax.jit(jax.grad(loss, (0, 1)))(live, frozen)
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(of_live["params"]))
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(of_frozen))


def test_gradient_is_that_of_finite_differences(frozen: Variables) -> None:
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), frozen)
        x0, y = (jnp.asarray(_images(i), jnp.float64) for i in (1, 2))
        live = jax.tree.map(lambda a: 1.05 * a + 0.02, wide["params"])
        rng = np.random.default_rng(0)
        towards = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape)), live)

        @jax.jit
        def along(s: Array) -> Array:
            params = jax.tree.map(lambda p, d: p + s * d, live, towards)
            return adaptation_loss(params, wide["batch_stats"], x0, y, wide, backbone=TINY)[0]

        h = 1e-6
        expected = (along(jnp.asarray(h)) - along(jnp.asarray(-h))) / (2 * h)
        np.testing.assert_allclose(jax.jit(jax.grad(along))(jnp.asarray(0.0)), expected, rtol=1e-5)


# One step


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
def test_steps_bring_reconstruction_and_target_together(batch_norm: str, frozen: Variables) -> None:
    state, step = _step(frozen, batch_norm)
    y = _images(2)
    x0 = y + 0.3 * _images(1)
    losses = []
    for _ in range(20):
        state, metrics = step(state, x0, y, frozen)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.5 * losses[0]
    assert int(state.step) == 20
    np.testing.assert_allclose(metrics["terms"].sum(), metrics["loss"], rtol=1e-6)


def test_distillation_holds_the_features_where_they_were(frozen: Variables) -> None:
    y = _images(2)
    x0 = y + 0.3 * _images(1)
    drift = []
    for lambda_dl in (0.0, 1.0):
        state, step = _step(frozen)
        for _ in range(20):
            state, _ = step(state, x0, y, frozen, lambda_dl=lambda_dl)
        features = jax.jit(lambda v: feature_fn(TINY, v)(y))
        now, before = (features(v) for v in (state.variables, frozen))
        drift.append(float(flat_cosine_loss(now, before).sum()))
    assert drift[1] < 0.5 * drift[0]


def test_frozen_statistics_stay_and_distillation_starts_at_zero(frozen: Variables) -> None:
    state, step = _step(frozen)
    new, metrics = step(state, _images(1), _images(2), frozen)
    _assert_same(new.batch_stats, frozen["batch_stats"])
    np.testing.assert_allclose(metrics["terms"][1:], 0.0, atol=1e-7)
    scale = new.params["bn_layer1"]["scale"]
    assert (np.asarray(scale) != np.asarray(frozen["params"]["bn_layer1"]["scale"])).any()


def test_published_statistics_move_twice_reconstruction_first(frozen: Variables) -> None:
    x0, y = _images(1), 0.5 * _images(2)
    state, step = _step(frozen, "train")
    new, metrics = step(state, x0, y, frozen)
    moved = frozen
    forward = jax.jit(lambda v, x: TINY.module.apply(v, 0.5 * x, train=True, mutable=["batch_stats"])[1])
    for image in (x0, y):
        moved = moved | forward(moved, image)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new.batch_stats, moved["batch_stats"])
    # Batch statistics against stored ones: apart from the first step on, although F is still Fz.
    assert (np.asarray(metrics["terms"][1:]) > 1e-4).all()


def test_frozen_statistics_make_the_loss_a_mean_over_images(frozen: Variables) -> None:
    x0, y = _images(1), _images(2)
    of = jax.jit(lambda x0, y: adaptation_loss(*frozen.values(), x0, y, frozen, backbone=TINY)[0])

    def loss(i: slice) -> float:
        return float(of(x0[i], y[i]))

    one_by_one = [loss(slice(i, i + 1)) for i in range(len(x0))]
    assert loss(slice(None)) == pytest.approx(np.mean(one_by_one), rel=1e-5)


def test_padding_leaves_the_step_as_it_is(frozen: Variables) -> None:
    x0, y = _images(1), _images(2)
    state, step = _step(frozen)
    padded, _ = step(state, x0, y, frozen, valid=jnp.array([True] * 3 + [False]))
    alone, _ = step(state, x0[:3], y[:3], frozen)
    # Adam's first step is about the gradient's sign: compare what it is made of.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7),
        optax.tree.get(alone.opt_state, "mu"),
        optax.tree.get(padded.opt_state, "mu"),
    )
    with pytest.raises(ValueError, match="padding"):
        adapt_step(
            state,
            x0,
            y,
            frozen,
            backbone=TINY,
            tx=TX,
            batch_norm="train",
            valid=jnp.ones(4, bool),
        )


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
def test_a_loss_that_is_not_finite_changes_nothing(batch_norm: str, frozen: Variables) -> None:
    state, step = _step(frozen, batch_norm)
    new, metrics = step(state, _images(1).at[0, 0, 0, 0].set(jnp.nan), _images(2), frozen)
    assert not np.isfinite(metrics["loss"])
    _assert_same(new, state)


def test_feature_size_resizes_both_images_first(frozen: Variables) -> None:
    x0, y = _images(1), _images(2)
    big = [jax.image.resize(x, (4, 32, 32, 3), "linear") for x in (x0, y)]
    of = functools.partial(
        adaptation_loss, frozen["params"], frozen["batch_stats"], frozen_variables=frozen, backbone=TINY
    )
    resized = of(x0, y, feature_size=32)[0]
    np.testing.assert_allclose(resized, of(*big)[0], rtol=1e-6)
    assert float(resized) != pytest.approx(float(of(x0, y)[0]), rel=1e-3)


def test_optimiser_is_adamw_with_decoupled_decay() -> None:
    theta, gradient = jnp.array([2.0, -3.0]), jnp.array([0.5, 1e-3])
    tx = adaptation_optimiser(learning_rate=0.1, weight_decay=0.01)
    update, _ = tx.update(gradient, tx.init(theta), theta)
    # After bias correction the first step is g / (|g| + eps), whatever the gradient's size.
    np.testing.assert_allclose(update, -0.1 * (np.sign(gradient) + 0.01 * np.asarray(theta)), rtol=2e-5)


def test_an_unknown_batch_norm_is_refused(frozen: Variables) -> None:
    with pytest.raises(InputError, match="'eval'.*'frozen' or 'train'"):
        adaptation_loss(*frozen.values(), _images(1), _images(2), frozen, backbone=TINY, batch_norm="eval")


def test_one_compilation_serves_every_lambda_and_the_state_may_be_donated(frozen: Variables) -> None:
    traces = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        traces.append(1)
        return adapt_step(*args, backbone=TINY, tx=TX, **kwargs)

    step = jax.jit(counted, donate_argnums=0)
    state = init_adapt(frozen, TX)
    for lambda_dl in (0.1, 0.01, 0.0):
        state, _ = step(state, _images(1), _images(2), frozen, lambda_dl=lambda_dl)
    assert len(traces) == 1
    assert int(state.step) == 3


def _lite() -> tuple[Variables, Any]:
    backbone = get_backbone("efficientnet_lite0")
    step = jax.jit(functools.partial(adapt_step, backbone=backbone, tx=TX))
    return random_backbone(backbone.name, jax.random.key(0)), step


def test_a_step_of_the_offline_default_keeps_every_shape_and_type() -> None:
    frozen, step = _lite()
    state = jax.eval_shape(lambda frozen: init_adapt(frozen, TX), frozen)
    new, metrics = jax.eval_shape(step, state, _images(1, size=32), _images(2, size=32), frozen)
    # Equal in structure, shape and type: the next step compiles nothing.
    assert jax.tree.map(lambda a: (a.shape, a.dtype), new) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    assert metrics["terms"].shape == (3, len(LAYERS))


@pytest.mark.slow
def test_every_parameter_of_the_offline_default_learns() -> None:
    frozen, step = _lite()
    y = _images(2, b=2, size=32)
    new, metrics = step(init_adapt(frozen, TX), y + 0.2 * _images(1, b=2, size=32), y, frozen)
    assert np.isfinite(metrics["grad_norm"])
    for gradient in jax.tree.leaves(optax.tree.get(new.opt_state, "mu")):
        assert np.abs(gradient).max() > 0
    _assert_same(new.batch_stats, frozen["batch_stats"])


# Pairs


@pytest.mark.parametrize(("n", "batch_size"), [(40, 16), (16, 16), (5, 16), (2, 16), (9, 3), (7, 2)])
def test_pairs_are_disjoint_and_use_no_image_twice(n: int, batch_size: int) -> None:
    targets, inputs = pairs(n, batch_size, epoch=3, seed=1)
    half = min(n, batch_size) // 2
    assert targets.shape == inputs.shape == (n // (2 * half), half)
    used = np.concatenate([targets, inputs], axis=None)
    assert len(set(used.tolist())) == len(used)
    assert used.min() >= 0
    assert used.max() < n


def test_pairs_depend_on_seed_and_epoch_alone_and_reach_every_image() -> None:
    def of(epoch: int, seed: int) -> np.ndarray:
        return np.stack(pairs(21, 16, epoch=epoch, seed=seed))

    np.testing.assert_array_equal(of(2, 0), of(2, 0))
    assert (of(2, 0) != of(3, 0)).any()
    assert (of(2, 0) != of(2, 1)).any()
    epochs = np.stack([of(e, 0) for e in range(20)])
    for role in (0, 1):
        assert set(epochs[:, role].ravel().tolist()) == set(range(21))


@pytest.mark.parametrize(("n", "batch_size", "told"), [(1, 16, "found 1"), (0, 16, "found 0"), (9, 1, "size 1")])
def test_too_little_for_a_pair_is_told(n: int, batch_size: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        pairs(n, batch_size, epoch=0, seed=0)
