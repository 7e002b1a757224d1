"""The training loop: batches in, checkpoints and a history out; resumes where it was killed."""

import functools
import logging
import time
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.data import to_float
from ddad_jax.data.batches import batch_indices, image_seed, padded_batches
from ddad_jax.errors import InputError
from ddad_jax.train import TrainState, init_state, optimiser, train_step, validation_loss
from experiments.model import Data, alpha_bar, build_unet, init_params, train_apply
from experiments.tables import append_jsonl, read_jsonl, write_jsonl

log = logging.getLogger(__name__)


def trained(c: ConfigDict, workdir: Path, data: Data) -> Any:
    """The parameters to sample with (the moving average where there is one), training first what is missing.

    Stops after ``train.steps`` updates or ``train.max_minutes`` of training, kill and resume included.

    Raises:
      InputError: the loss became NaN or infinite. No saved parameters are beyond that point: every checkpoint
        has a finite validation loss, the first of them before the first step.
    """
    unet = build_unet(c)
    tx = optimiser(
        learning_rate=c.train.learning_rate,
        weight_decay=c.train.weight_decay,
        warmup_steps=c.train.warmup_steps,
        clip_norm=c.train.clip_norm,
        accumulate=c.train.accumulate,
    )
    fresh = init_state(init_params(unet, c.seed), tx)
    template = {"state": fresh, "seconds": np.zeros(()), "finished": np.zeros((), np.int32)}
    checkpoints = Checkpoints(workdir / "train")
    if checkpoints.steps():
        saved = checkpoints.restore(template)
        state, seconds, finished = saved["state"], float(saved["seconds"]), bool(saved["finished"])
    else:
        state, seconds, finished = fresh, 0.0, False
    if not finished:
        state = _train(c, workdir, data, unet, tx, jax.tree.map(jnp.asarray, state), seconds, checkpoints)
    return state.ema if c.train.ema_decay else state.params


def _train(
    c: ConfigDict,
    workdir: Path,
    data: Data,
    unet: Any,
    tx: Any,
    state: TrainState,
    seconds: float,
    checkpoints: Any,
) -> TrainState:
    apply = train_apply(unet)
    step_fn = jax.jit(
        functools.partial(
            train_step,
            apply=apply,
            tx=tx,
            alpha_bar=alpha_bar(),
            t_max=c.train.t_max,
            ema_decay=c.train.ema_decay,
            reduce=c.train.reduce,
            min_snr=c.train.min_snr,
        ),
        donate_argnums=0,
    )
    validate = _validator(c, apply, data.calibration.images)
    history = workdir / "train.jsonl"
    first = int(state.step)
    # Rows written after the checkpoint we resume from will be written again.
    write_jsonl(history, [row for row in read_jsonl(history) if row["step"] <= first] if history.exists() else [])

    size, n = c.train.batch_size, len(data.fit.labels)
    # Two micro-batches of one step must not draw the same images, so the micro-batch is what is counted.
    key = jax.random.key(c.seed + 1)
    limit = c.train.max_minutes * 60.0
    losses: list[float] = []
    resumed_at, mark_time, mark_step = time.perf_counter() - seconds, time.perf_counter(), first
    bar = tqdm(total=c.train.steps, initial=first, unit="step", desc="train", dynamic_ncols=True, mininterval=2.0)

    def save(finished: bool) -> None:
        elapsed = np.asarray(time.perf_counter() - resumed_at)
        checkpoints.save(
            int(state.step), {"state": state, "seconds": elapsed, "finished": np.asarray(finished, np.int32)}
        )

    def stop(step: int, found: str) -> NoReturn:
        bar.close()
        if np.isfinite(validate(state.ema if c.train.ema_decay else state.params)):
            save(finished=False)
        raise InputError(
            f"training stopped at step {step}: {found}. The last good parameters, of step "
            f"{checkpoints.steps()[-1]}, are saved in {checkpoints.folder}. "
            f"Lower --config.train.learning_rate (now {c.train.learning_rate}) in a new workdir"
        )

    if not checkpoints.steps():
        save(finished=False)
    for step in range(first, c.train.steps):
        images = data.fit.images[batch_indices(step, n, size, c.seed)]
        state, metrics = step_fn(state, to_float(_flipped(images, c.data.flips, c.seed, step)), key)
        losses.append(float(metrics["loss"]))
        if not np.isfinite(losses[-1]) or not np.isfinite(float(metrics["grad_norm"])):
            stop(step, f"the loss is {losses[-1]} (gradient norm {float(metrics['grad_norm'])})")
        done = step + 1
        last = done == c.train.steps or (limit and time.perf_counter() - resumed_at >= limit)
        to_log, to_validate, to_save = (
            last or done % c.train[every] == 0 for every in ("log_every", "validate_every", "checkpoint_every")
        )
        if to_log or to_validate or to_save:
            now = time.perf_counter()
            row = {
                "step": done,
                "loss": float(np.mean(losses)),
                "mse": float(metrics["mse"]),
                "grad_norm": float(metrics["grad_norm"]),
                "images_per_s": (done - mark_step) * size / (now - mark_time),
                "seconds": now - resumed_at,
            }
            if to_validate or to_save:
                row["validation_loss"] = validate(state.ema if c.train.ema_decay else state.params)
                if not np.isfinite(row["validation_loss"]):
                    stop(done, f"the validation loss is {row['validation_loss']}")
            append_jsonl(history, row)
            losses, mark_time, mark_step = [], time.perf_counter(), done
            shown = {k: f"{row[k]:.4g}" for k in ("loss", "validation_loss", "images_per_s") if k in row}
            bar.set_postfix(shown, refresh=False)
            if limit:
                # The time left is the limit's, not that of steps which will never be taken.
                rate = row["images_per_s"] / size
                bar.total = min(c.train.steps, done + int(rate * max(limit - row["seconds"], 0.0)))
        bar.update()
        if last:
            break
        if to_save:
            save(finished=False)
    bar.close()
    save(finished=True)
    log.info("trained %d steps in %.0f s", int(state.step), time.perf_counter() - resumed_at)
    return state


def _flipped(images: np.ndarray, flips: str, seed: int, step: int) -> np.ndarray:
    """Random mirror images, the same for the same seed and step. The papers augment nothing."""
    if not flips:
        return images
    coins = np.random.default_rng([seed, step, 1]).random((2, len(images))) < 0.5
    out = images.copy()
    if "h" in flips:
        out[coins[0]] = out[coins[0], :, ::-1]
    if "v" in flips:
        out[coins[1]] = out[coins[1], ::-1]
    return out


def _validator(c: ConfigDict, apply: Any, chosen: np.ndarray) -> Any:
    """params -> mean squared error on the held-out normal images at eight fixed times with fixed noise."""
    times = jnp.asarray(np.linspace(0, c.train.t_max - 1, 8).astype(np.int32))
    loss = jax.jit(functools.partial(validation_loss, apply=apply, alpha_bar=alpha_bar(), times=times))
    seeds = np.array([image_seed(image) for image in chosen], np.uint32)

    def validate(params: Any) -> float:
        total, count = 0.0, 0
        for at, valid in padded_batches(len(chosen), min(c.train.batch_size, len(chosen))):
            keys = jax.vmap(jax.random.key)(jnp.asarray(seeds[at]))
            errors = loss(params, to_float(chosen[at]), jnp.asarray(valid), keys)
            total, count = total + float(errors.sum()), count + int(valid.sum()) * len(times)
        return total / count

    return validate
