"""L4. Training the noise predictor: pure functions, state in and state out."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ddad_jax.errors import InputError
from ddad_jax.schedule import T, alpha_bar_at, perturb
from ddad_jax.types import Array, Image, NoiseDraw

Apply = Callable[..., Array]
"""apply(params, x_t, t, dropout_key or None) -> eps."""


class TrainState(NamedTuple):
    """step: int32 []. params, ema: parameter trees. opt_state: optax's."""

    step: Array
    params: Any
    ema: Any
    opt_state: Any


def optimiser(
    *,
    learning_rate: float = 3e-4,
    weight_decay: float = 2.5e-7,
    warmup_steps: int = 0,
    clip_norm: float = 0.0,
    accumulate: int = 1,
    drops: Mapping[int, float] = MappingProxyType({}),
    scaled: optax.GradientTransformation | None = None,
) -> optax.GradientTransformation:
    """Adam with coupled L2: weight_decay * theta is added to the gradient before the moments (not AdamW).

    Args:
      learning_rate: 3e-4 as published.
      weight_decay: belongs to the loss. 2.5e-7 with the mean loss is the published 0.05 with the sum loss
        at 256 px (0.05 / (3 * 256 * 256)).
        Deviation: with the mean loss the same decay serves every size; published, it grows as images shrink.
      warmup_steps: Deviation: linear warm-up; published 0.
      clip_norm: Deviation: clip the gradient's global norm, 0 for not at all; published 0.
      accumulate: Deviation: average this many batches' gradients before one update; published 1.
      drops: number of an update, from 0 -> what the learning rate is multiplied by from there on. Published none for
        the noise predictor.
      scaled: what every update passes at the end, such as another rate for some parameters.

    Source: DDAD supplement 7; train.py of the published code.
    """
    rate: Any = optax.linear_schedule(0.0, learning_rate, warmup_steps) if warmup_steps else learning_rate
    if drops:
        rate = _dropping(rate if warmup_steps else optax.constant_schedule(learning_rate), drops)
    parts = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    parts += [optax.add_decayed_weights(weight_decay), optax.adam(rate)]
    chain = optax.chain(*parts, *([scaled] if scaled else []))
    return optax.MultiSteps(chain, accumulate).gradient_transformation() if accumulate > 1 else chain


def _dropping(rate: optax.Schedule, drops: Mapping[int, float]) -> optax.Schedule:
    share = optax.piecewise_constant_schedule(1.0, dict(drops))
    return lambda count: rate(count) * share(count)


def only_parameters(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """``tx`` for variables {"params": ..., "batch_stats": ...}: what is not learnt by descent stays as it is."""
    return optax.masked(tx, lambda variables: {name: name == "params" for name in variables})


def init_state(params: Any, tx: optax.GradientTransformation) -> TrainState:
    """A fresh state; the average starts at the parameters themselves."""
    return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), tx.init(params))


def noise_loss(eps_hat: Array, noise: Array, *, reduce: str = "mean", weight: Array | float = 1.0) -> Array:
    """Mean over the batch of weight |noise - eps_hat|^2, per image summed or averaged over its elements.

    Args:
      weight: of each image, scalar or [b].
      reduce: Deviation: "mean" (published "sum"), so that the loss and the decay that belongs to it mean the same
        at every image size.

    Raises:
      InputError: another ``reduce``.

    Source: Ho et al. 2020, Eq. 14; loss.py of the published code.
    """
    if reduce not in ("mean", "sum"):
        raise InputError(f"reduce = {reduce!r}: expected 'mean' or 'sum' (as published)")
    squared = (noise - eps_hat) ** 2
    per_image = squared.sum((1, 2, 3)) if reduce == "sum" else squared.mean((1, 2, 3))
    return (weight * per_image).mean()


def min_snr_weight(alpha_bar_t: Array, gamma: float) -> Array:
    """min(SNR, gamma) / SNR with SNR = alpha_bar / (1 - alpha_bar); the shape of ``alpha_bar_t``, in (0, 1].

    An error of eps moves the predicted clean image by 1 / sqrt(SNR) of it, so at small t it hardly shows,
    and yet it is largest there. Source: Hang et al. 2023 (Min-SNR-gamma), for noise prediction.

    >>> from ddad_jax.schedule import alpha_bar_table
    >>> [round(float(min_snr_weight(jnp.asarray(alpha_bar_table()[t]), 5.0)), 4) for t in (0, 100, 250)]
    [0.0005, 0.5857, 1.0]
    """
    snr = alpha_bar_t / (1.0 - alpha_bar_t)
    return jnp.minimum(snr, gamma) / snr


def loss_at(
    apply: Apply,
    params: Any,
    x: Image,
    t: Array,
    noise: Array,
    *,
    alpha_bar: Array,
    dropout_key: Array | None = None,
    reduce: str = "mean",
    min_snr: float = 0.0,
    weight: Callable[[Array], Array] | None = None,
) -> tuple[Array, Array]:
    """(loss, mean squared error over elements, unweighted) for given images [b, h, w, c], times [b] and noise.

    The rest as in ``train_step``.
    """
    a = alpha_bar_at(alpha_bar, t)
    eps_hat = apply(params, perturb(x, noise, a), t, dropout_key)
    by_time = (min_snr_weight(a, min_snr) if min_snr else 1.0) * (weight(a) if weight else 1.0)
    return noise_loss(eps_hat, noise, reduce=reduce, weight=by_time), ((eps_hat - noise) ** 2).mean()


def descend(
    state: TrainState,
    loss_fn: Callable[[Any], tuple[Array, Any]],
    *,
    tx: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[TrainState, dict[str, Array], Any]:
    """One update along the gradient of ``loss_fn``: params -> (loss, anything else it found).

    Args:
      ema_decay: see ``train_step``.

    Returns:
      the new state, {"loss", "grad_norm"} and what else was found. A loss that is not finite leaves the state as it
      was, step included, so that the caller can stop with the last good parameters.
    """
    (loss, found), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    before, updated = _updates(state.opt_state, state.step), _updates(opt_state, state.step + 1)
    decay = jnp.minimum(ema_decay, (1.0 + before) / (10.0 + before)) if ema_decay else 0.0
    # The average counts updates: a batch that is only accumulated leaves it, too.
    share = jnp.where(updated > before, 1.0 - decay, 0.0)
    ema = jax.tree.map(lambda e, p: e + share * (p - e), state.ema, params)
    grad_norm = optax.tree.norm(grads)
    good = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    moved = TrainState(state.step + 1, params, ema, opt_state)
    state = jax.tree.map(lambda new, old: jnp.where(good, new, old), moved, state)
    return state, {"loss": loss, "grad_norm": grad_norm}, found


def descend_variables(
    state: TrainState,
    loss_fn: Callable[[Any], tuple[Array, tuple[dict[str, Array], dict[str, Any]]]],
    *,
    tx: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[TrainState, dict[str, Array]]:
    """``descend`` of networks that keep running statistics: ``state.params`` are their variables, {"params": ...} and
    the collections that a forward pass changes, such as "batch_stats".

    Args:
      loss_fn: variables -> (loss, (figures [] by name, the changed collections)); its gradient is taken to parameters
        alone, and ``tx`` is ``only_parameters``.
      ema_decay: as of ``train_step``; of the statistics those before the update are averaged.

    Returns:
      the new state; {"loss", "grad_norm"} and the figures.
    """

    def learnt(variables: Any) -> tuple[Array, tuple[dict[str, Array], dict[str, Any]]]:
        # What a loss reads of statistics must not count in the gradient's norm, nor move their average.
        fixed = {name: jax.lax.stop_gradient(of) for name, of in variables.items() if name != "params"}
        return loss_fn({**fixed, "params": variables["params"]})

    new, metrics, (figures, changed) = descend(state, learnt, tx=tx, ema_decay=ema_decay)
    good = is_sound(metrics)
    kept = {name: jax.tree.map(lambda now, before: jnp.where(good, now, before), now, state.params[name])
            for name, now in changed.items()}  # fmt: skip
    return new._replace(params={**new.params, **kept}), {**metrics, **figures}


def _updates(opt_state: Any, step: Array) -> Array:
    """How many updates the parameters have had after ``step`` batches, int []."""
    opt_state = opt_state.inner_state if isinstance(opt_state, optax.MaskedState) else opt_state
    return opt_state.gradient_step if isinstance(opt_state, optax.MultiStepsState) else step


def train_step(
    state: TrainState,
    x: Image,
    key: Array,
    *,
    apply: Apply,
    tx: optax.GradientTransformation,
    alpha_bar: Array,
    t_max: int = T,
    ema_decay: float = 0.999,
    reduce: str = "mean",
    min_snr: float = 0.0,
    weight: Callable[[Array], Array] | None = None,
    draw: NoiseDraw | None = None,
) -> tuple[TrainState, dict[str, Array]]:
    """One update on a batch: t ~ U{0 .. t_max - 1} an image, fresh noise.

    Args:
      x: images [b, h, w, c] in [-1, 1].
      key: of the run; the step number is folded in, so a resumed run draws what an unbroken one would.
      apply, tx, alpha_bar: bound by the caller before ``jit``.
      t_max: Deviation: published 1000. Sampling starts at T' (250), so times far above it are never
        asked for; leaving them out spends the whole budget where it is used.
      ema_decay: Deviation: average of the parameters after each update n = 0, 1, ..., with the decay
        min(ema_decay, (1 + n) / (10 + n)); batches that are accumulated count as the one update they make. 0 keeps
        none (published).
      reduce: see ``noise_loss``.
      min_snr: Deviation: gamma of ``min_snr_weight``, 0 for equal weights; published 0. A short training
        learns the picture sooner when it does not spend itself on the noise of almost clean images.
      weight: alpha_bar_t [b] -> of each image's error of the noise [b], such as ``unet.output_weight``. Deviation:
        published none, all count alike.
      draw: of each image's noise, from a key of its own; None: white, drawn for the whole batch at once.

    Returns:
      the new state, and {"loss", "mse", "grad_norm"}; mse is the mean over elements, unweighted. A loss that is not
      finite changes nothing (``descend``).
    """
    t_key, noise_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step), 3)
    t = jax.random.randint(t_key, x.shape[:1], 0, t_max)
    if draw is None:
        noise = jax.random.normal(noise_key, x.shape)
    else:
        noise = jax.vmap(lambda key: draw(key, x.shape[1:]))(jax.random.split(noise_key, len(x)))

    def loss_fn(params: Any) -> tuple[Array, Array]:
        how: Any = {"alpha_bar": alpha_bar, "dropout_key": dropout_key, "reduce": reduce, "min_snr": min_snr}
        how |= {"weight": weight}
        return loss_at(apply, params, x, t, noise, **how)

    state, metrics, mse = descend(state, loss_fn, tx=tx, ema_decay=ema_decay)
    return state, {**metrics, "mse": mse}


def is_sound(metrics: dict[str, Array]) -> Array:
    """Whether an update's loss and gradient are finite, bool []."""
    return jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])


def update_while_sound(
    update: Callable[..., tuple[TrainState, dict[str, Array]]],
) -> Callable[..., tuple[TrainState, Array, dict[str, Array]]]:
    """(state, whether all before it were sound, what else ``update`` takes) -> (state, the same, metrics).

    Behind an update that was not sound none changes anything, so that many may be asked for before the first one's
    metrics are read.

    Args:
      update: (state, ...) -> (state, metrics); what is not finite must leave the state as it was.
    """

    def guarded(state: TrainState, sound: Array, *given: Any) -> tuple[TrainState, Array, dict[str, Array]]:
        new, metrics = update(state, *given)
        state = jax.tree.map(lambda now, before: jnp.where(sound, now, before), new, state)
        return state, sound & is_sound(metrics), metrics

    return guarded


def update_repeatedly(
    update: Callable[[TrainState, Array], tuple[TrainState, dict[str, Array]]],
    state: TrainState,
    count: Array | int,
    *,
    most: int,
    metrics: Sequence[str] = ("loss", "mse", "grad_norm"),
) -> tuple[TrainState, dict[str, Array], Array]:
    """``update(state, i)`` for i = 0, 1, ..., count - 1 in one program, until a loss or a gradient is not finite.

    Args:
      update: such as ``train_step`` on batch i; what is not finite must leave the state as it was.
      count: 1 .. most; traced, so that one program serves every number and each update is computed alike in all.
      most: bound before ``jit``. metrics: names of what ``update`` returns, scalars.

    Returns:
      the state; each metric [most]; how many updates were made, int [], the one that was not finite included. What
      stands behind these in the metrics is zero.
    """

    def go_on(at: tuple[Array, Array, TrainState, dict[str, Array]]) -> Array:
        done, sound, *_ = at
        return (done < count) & sound

    def one(at: tuple[Array, Array, TrainState, dict[str, Array]]) -> tuple[Any, ...]:
        i, _, state, rows = at
        state, found = update(state, i)
        rows = {name: row.at[i].set(found[name]) for name, row in rows.items()}
        return i + 1, is_sound(found), state, rows

    rows = {name: jnp.zeros(most, jnp.float32) for name in metrics}
    done, _, state, rows = jax.lax.while_loop(go_on, one, (jnp.zeros((), jnp.int32), jnp.asarray(True), state, rows))
    return state, rows, done


def validation_loss(
    params: Any,
    x: Image,
    valid: Array,
    keys: Array,
    *,
    apply: Apply,
    alpha_bar: Array,
    times: Array,
    draw: NoiseDraw = jax.random.normal,
) -> Array:
    """Mean squared error on held-out normal images at fixed times with noise fixed by each image's key.

    Args:
      x: [b, h, w, c]; valid: bool [b], False for padding; keys: [b]; times: int [k], the same for every image.
      draw: of the noise.

    Returns:
      [b, k] mean squared error an image and time, zero where not valid.
    """

    def at(t: Array) -> Array:
        noise = jax.vmap(lambda k: draw(jax.random.fold_in(k, t), x.shape[1:]))(keys)
        x_t = perturb(x, noise, alpha_bar_at(alpha_bar, t))
        return jnp.where(valid, ((apply(params, x_t, t, None) - noise) ** 2).mean((1, 2, 3)), 0.0)

    return jax.lax.map(at, times).T
