"""The adaptation loop: the feature extractor learns what reconstruction does to normal images.

One checkpoint an epoch; epoch 0 is the extractor as it came. Which epoch is used is decided by the contrast
measured on held-out normal images, or by how well the config's point finds synthetic defects with it, so adaptation
that does not help switches itself off.
"""

import functools
import logging
import math
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from ddad_jax.adapt import (
    AdaptState,
    PairShares,
    adapt_step,
    adaptation_optimiser,
    init_adapt,
    pair_shares,
    pairs,
    self_pairs,
)
from ddad_jax.checkpoint import Checkpoints
from ddad_jax.contrast import stop_epoch
from ddad_jax.data import to_float
from ddad_jax.data.split import spread
from ddad_jax.engine import stopping
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.backbone import build_backbone
from ddad_jax.engine.methods.ddad.criteria import criteria
from ddad_jax.engine.methods.ddad.networks import alpha_bar, build_unet, drawn_noise, eps_fn
from ddad_jax.engine.methods.ddad.points import adaptation_point
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.settings.need import value_at
from ddad_jax.engine.store import kept
from ddad_jax.engine.store.tables import append_jsonl, read_jsonl, write_jsonl
from ddad_jax.engine.tracking import Write, course_of, silent
from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint
from ddad_jax.sampler import noise_of, reconstruct
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS
from ddad_jax.types import Array, NoiseDraw, Variables
from ddad_jax.unet import UNet
from ddad_jax.weights import load_backbone

log = logging.getLogger(__name__)


def adapted(c: DDADSettings, workdir: Path, data: Data, params: Any, write: Write = silent) -> tuple[Variables, int]:
    """(variables of the extractor to score with, the epoch they are from), adapting first what is missing: nothing
    where no point looks at features.

    Raises:
      InputError: chosen.json does not say an epoch; the loss became NaN or infinite.
    """
    if c.adapts and not (workdir / "adapt" / "chosen.json").exists():
        original = load_backbone(c.backbone.name, c.backbone.weights or None)
        with stopping.saying(functools.partial(_saved, workdir)):
            _adapt(c, workdir, data, params, original, _epochs(workdir), write)
    return restored_extractor(c, workdir)


def restored_extractor(c: DDADSettings, workdir: Path) -> tuple[Variables, int]:
    """What ``adapted`` returns where nothing is missing; no data are needed.

    Raises:
      InputError: chosen.json is missing or does not say an epoch.
    """
    original = load_backbone(c.backbone.name, c.backbone.weights or None)
    if not c.adapt.epochs:
        return original, 0
    chosen_file = workdir / "adapt" / "chosen.json"
    # One that is there is used by those that do not look at it, too: rows of one workdir are of one extractor.
    if not (c.adapts or chosen_file.exists()):
        return original, 0
    if not chosen_file.exists():
        raise InputError(
            f"{chosen_file.parent}: holds no adaptation that has ended; python -m experiments.adapt ends it"
        )
    chosen = int(kept.read_content(chosen_file, {"epoch": int}, mend="Delete it to choose again")[0]["epoch"])
    if not chosen:
        return original, 0
    return jax.tree.map(jnp.asarray, _epochs(workdir).restore(original, chosen)), chosen


def _epochs(workdir: Path) -> Checkpoints:
    return Checkpoints(workdir / "adapt" / "epochs", keep=None)


def _states(workdir: Path) -> Checkpoints:
    return Checkpoints(workdir / "adapt" / "state", keep=1)


def _saved(workdir: Path) -> str:
    """What a signal leaves: steps within an epoch are not saved."""
    states = _states(workdir)
    last = states.steps()[-1] if states.steps() else 0
    return f"adaptation is saved up to epoch {last} in {states.folder.parent}; epoch {last + 1} begins anew"


def _adapt(
    c: DDADSettings, workdir: Path, data: Data, params: Any, original: Variables, epochs: Checkpoints, write: Write
) -> None:
    tx = adaptation_optimiser(learning_rate=c.adapt.learning_rate, weight_decay=c.adapt.weight_decay)
    step_fn = adaptation_program(c, tx)
    at = adaptation_point(c)
    unet, draw = build_unet(c.model, c.data.size, c.device), drawn_noise(c.model, c.data.size)
    sample = _sampler(unet, params, at, clip=c.sample.clip, draw=draw)
    states = _states(workdir)
    shares = _require_pairs(c, at, data, sample)
    measures, measured_at = criteria(c, data, params, at, sample)
    if measured_at:
        _require_judged_by(workdir / "adapt" / "judged_by.json", states, measured_at)
    decides = list(measures)[-1]
    history_file = workdir / "adapt.jsonl"
    state = init_adapt(original, tx)
    first = (states.steps() or [0])[-1]
    # The row of an epoch is written before its state, so it may be ahead of the state but never behind.
    rows = [row for row in read_jsonl(history_file) if row["epoch"] <= first]
    if first and [row["epoch"] for row in rows] == list(range(first + 1)):
        state = jax.tree.map(jnp.asarray, states.restore(state))
    else:
        states.clear()
        first, rows = 0, [{"epoch": 0, **{name: of(original) for name, of in measures.items()}, "seconds": 0.0}]
        write(0, {"adapt/begun": 1.0, **course_of("adapt", rows[0])})
    write_jsonl(history_file, rows)
    started = time.perf_counter() - rows[-1]["seconds"]
    limit = c.adapt.max_minutes * 60.0

    def best_and_stop() -> tuple[int, bool]:
        best, stop = stop_epoch([_number(r.get(decides)) for r in rows], patience=c.adapt.patience or c.adapt.epochs)
        late = bool(limit) and time.perf_counter() - started >= limit
        return (rows[-1]["epoch"] if c.adapt.choose == "last" else best), stop or late

    for epoch in range(first + 1, c.adapt.epochs + 1):
        # Asked before the epoch, so that a run killed after the last one does not begin another.
        if best_and_stop()[1]:
            break
        state, losses = _epoch(c, data, epoch, state, sample, functools.partial(step_fn, frozen_variables=original))
        with stopping.uninterrupted():
            epochs.save(epoch, state.variables)
        row = {
            "epoch": epoch,
            "loss": float(np.mean(losses)),
            **{name: of(state.variables) for name, of in measures.items()},
            "seconds": time.perf_counter() - started,
        }
        append_jsonl(history_file, row)
        write(epoch, course_of("adapt", row))
        with stopping.uninterrupted():
            states.save(epoch, state)
        rows.append(row)
        log.info(
            "adapt epoch %d: loss %.4f %s %.4f (best: epoch %d)",
            epoch, row["loss"], decides, row[decides], best_and_stop()[0],
        )  # fmt: skip
    best, _ = best_and_stop()
    pairs = {"pairs": c.adapt.pairs, "of_target": shares.target, "of_other": shares.other, "share": shares.share}
    chosen = {"epoch": best, "epochs_run": rows[-1]["epoch"], "tuning_images": _tuning_images(data), **pairs}
    kept.save_content(workdir / "adapt" / "chosen.json", chosen, {})


def _epoch(
    c: DDADSettings, data: Data, epoch: int, state: AdaptState, sample: Any, step_fn: Any
) -> tuple[AdaptState, list[float]]:
    """(the state after it, the loss of each step).

    Raises:
      InputError: one of them is not finite.
    """
    losses: list[float] = []

    def read(metrics: dict[str, Array]) -> None:
        losses.append(float(metrics["loss"]))
        if not np.isfinite(losses[-1]) or not np.isfinite(float(metrics["grad_norm"])):
            raise InputError(
                f"adaptation stopped in epoch {epoch}: the loss is {losses[-1]} (gradient norm "
                f"{float(metrics['grad_norm'])}). Epochs up to {epoch - 1} are saved. "
                f"Lower --config.adapt.learning_rate (now {c.adapt.learning_rate}) in a new workdir"
            )

    targets, inputs = _pairs(c, data, epoch)
    of_epoch, unread = jax.random.fold_in(jax.random.key(c.seed + 2), epoch), []
    steps = enumerate(zip(targets, inputs, strict=True))
    for step, (to, of) in tqdm(steps, total=len(targets), desc=f"adapt {epoch}", unit="step", mininterval=2.0):
        y, x = to_float(data.fit.images[to]), to_float(data.fit.images[of])
        x0 = sample(x, y, jax.random.split(jax.random.fold_in(of_epoch, step), len(x)))
        state, metrics = step_fn(state, x0, y)
        # The device has this step to do while the one before is looked at: nothing of an epoch is saved before its end.
        unread.append(metrics)
        if len(unread) > 1:
            read(unread.pop(0))
    for metrics in unread:
        read(metrics)
    return state, losses


def adaptation_program(c: DDADSettings, tx: optax.GradientTransformation) -> Any:
    """``adapt_step`` compiled; the state is given up."""
    how: Any = {name: c.adapt[name] for name in ("lambda_dl", "batch_norm")}
    how |= {"backbone": build_backbone(c.backbone), "feature_size": c.backbone.feature_size or None}
    return jax.jit(functools.partial(adapt_step, tx=tx, **how), donate_argnums=0)


def _pairs(c: DDADSettings, data: Data, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets and what is reconstructed towards each, [steps, pairs] each."""
    n, how = len(data.fit.labels), {"epoch": epoch, "seed": c.seed}
    if c.adapt.pairs == "other":
        return pairs(n, 2 * c.adapt.batch_size, **how)
    both = self_pairs(n, c.adapt.batch_size, **how)
    return both, both


def _require_pairs(c: DDADSettings, at: ReconPoint, data: Data, sample: Any) -> PairShares:
    """How much of its target the reconstruction of a pair shows, over the first LOOKED_AT pairs.

    Raises:
      InputError: too little for ``adapt.least_share``.
    """
    targets, inputs = (part[: -(-LOOKED_AT // part.shape[1])] for part in _pairs(c, data, 1))
    y, x = (np.asarray(to_float(data.fit.images[part.ravel()])) for part in (targets, inputs))
    keys = jax.random.split(jax.random.key(c.seed + 2), len(y)).reshape(targets.shape)
    steps = zip(x.reshape(*inputs.shape, *x.shape[1:]), y.reshape(*targets.shape, *y.shape[1:]), keys, strict=True)
    x0 = np.concatenate([np.asarray(sample(jnp.asarray(of), jnp.asarray(to), own)) for of, to, own in steps])
    mean = np.asarray(to_float(data.fit.images[spread(len(data.fit.labels), 256)])).mean(0)
    # What begins from its target is held against an unrelated picture: the pair beside it.
    shares = pair_shares(x0, y, np.roll(y, 1, axis=0) if c.adapt.pairs == "self" else x, mean)
    log.info(
        "the pairs of adaptation (%s) show %.2f of their target and %.2f of %s: a share of %.0f %%",
        c.adapt.pairs, shares.target, shares.other, _OTHER[c.adapt.pairs], 100 * shares.share,
    )  # fmt: skip
    if shares.share < c.adapt.least_share:
        flags = [f"adapt.{name}" for name in ("w", "t_prime", "steps")]
        mend = "--config.adapt.pairs=self, or w = 3, T' = 250 and 10 steps as published"
        if c.adapt.pairs == "self":
            flags = ["adapt.pairs", "sample.w", "sample.t_prime"]
            mend = "an earlier T', a larger w, or a longer training"
        named = " ".join(f"--config.{flag}={value_at(c, flag)}" for flag in flags)
        raise InputError(
            f"{named}: the reconstructions that adaptation learns from show {shares.target:.2f} of their target and "
            f"{shares.other:.2f} of {_OTHER[c.adapt.pairs]}, a share of {shares.share:.0%}; expected at least "
            f"{c.adapt.least_share:.0%} (--config.adapt.least_share): {mend}, or --config.adapt.epochs=0. The training "
            "is kept"
        )
    return shares


LOOKED_AT = 24
"""Pairs on which it is measured how much of their targets they show."""
_OTHER = {"other": "the picture they began from", "self": "an unrelated picture"}


def _tuning_images(data: Data) -> int:
    return 0 if data.tuning is None else len(data.tuning.labels)


def adaptation_record(workdir: Path) -> dict[str, Any]:
    """What chosen.json says of an adaptation that has ended; {} without one. One of an earlier version says an epoch
    alone."""
    file = workdir / "adapt" / "chosen.json"
    return kept.read_content(file)[0] if file.exists() else {}


def _require_judged_by(file: Path, states: Checkpoints, judged: dict[str, Any]) -> None:
    """Epochs are compared at one point and on one set of pictures: with others, adaptation begins anew."""
    if states.steps() and kept.load_content(file, judged) is None:
        log.warning("%s: the first epochs were judged at another point or on other pictures, so all begin anew", file)
        states.clear()
    kept.save_content(file, {}, judged)


def _number(value: float | None) -> float:
    """The journal says null for NaN."""
    return float("nan") if value is None else float(value)


def _sampler(unet: UNet, params: Any, at: ReconPoint, *, clip: bool, draw: NoiseDraw) -> Any:
    """(x, y, keys) -> x0 at the point, one compilation a number of pictures."""
    grid: Any = GRIDS[at.grid](at.t_prime, at.steps)
    how: Any = {name: getattr(at, name) for name in ("w", "eta", "start_noise", "fade")}
    how |= {"blend_max": at.blend_max or math.inf, "solver": SOLVERS[at.solver]}

    @jax.jit
    def sample(params: Any, x: Array, y: Array, keys: Array) -> Array:
        network, noise_fn = eps_fn(unet, params), noise_of(keys, x.shape[1:], draw)
        x0 = reconstruct(network, x, y, grid, alpha_bar=alpha_bar(), noise_fn=noise_fn, **how)
        return jnp.clip(x0, -1.0, 1.0) if clip else x0

    return functools.partial(sample, jax.tree.map(jnp.asarray, params))
