"""The training loop: batches in, checkpoints and a history out; resumes where it was killed.

Data-parallel over all devices of all hosts: every batch is cut over them, the state is copied to each.
"""

import logging
import time
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tqdm import tqdm

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.data import to_float
from ddad_jax.data.batches import batch_indices, image_seed, padded_batches
from ddad_jax.errors import InputError
from ddad_jax.mesh import copied, device_mesh, everywhere, jit_rows, own_rows, rounded_up, split
from ddad_jax.train import TrainState, init_state, optimiser, train_step, validation_loss
from ddad_jax.types import Array
from experiments import hosts
from experiments.model import Data, alpha_bar, build_unet, init_params, train_apply
from experiments.tables import append_jsonl, read_jsonl, write_jsonl

log = logging.getLogger(__name__)


def trained(c: ConfigDict, workdir: Path, data: Data) -> Any:
    """The parameters to sample with (the moving average where there is one), training first what is missing.

    Stops after ``train.steps`` updates or ``train.max_minutes`` of training, kill and resume included.

    Raises:
      InputError: a batch that cannot be cut over the devices.
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
    # All processes go on from what the first one sees.
    if steps := hosts.first("checkpoints", checkpoints.steps):
        saved = checkpoints.restore(template, steps[-1])
        state, seconds, finished = saved["state"], float(saved["seconds"]), bool(saved["finished"])
    else:
        state, seconds, finished = fresh, 0.0, False
    if not finished:
        state = _train(c, workdir, data, unet, tx, jax.tree.map(jnp.asarray, state), seconds, checkpoints)
    params = state.ema if c.train.ema_decay else state.params
    # What comes next has devices of its own choice.
    return params if device_mesh() is None else jax.tree.map(np.asarray, params)


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
    apply, mesh = train_apply(unet), device_mesh()
    size, n = c.train.batch_size, len(data.fit.labels)
    if size != rounded_up(size, mesh):
        raise InputError(
            f"--config.train.batch_size={size}: expected a multiple of the number of devices, which is "
            f"{rounded_up(1, mesh)}; or use other devices (--num_processes, CUDA_VISIBLE_DEVICES)"
        )
    own = own_rows(size, mesh)

    def step_on_batch(state: TrainState, x: Array) -> tuple[TrainState, dict[str, Array]]:
        return train_step(
            state,
            x,
            # Two micro-batches of one step must not draw the same noise, so the micro-batch is what is counted.
            jax.random.key(c.seed + 1),
            apply=apply,
            tx=tx,
            alpha_bar=alpha_bar(),
            t_max=c.train.t_max,
            ema_decay=c.train.ema_decay,
            reduce=c.train.reduce,
            min_snr=c.train.min_snr,
        )

    kept: Any = {"out_shardings": everywhere(mesh)} if mesh else {}
    step_fn = jax.jit(step_on_batch, donate_argnums=0, **kept)
    state = copied(state, mesh)
    validate = _validator(c, apply, data.calibration.images, mesh)
    history = workdir / "train.jsonl"
    first = int(state.step)
    if hosts.is_first():
        # Rows written after the checkpoint we resume from will be written again.
        write_jsonl(history, [row for row in read_jsonl(history) if row["step"] <= first])

    limit = c.train.max_minutes * 60.0
    losses: list[float] = []
    resumed_at, mark_time, mark_step = time.perf_counter() - seconds, time.perf_counter(), first
    bar = tqdm(
        total=c.train.steps, initial=first, unit="step", desc="train", dynamic_ncols=True, mininterval=2.0,
        disable=not hosts.is_first(),
    )  # fmt: skip

    def save(finished: bool) -> None:
        elapsed = np.asarray(time.perf_counter() - resumed_at)
        tree = {"state": state, "seconds": elapsed, "finished": np.asarray(finished, np.int32)}
        hosts.first("a checkpoint", lambda: checkpoints.save(int(state.step), tree))

    def late(done: int) -> bool:
        # The processes' clocks differ, but they must stop after the same step; asking costs them a round trip.
        asked = bool(limit) and (not hosts.several() or done % c.train.log_every == 0)
        return asked and hosts.first("the clock", lambda: time.perf_counter() - resumed_at >= limit)

    def stop(step: int, found: str) -> NoReturn:
        bar.close()
        if np.isfinite(validate(state.ema if c.train.ema_decay else state.params)):
            save(finished=False)
        raise InputError(
            f"training stopped at step {step}: {found}. The last good parameters, of step "
            f"{checkpoints.steps()[-1]}, are saved in {checkpoints.folder}. "
            f"Lower --config.train.learning_rate (now {c.train.learning_rate}) in a new workdir"
        )

    if not hosts.first("checkpoints", checkpoints.steps):
        save(finished=False)
    for step in range(first, c.train.steps):
        images = data.fit.images[batch_indices(step, n, size, c.seed)[own]]
        x = to_float(_flipped(images, c.data.flips, c.seed, step, own, size))
        state, metrics = step_fn(state, split(x, mesh))
        losses.append(float(metrics["loss"]))
        if not np.isfinite(losses[-1]) or not np.isfinite(float(metrics["grad_norm"])):
            stop(step, f"the loss is {losses[-1]} (gradient norm {float(metrics['grad_norm'])})")
        done = step + 1
        last = done == c.train.steps or late(done)
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
            if hosts.is_first():
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


def _flipped(
    images: np.ndarray, flips: str, seed: int, step: int, own: slice | None = None, size: int = 0
) -> np.ndarray:
    """Random mirror images, the same for the same seed and step. The papers augment nothing.

    images: a batch, or the rows ``own`` of one of ``size``.
    """
    if not flips:
        return images
    coins = np.random.default_rng([seed, step, 1]).random((2, size or len(images))) < 0.5
    coins = coins[:, own or slice(None)]
    out = images.copy()
    if "h" in flips:
        out[coins[0]] = out[coins[0], :, ::-1]
    if "v" in flips:
        out[coins[1]] = out[coins[1], ::-1]
    return out


def _validator(c: ConfigDict, apply: Any, chosen: np.ndarray, mesh: Mesh | None) -> Any:
    """params -> mean squared error on the held-out normal images at eight fixed times with fixed noise."""
    times = np.linspace(0, c.train.t_max - 1, 8).astype(np.int32)

    def errors_of(params: Any, x: Array, valid: Array, seeds: Array) -> Array:
        keys = jax.vmap(jax.random.key)(seeds)
        return validation_loss(params, x, valid, keys, apply=apply, alpha_bar=alpha_bar(), times=jnp.asarray(times))

    loss = jit_rows(errors_of, mesh)
    size = rounded_up(min(c.train.batch_size, len(chosen)), mesh)
    own = own_rows(size, mesh)
    seeds = np.array([image_seed(image) for image in chosen], np.uint32)

    def validate(params: Any) -> float:
        total, count = 0.0, 0
        for at, valid in padded_batches(len(chosen), size):
            ours = at[own]
            errors = loss(params, *split((to_float(chosen[ours]), valid[own], seeds[ours]), mesh))
            total, count = total + float(errors.sum()), count + int(valid.sum()) * len(times)
        return total / count

    return validate
