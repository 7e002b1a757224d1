from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ddad_jax.errors import InputError
from ddad_jax.schedule import T, alpha_bar_at, alpha_bar_table, perturb
from ddad_jax.train import (
    TrainState,
    descend,
    descend_variables,
    init_state,
    loss_at,
    min_snr_weight,
    noise_loss,
    only_parameters,
    optimiser,
    train_step,
    validation_loss,
)
from ddad_jax.types import Array

ALPHA_BAR = jnp.asarray(alpha_bar_table())
RNG = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return jnp.asarray(RNG.standard_normal(shape, np.float32))


X = jnp.clip(0.5 * normal(4, 3, 3, 2), -1, 1)


def apply(params: Any, x_t: Array, t: Array, dropout_key: Array | None) -> Array:
    """The smallest noise predictor: a matrix on the channels, a bias, a gain by time."""
    time = jnp.broadcast_to(t, x_t.shape[:1]).astype(jnp.float32)[:, None, None, None] / T
    return jnp.einsum("bhwc,cd->bhwd", x_t, params["w"]) + params["b"][None, None, None] * time


def fresh(tx: optax.GradientTransformation) -> TrainState:
    return init_state({"w": 0.1 * jnp.ones((2, 2)), "b": jnp.array([0.1, -0.2])}, tx)


def stepper(tx: optax.GradientTransformation, **options: Any) -> Any:
    return jax.jit(partial(train_step, apply=apply, tx=tx, **{"alpha_bar": ALPHA_BAR} | options))


TX = optimiser(learning_rate=0.05)
STEP = stepper(TX)
SLOW_TX = optimiser(learning_rate=0.05, warmup_steps=3, accumulate=2)
SLOW_STEP = stepper(SLOW_TX)


def assert_equal(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


# The loss


def test_the_sum_loss_is_the_mean_loss_times_the_elements_of_an_image() -> None:
    a, b = normal(3, 4, 4, 2), normal(3, 4, 4, 2)
    assert float(noise_loss(a, b)) == pytest.approx(float(((a - b) ** 2).mean()), rel=1e-6)
    assert float(noise_loss(a, b, reduce="sum")) == pytest.approx(32 * float(noise_loss(a, b)), rel=1e-6)


def test_the_loss_compares_the_prediction_with_the_noise_that_was_added() -> None:
    noise, t = normal(*X.shape), jnp.array([0, 10, 250, 999])

    def oracle(params: Any, x_t: Array, t: Array, dropout_key: Array | None) -> Array:
        a = alpha_bar_at(ALPHA_BAR, t)[:, None, None, None]
        return (x_t - jnp.sqrt(a) * X) / jnp.sqrt(1 - a)

    def zero(params: Any, x_t: Array, t: Array, dropout_key: Array | None) -> Array:
        return jnp.zeros_like(x_t)

    assert float(loss_at(oracle, None, X, t, noise, alpha_bar=ALPHA_BAR)[0]) < 1e-6
    expected = float((noise**2).mean())
    assert float(loss_at(zero, None, X, t, noise, alpha_bar=ALPHA_BAR)[0]) == pytest.approx(expected, rel=1e-6)


def test_min_snr_weighs_almost_clean_images_less() -> None:
    """Deviation: min_snr. Off, it changes nothing."""
    a = jnp.array([0.999, 0.9, 0.5, 0.1])
    snr = np.asarray(a) / (1 - np.asarray(a))
    np.testing.assert_allclose(min_snr_weight(a, 5.0), np.minimum(snr, 5) / snr, rtol=1e-5)

    noise, t = normal(*X.shape), jnp.array([0, 100, 400, 999])
    params = fresh(TX).params

    def loss(x: Array, t: Array, noise: Array, min_snr: float = 0.0) -> Array:
        return loss_at(apply, params, x, t, noise, alpha_bar=ALPHA_BAR, min_snr=min_snr)[0]

    each = np.stack([jax.jit(loss)(X[i : i + 1], t[i : i + 1], noise[i : i + 1]) for i in range(4)])
    assert float(loss(X, t, noise)) == pytest.approx(each.mean(), rel=1e-5)
    weighted = (np.asarray(min_snr_weight(ALPHA_BAR[t], 5.0)) * each).mean()
    assert float(loss(X, t, noise, min_snr=5.0)) == pytest.approx(weighted, rel=1e-5)


def test_running_statistics_follow_the_pass_and_nothing_else() -> None:
    """Neither weight decay nor a loss that is not finite moves them; the average of the parameters has its own."""
    tx = only_parameters(optimiser(learning_rate=0.1, weight_decay=0.5))
    first = init_state({"params": jnp.ones(3), "batch_stats": jnp.array([2.0])}, tx)

    def step(state: TrainState, factor: float) -> tuple[TrainState, dict[str, Array]]:
        def loss(variables: Any) -> Any:
            moved = {"batch_stats": variables["batch_stats"] + 1.0}
            return factor * jnp.square(variables["params"]).sum(), ({"own": jnp.ones(())}, moved)

        return descend_variables(state, loss, tx=tx, ema_decay=0.5)

    once, metrics = step(first, 1.0)
    assert {*metrics} == {"loss", "grad_norm", "own"} and float(metrics["loss"]) == 3.0
    np.testing.assert_allclose(once.params["params"], 0.9, rtol=1e-5)
    np.testing.assert_array_equal(once.params["batch_stats"], [3.0])
    twice, _ = step(once, 1.0)
    np.testing.assert_array_equal(twice.params["batch_stats"], [4.0])
    np.testing.assert_array_equal(twice.ema["batch_stats"] > once.ema["batch_stats"], [True])
    stopped, _ = step(twice, float("nan"))
    jax.tree.map(np.testing.assert_array_equal, stopped, twice)


# The optimiser


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(InputError, match="'max'"):
        noise_loss(X, X, reduce="max")


def updates(tx: optax.GradientTransformation, grads: list[np.ndarray], params: np.ndarray) -> list[np.ndarray]:
    """The parameters after each of the gradients."""
    state, trail = tx.init(params), []
    update = jax.jit(tx.update)
    for g in grads:
        step, state = update(jnp.asarray(g), state, params)
        params = optax.apply_updates(params, step)
        trail.append(np.asarray(params))
    return trail


GRADS = [RNG.standard_normal(5).astype(np.float32) for _ in range(6)]
START = np.linspace(-1, 1, 5, dtype=np.float32)


def test_weight_decay_enters_the_gradient_before_the_moments() -> None:
    rate, decay, theta = 3e-4, 0.05, START.astype(np.float64)
    m, v = np.zeros(5), np.zeros(5)
    got = updates(optimiser(learning_rate=rate, weight_decay=decay), GRADS, START)
    for i, raw in enumerate(GRADS, start=1):
        g = raw + decay * theta
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        theta = theta - rate * (m / (1 - 0.9**i)) / (np.sqrt(v / (1 - 0.999**i)) + 1e-8)
        np.testing.assert_allclose(got[i - 1], theta, atol=1e-7)


def test_warm_up_raises_the_rate_linearly() -> None:
    """Deviation: warmup_steps. Adam answers a constant gradient with a step of the rate itself."""
    ones = [np.ones(5, np.float32)] * 7
    trail = updates(optimiser(learning_rate=0.1, weight_decay=0.0, warmup_steps=4), ones, START)
    sizes = -np.diff([START, *trail], axis=0)[:, 0]
    np.testing.assert_allclose(sizes, 0.1 * np.array([0, 0.25, 0.5, 0.75, 1, 1, 1]), atol=1e-4)


def test_clipping_scales_a_large_gradient_and_leaves_a_small_one() -> None:
    """Deviation: clip_norm."""
    clipped = optimiser(learning_rate=0.1, clip_norm=1.0)
    free = optimiser(learning_rate=0.1)
    mixed = [GRADS[0] * 100, GRADS[1] * 0.01]
    by_hand = [GRADS[0] / np.linalg.norm(GRADS[0]), GRADS[1] * 0.01]
    np.testing.assert_allclose(updates(clipped, mixed, START), updates(free, by_hand, START), atol=1e-5)
    assert np.abs(updates(clipped, mixed, START)[-1] - updates(free, mixed, START)[-1]).max() > 1e-3


def test_accumulating_two_batches_equals_one_of_both() -> None:
    """Deviation: accumulate. The mean loss over 4 images has the mean gradient of its halves."""
    noise, t = normal(*X.shape), jnp.array([3, 100, 400, 999])
    params = fresh(TX).params
    once, twice = (optimiser(weight_decay=0.05, accumulate=k) for k in (1, 2))

    @jax.jit
    def run(params: Any) -> tuple[Any, Any, Any]:
        def gradient(rows: slice) -> Any:
            return jax.grad(lambda p: loss_at(apply, p, X[rows], t[rows], noise[rows], alpha_bar=ALPHA_BAR)[0])(params)

        whole, _ = once.update(gradient(np.s_[:]), once.init(params), params)
        first, state = twice.update(gradient(np.s_[:2]), twice.init(params), params)
        second, _ = twice.update(gradient(np.s_[2:]), state, params)
        return whole, first, second

    whole, first, second = run(params)
    assert_equal(first, jax.tree.map(jnp.zeros_like, params))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-8), second, whole)


# The step


def test_a_step_is_the_loss_and_the_optimiser_at_fresh_times_and_noise(key: jax.Array) -> None:
    @jax.jit
    def by_hand(state: TrainState) -> tuple[Array, Array, Any]:
        t_key, noise_key, _ = jax.random.split(jax.random.fold_in(key, state.step), 3)
        t, noise = jax.random.randint(t_key, (4,), 0, T), jax.random.normal(noise_key, X.shape)
        loss, grads = jax.value_and_grad(lambda p: loss_at(apply, p, X, t, noise, alpha_bar=ALPHA_BAR)[0])(state.params)
        norm = jnp.sqrt(sum((g**2).sum() for g in jax.tree.leaves(grads)))
        return loss, norm, TX.update(grads, state.opt_state, state.params)[0]

    state = fresh(TX)
    for _ in range(2):
        loss, norm, expected = by_hand(state)
        before, (state, metrics) = state, STEP(state, X, key)
        assert int(state.step) == int(before.step) + 1
        for name in ("loss", "mse"):
            assert float(metrics[name]) == pytest.approx(float(loss), rel=1e-5)
        assert float(metrics["grad_norm"]) == pytest.approx(float(norm), rel=1e-5)
        moved = jax.tree.map(jnp.subtract, state.params, before.params)
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), moved, expected)


def test_weights_and_sums_enter_the_loss_and_not_the_mean_squared_error(key: jax.Array) -> None:
    @jax.jit
    def by_hand(state: TrainState) -> Array:
        t_key, noise_key, _ = jax.random.split(jax.random.fold_in(key, state.step), 3)
        t, noise = jax.random.randint(t_key, (4,), 0, T), jax.random.normal(noise_key, X.shape)
        return loss_at(apply, state.params, X, t, noise, alpha_bar=ALPHA_BAR, reduce="sum", min_snr=0.5)[0]

    _, plain = STEP(fresh(TX), X, key)
    _, other = stepper(TX, reduce="sum", min_snr=0.5)(fresh(TX), X, key)
    assert float(other["mse"]) == pytest.approx(float(plain["mse"]), rel=1e-5)
    assert float(other["loss"]) == pytest.approx(float(by_hand(fresh(TX))), rel=1e-5)
    assert float(other["loss"]) < 0.99 * 18 * float(plain["loss"])


def test_training_on_one_picture_learns_it(key: jax.Array) -> None:
    """The exact prediction for a single picture, but for the picture: that is what the steps must find."""

    def knows_all_but_the_picture(params: Any, x_t: Array, t: Array, dropout_key: Array | None) -> Array:
        a = alpha_bar_at(ALPHA_BAR, t)[:, None, None, None]
        return (x_t - jnp.sqrt(a) * params["picture"]) / jnp.sqrt(1 - a)

    tx = optimiser(learning_rate=0.02)

    @jax.jit
    def train(state: TrainState) -> tuple[TrainState, Array]:
        def body(state: TrainState, _: None) -> tuple[TrainState, Array]:
            batch = jnp.repeat(X[:1], 8, axis=0)
            options: dict[str, Any] = {"apply": knows_all_but_the_picture, "tx": tx, "alpha_bar": ALPHA_BAR}
            state, metrics = train_step(state, batch, key, ema_decay=0.9, **options)
            return state, metrics["loss"]

        return jax.lax.scan(body, state, length=300)

    state, losses = train(init_state({"picture": jnp.zeros((1, *X.shape[1:]))}, tx))
    assert float(losses[-20:].mean()) < 0.01 * float(losses[:20].mean())
    for params in (state.params, state.ema):
        np.testing.assert_allclose(params["picture"], X[:1], atol=0.02)


def test_a_loss_that_is_not_finite_leaves_the_state_as_it_was(key: jax.Array) -> None:
    state, _ = SLOW_STEP(fresh(SLOW_TX), X, key)
    for bad in (jnp.nan, jnp.inf):
        after, metrics = SLOW_STEP(state, X.at[0, 0, 0, 0].set(bad), key)
        assert not np.isfinite(metrics["loss"])
        assert_equal(after, state)
    onward, metrics = SLOW_STEP(after, X, key)
    assert np.isfinite(metrics["loss"]) and int(onward.step) == 2


def test_the_noise_is_the_one_that_is_asked_for(key: jax.Array) -> None:
    """Where it is always 0, the error is what is predicted."""

    def constant(params: Any, x_t: Array, t: Array, dropout_key: Array | None) -> Array:
        return params["w"][0, 0] + 0.0 * x_t

    how: Any = {"apply": constant, "tx": TX, "alpha_bar": ALPHA_BAR, "draw": lambda key, shape: jnp.zeros(shape)}
    _, metrics = jax.jit(partial(train_step, **how))(fresh(TX), X, key)
    np.testing.assert_allclose(metrics["loss"], 0.01, rtol=1e-5)


def test_times_stay_below_t_max(key: jax.Array) -> None:
    """Deviation: t_max. Entries of the table that are not numbers tell whether they are read."""

    @jax.jit
    def step(state: TrainState, alpha_bar: Array) -> tuple[TrainState, dict[str, Array]]:
        return train_step(state, X, key, apply=apply, tx=TX, alpha_bar=alpha_bar, t_max=50)

    def all_finite(alpha_bar: Array) -> bool:
        state, losses = fresh(TX), []
        for _ in range(30):
            state, metrics = step(state, alpha_bar)
            losses.append(float(metrics["loss"]))
        return bool(np.isfinite(losses).all())

    assert all_finite(ALPHA_BAR.at[50:].set(jnp.nan))
    assert not all_finite(ALPHA_BAR.at[40:50].set(jnp.nan))


def test_the_average_follows_its_formula(key: jax.Array) -> None:
    """Deviation: ema_decay. Early steps count more: min(decay, (1 + step) / (10 + step))."""
    step, state = stepper(TX, ema_decay=0.3), fresh(TX)
    assert_equal(state.ema, state.params)
    average = np.asarray(state.params["w"], np.float64)
    for i in range(8):
        state, _ = step(state, X, key)
        decay = min(0.3, (1 + i) / (10 + i))
        average = decay * average + (1 - decay) * np.asarray(state.params["w"], np.float64)
        np.testing.assert_allclose(state.ema["w"], average, atol=1e-6)


@pytest.mark.parametrize("accumulate", [4, 8])
def test_the_average_spans_as_many_updates_however_many_batches_make_one(accumulate: int) -> None:
    """The gradient is -1, so the parameter rises by the rate an update and the average lags by its horizon."""

    def run(k: int) -> tuple[list[float], list[float]]:
        tx = optimiser(learning_rate=1.0, weight_decay=0.0, accumulate=k)
        state = init_state({"p": jnp.zeros(())}, tx)
        step = jax.jit(lambda s: descend(s, lambda p: (-p["p"], None), tx=tx, ema_decay=0.5)[0])
        means, values = [], []
        for i in range(20 * k):
            before, state = state, step(state)
            if (i + 1) % k:
                assert_equal((state.params, state.ema), (before.params, before.ema))
            else:
                means.append(float(state.ema["p"]))
                values.append(float(state.params["p"]))
        return means, values

    once, accumulated = run(1), run(accumulate)
    np.testing.assert_allclose(accumulated, once, rtol=1e-5)
    assert accumulated[1][-1] - accumulated[0][-1] == pytest.approx(0.5 / (1.0 - 0.5), rel=1e-2), "updates behind"


def test_without_an_average_the_parameters_are_kept(key: jax.Array) -> None:
    state, _ = stepper(TX, ema_decay=0.0)(fresh(TX), X, key)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-7), state.ema, state.params)


def test_a_resumed_run_equals_an_unbroken_one(key: jax.Array) -> None:
    def go_on(state: TrainState, steps: int) -> TrainState:
        for _ in range(steps):
            state, _ = SLOW_STEP(state, X, key)
        return state

    stored = jax.tree.map(np.asarray, go_on(fresh(SLOW_TX), 3))
    assert_equal(go_on(jax.tree.map(jnp.asarray, stored), 4), go_on(fresh(SLOW_TX), 7))


def test_another_key_is_another_run_and_every_step_draws_anew(key: jax.Array) -> None:
    state = fresh(TX)
    _, first = STEP(state, X, key)
    _, second = STEP(state._replace(step=state.step + 1), X, key)
    _, other = STEP(state, X, jax.random.fold_in(key, 1))
    assert len({float(m["loss"]) for m in (first, second, other)}) == 3


# Validation


def test_validation_is_fixed_by_each_image_and_blind_to_padding(key: jax.Array) -> None:
    seen: list[Array | None] = []

    def watched(params: Any, x_t: Array, t: Array, dropout_key: Array | None) -> Array:
        seen.append(dropout_key)
        return apply(params, x_t, t, dropout_key)

    params, keys, times = fresh(TX).params, jax.random.split(key, 4), jnp.array([10, 250, 700])
    validate = jax.jit(partial(validation_loss, apply=watched, alpha_bar=ALPHA_BAR, times=times))
    every = validate(params, X, jnp.ones(4, bool), keys)
    assert every.shape == (4, 3) and seen == [None]
    noise = jax.random.normal(jax.random.fold_in(keys[1], 250), X.shape[1:])[None]
    x_t = perturb(X[1:2], noise, ALPHA_BAR[250])
    expected = ((apply(params, x_t, jnp.asarray(250), None) - noise) ** 2).mean()
    assert float(every[1, 1]) == pytest.approx(float(expected), rel=1e-5)

    order, valid = jnp.array([2, 0, 3, 1]), jnp.array([True, True, False, False])
    padded = validate(params, X[order].at[2:].set(jnp.nan), valid, keys[order])
    np.testing.assert_array_equal(padded[2:], 0.0)
    np.testing.assert_allclose(padded[:2], every[order[:2]], rtol=1e-6)
