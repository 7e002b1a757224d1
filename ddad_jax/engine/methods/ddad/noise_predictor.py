"""Training: the noise predictor on batches of normal pictures, in ``loop.train_steps``.

Data-parallel over all devices of all hosts: every batch is cut over them, the state is copied to each.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.data import to_float
from ddad_jax.data.batches import image_seed, padded_batches
from ddad_jax.engine import hosts
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.networks import (
    alpha_bar,
    build_unet,
    drawn_noise,
    init_params,
    train_apply,
    train_with_prior,
    with_prior,
)
from ddad_jax.engine.methods.ddad.prior import fitted_prior, restored_prior
from ddad_jax.engine.methods.ddad.sections import DDADSettings, ModelSettings, TrainSettings
from ddad_jax.engine.methods.loop import (
    TrainingTask,
    asked_in_turn,
    begun,
    blank,
    optimiser_of,
    require_cut,
    train_steps,
    used,
)
from ddad_jax.engine.methods.training_pictures import Batches, Fed, batch_fn, fed
from ddad_jax.engine.tracking import Write, silent
from ddad_jax.errors import InputError
from ddad_jax.gaussian_prior import PicturePrior
from ddad_jax.gaussian_skip import reach
from ddad_jax.mesh import copied, device_mesh, everywhere, jit_rows, own_rows, rounded_up, shard_rows
from ddad_jax.train import TrainState, init_state, train_step, update_repeatedly, update_while_sound, validation_loss
from ddad_jax.types import Array
from ddad_jax.unet import output_weight


def trained(c: DDADSettings, workdir: Path, data: Data, write: Write = silent) -> Any:
    """The parameters to sample with (the moving average where there is one), training first what is missing; with
    ``model.prior`` those of the Gaussian among them (``networks.with_prior``), and without steps those alone.

    Stops after ``train.steps`` updates or ``train.max_minutes`` of training, kill and resume included.

    Raises:
      InputError: a batch that cannot be cut over the devices.
      InputError: the loss became NaN or infinite. No saved parameters are beyond that point: every checkpoint
        has a finite validation loss, the first of them before the first step.
    """
    if c.adapts and c.adapt.pairs == "other" and data.n_fit < 2:
        raise InputError(
            f"{data.name}: {data.n_fit} normal picture is left to train on, and domain adaptation pairs different "
            "ones: expected at least 3 normal pictures in all, --config.adapt.pairs=self or --config.adapt.epochs=0"
        )
    prior = fitted_prior(c, workdir, data)
    if not c.train.steps:
        return with_prior(prior, None)
    unet, s, checkpoints = build_unet(c.model, c.data.size, c.device), c.train, Checkpoints(workdir / "train")
    tx, mesh, together = optimiser_of(s), device_mesh(), hosts.several_processes()
    at = begun(init_state(init_params(unet, c.seed), tx), checkpoints, together=together)
    if not at.finished:
        require_cut(s.batch_size, "train.batch_size", mesh)
        at = at._replace(state=copied(at.state, mesh))
        how: Any = {"together": together, "write": write}
        with fed(data.fit.images, s.batch_size, c.seed, c.data.flips, c.device, mesh) as pictures:
            task = _task(c, data, train_apply(unet), tx, pictures, mesh, copied(prior, mesh))
            at = at._replace(state=train_steps(task, s, at, checkpoints, workdir / "train.jsonl", **how))
    params = with_prior(prior, used(s, at.state))
    # What comes next has devices of its own choice.
    return params if mesh is None else jax.tree.map(np.asarray, params)


def restored_params(c: DDADSettings, workdir: Path) -> Any:
    """The parameters that ``trained`` returned when the training ended; nothing is trained, no data are needed.

    Raises:
      InputError: it has not ended, or its checkpoint is of another network.
    """
    prior = restored_prior(c, workdir)
    if not c.train.steps:
        return with_prior(prior, None)
    unet, tx = build_unet(c.model, c.data.size, c.device), optimiser_of(c.train)
    checkpoints = Checkpoints(workdir / "train")
    at = begun(blank(lambda: init_state(init_params(unet, c.seed), tx)), checkpoints)
    if not at.finished:
        raise InputError(f"{checkpoints.folder}: holds no training that has ended; python -m experiments.train ends it")
    return with_prior(prior, used(c.train, at.state))


Weight = Callable[[Array], Array]
"""alpha_bar_t -> what a squared error of the noise is multiplied by."""


def _weight(s: TrainSettings, m: ModelSettings, prior: PicturePrior | None) -> Weight | None:
    """None for 1."""
    if s.error == "noise":
        return None
    if prior is not None:
        return lambda a: 1.0 / jnp.square(reach(prior, a))
    return functools.partial(output_weight, predict=m.predict, sigma_data=m.sigma_data)


def _update_fn(c: DDADSettings, network: Any, tx: Any, mesh: Mesh | None) -> Callable[..., Any]:
    """(state, Gaussian or None, batches, i) -> (state, metrics): an update on batch i. The Gaussian is handed to the
    program: it may be large, and is in memory once."""
    how: Any = {name: c.train[name] for name in ("t_max", "ema_decay", "reduce", "min_snr")}
    how |= {"tx": tx, "alpha_bar": alpha_bar()}
    if c.model.noise != "gaussian":
        how |= {"draw": drawn_noise(c.model, c.data.size)}

    def update(
        state: TrainState, prior: PicturePrior | None, batches: Batches, i: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        # Two micro-batches of one step must not draw the same noise, so the micro-batch is what is counted.
        key, apply = jax.random.key(c.seed + 1), train_with_prior(prior, network)
        batch = batch_fn(batches, c.data.flips, mesh)(i)
        return train_step(state, batch, key, apply=apply, weight=_weight(c.train, c.model, prior), **how)

    return update


def training_program(c: DDADSettings, network: Any, tx: Any, mesh: Mesh | None = None) -> Any:
    """(state, whether all before it were sound, Gaussian, batches, i) -> (state, the same, metrics), compiled; gives up
    the state."""
    return jax.jit(update_while_sound(_update_fn(c, network, tx, mesh)), donate_argnums=0, **_kept(mesh))


def looped_program(c: DDADSettings, network: Any, tx: Any, most: int, mesh: Mesh | None = None) -> Any:
    """(state, Gaussian, batches, how many) -> (state, metrics [most], updates made), compiled; gives the state up."""
    update = _update_fn(c, network, tx, mesh)

    def updates(
        state: TrainState, prior: PicturePrior | None, batches: Batches, count: Array
    ) -> tuple[TrainState, dict[str, Array], Array]:
        return update_repeatedly(lambda state, i: update(state, prior, batches, i), state, count, most=most)

    return jax.jit(updates, donate_argnums=0, **_kept(mesh))


def _kept(mesh: Mesh | None) -> dict[str, Any]:
    return {"out_shardings": everywhere(mesh)} if mesh else {}


def _loops() -> bool:
    """Whether the device is asked for many updates in one program: on a CPU XLA computes the convolutions of a loop's
    body some thirty times slower, so there the host asks for one after the other, without waiting."""
    return jax.default_backend() != "cpu"


def _task(
    c: DDADSettings, data: Data, network: Any, tx: Any, pictures: Fed, mesh: Mesh | None, prior: PicturePrior | None
) -> TrainingTask:
    loops, at_first = _loops(), copied(np.asarray(True), mesh)
    program = looped_program(c, network, tx, pictures.most, mesh) if loops else training_program(c, network, tx, mesh)
    validate = _validator(c, network, prior, data.validation.images, mesh)

    def looped(state: TrainState, first: int, count: int) -> tuple[TrainState, dict[str, np.ndarray]]:
        state, metrics, done = program(state, prior, pictures.batches(first, count), count)
        metrics, made = jax.device_get((metrics, done))
        return state, {name: rows[:made] for name, rows in metrics.items()}

    def one_by_one(state: TrainState, first: int, count: int) -> tuple[TrainState, dict[str, np.ndarray]]:
        batches = pictures.batches(first, count)
        return asked_in_turn(program, state, at_first, ((prior, batches.only(i), i) for i in range(count)))

    return TrainingTask(
        names=("train", "training", "trained"),
        updates=looped if loops else one_by_one,
        most=pictures.most,
        told=lambda metrics: {"mse": float(metrics["mse"])},
        examine=lambda params: {"validation_loss": validate(params)},
        judged=("validation_loss", "validation loss"),
        mend=f"Lower --config.train.learning_rate (now {c.train.learning_rate}) in a new workdir",
    )


def _validator(c: DDADSettings, network: Any, prior: PicturePrior | None, chosen: np.ndarray, mesh: Mesh | None) -> Any:
    """params -> mean squared error on the held-out normal images at eight fixed times with fixed noise."""
    s, draw = c.train, drawn_noise(c.model, c.data.size)
    times = np.linspace(0, s.t_max - 1, 8).astype(np.int32)

    def errors_of(weights: Any, x: Array, valid: Array, seeds: Array) -> Array:
        keys = jax.vmap(jax.random.key)(seeds)
        how: Any = {"alpha_bar": alpha_bar(), "times": jnp.asarray(times), "draw": draw}
        params, prior = weights
        return validation_loss(params, to_float(x), valid, keys, apply=train_with_prior(prior, network), **how)

    loss = jit_rows(errors_of, mesh)
    size = rounded_up(min(s.batch_size, len(chosen)), mesh)
    own = own_rows(size, mesh)
    seeds = np.array([image_seed(image) for image in chosen], np.uint32)

    def validate(params: Any) -> float:
        batches = [(at[own], valid[own]) for at, valid in padded_batches(len(chosen), size)]
        # All of them are under way before the first one is read.
        errors = [loss((params, prior), *shard_rows((chosen[at], valid, seeds[at]), mesh)) for at, valid in batches]
        return sum(float(each.sum()) for each in errors) / (len(chosen) * len(times))

    return validate
