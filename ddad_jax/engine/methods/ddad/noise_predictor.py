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
    begun,
    blank,
    optimiser_of,
    require_cut,
    train_steps,
    used,
)
from ddad_jax.engine.methods.training_pictures import Batches, Fed, batch_fn, fed
from ddad_jax.engine.methods.updates import Update, mean_over, updates_on
from ddad_jax.engine.tracking import Write, silent
from ddad_jax.errors import InputError
from ddad_jax.gaussian_prior import PicturePrior
from ddad_jax.gaussian_skip import reach
from ddad_jax.mesh import copied, device_mesh
from ddad_jax.train import TrainState, init_state, train_step, validation_loss
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


def update_fn(c: DDADSettings, network: Any, tx: Any, mesh: Mesh | None = None) -> Update:
    """Of the noise predictor; it is handed the Gaussian, or None."""
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


def _task(
    c: DDADSettings, data: Data, network: Any, tx: Any, pictures: Fed, mesh: Mesh | None, prior: PicturePrior | None
) -> TrainingTask:
    validate = _validator(c, network, data.validation.images, mesh)
    return TrainingTask(
        names=("train", "training", "trained"),
        updates=updates_on(update_fn(c, network, tx, mesh), prior, pictures, ("loss", "mse", "grad_norm"), mesh),
        most=pictures.most,
        told=lambda metrics: {"mse": float(metrics["mse"])},
        examine=lambda params: {"validation_loss": validate((params, prior))},
        judged=("validation_loss", "validation loss"),
        mend=f"Lower --config.train.learning_rate (now {c.train.learning_rate}) in a new workdir",
    )


def _validator(
    c: DDADSettings, network: Any, chosen: np.ndarray, mesh: Mesh | None
) -> Callable[[tuple[Any, PicturePrior | None]], float]:
    """(params, Gaussian) -> mean squared error on the held-out normal images at eight fixed times with fixed noise."""
    draw, times = drawn_noise(c.model, c.data.size), np.linspace(0, c.train.t_max - 1, 8).astype(np.int32)

    def errors_of(weights: Any, x: Array, valid: Array, seeds: Array) -> Array:
        keys = jax.vmap(jax.random.key)(seeds)
        how: Any = {"alpha_bar": alpha_bar(), "times": jnp.asarray(times), "draw": draw}
        params, prior = weights
        return validation_loss(params, to_float(x), valid, keys, apply=train_with_prior(prior, network), **how)

    return mean_over(chosen, c.train.batch_size, mesh, errors_of)
