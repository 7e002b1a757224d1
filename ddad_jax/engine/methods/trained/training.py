"""One stage of a training: the networks of a method on batches of normal pictures, in ``loop.train_steps``.

Data-parallel over all devices of all hosts: every batch is cut over them, the state is copied to each.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.data import to_float
from ddad_jax.engine import hosts
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.batch_programs import copied_to_devices
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
from ddad_jax.engine.settings.training import TrainingSettings
from ddad_jax.engine.tracking import Write, silent
from ddad_jax.errors import InputError
from ddad_jax.mesh import copied, device_mesh
from ddad_jax.train import (
    TrainState,
    descend_variables,
    init_state,
    only_parameters,
)
from ddad_jax.types import Array, Variables

if TYPE_CHECKING:
    from ddad_jax.engine.methods.trained.method import TrainedMethod

JUDGED = "validation_loss"


def materials_of(method: "TrainedMethod", c: Any, stage: str, workdir: Path, data: Data) -> dict[str, Any] | None:
    """``TrainedMethod.materials`` of a stage that has not been begun; None of one that has.

    Raises:
      InputError: a batch that cannot be cut over the devices; materials that cannot be had.
    """
    if Checkpoints(workdir / stage).steps():
        return None
    require_cut(_section(c, stage).batch_size, f"{stage}.batch_size", device_mesh())
    return method.materials(c, stage, data)


def trained_stage(
    method: "TrainedMethod",
    c: Any,
    stage: str,
    before: Mapping[str, Variables],
    workdir: Path,
    data: Data,
    write: Write = silent,
    materials: Mapping[str, Any] | None = None,
) -> Variables:
    """The variables to judge with (their moving average where there is one), training first what is missing.

    Stops after ``steps`` updates or ``max_minutes`` of training, kill and resume included.

    Args:
      before: the variables of earlier stages. materials: ``materials_of`` it, where they were had before.

    Raises:
      InputError: a batch that cannot be cut over the devices; materials that cannot be had.
      InputError: the loss became NaN or infinite. No saved parameters are beyond that point.
    """
    s, checkpoints, together = _section(c, stage), Checkpoints(workdir / stage), hosts.several_processes()
    tx, mesh = _optimiser(method, c, stage), device_mesh()
    at = begun(_fresh(method, c, stage, tx), checkpoints, together=together)
    if not at.finished:
        require_cut(s.batch_size, f"{stage}.batch_size", mesh)
        # Once: arrays of the host would go to the device with every step.
        made = method.materials(c, stage, data) if materials is None else materials
        given = copied_to_devices({**made, **before}, mesh)
        at = at._replace(state=copied(at.state, mesh))
        with fed(
            method.shown(c, stage, data.fit.images), s.batch_size, c.seed, c.data.flips, c.device, mesh
        ) as pictures:
            task = _task(method, c, stage, data, given, tx, pictures, mesh)
            history = workdir / f"{stage}.jsonl"
            state = train_steps(task, s, at, checkpoints, history, together=together, write=write)
        at = at._replace(state=state)
    variables: Variables = used(s, at.state)
    # What comes next has devices of its own choice.
    return variables if mesh is None else jax.tree.map(np.asarray, variables)


def restored_stage(method: "TrainedMethod", c: Any, stage: str, workdir: Path) -> Variables:
    """The variables that ``trained_stage`` returned when the training ended; no picture is needed.

    Raises:
      InputError: it has not ended, or its checkpoint is of other networks.
    """
    s, checkpoints = _section(c, stage), Checkpoints(workdir / stage)
    tx = _optimiser(method, c, stage)
    at = begun(blank(lambda: _fresh(method, c, stage, tx)), checkpoints)
    if not at.finished:
        raise InputError(
            f"{checkpoints.folder}: holds no training that has ended; the sweep or the evaluation of this workdir ends "
            "it"
        )
    return used(s, at.state)


def _section(c: Any, stage: str) -> TrainingSettings:
    return getattr(c, stage)


def _optimiser(method: "TrainedMethod", c: Any, stage: str) -> optax.GradientTransformation:
    return only_parameters(optimiser_of(_section(c, stage), method.scaled(c, stage)))


def _keys(method: "TrainedMethod", c: Any, stage: str) -> tuple[Array, Array]:
    """Of the networks' first values, and of the steps; each stage has its own."""
    first, steps = jax.random.split(jax.random.fold_in(jax.random.key(c.seed), method.stages.index(stage)))
    return first, steps


def _fresh(method: "TrainedMethod", c: Any, stage: str, tx: optax.GradientTransformation) -> TrainState:
    key, _ = _keys(method, c, stage)
    return init_state(jax.jit(partial(method.init, c, stage))(key), tx)


def _update_fn(
    method: "TrainedMethod", c: Any, stage: str, tx: optax.GradientTransformation, mesh: Mesh | None
) -> Update:
    """Of a stage; it is handed its materials and the earlier stages' variables."""
    _, steps = _keys(method, c, stage)
    ema_decay = _section(c, stage).ema_decay

    def update(state: TrainState, given: Any, batches: Batches, i: Array) -> tuple[TrainState, dict[str, Array]]:
        # Of the step's number, so that a resumed run draws what an unbroken one would.
        x, key = batch_fn(batches, c.data.flips, mesh)(i), jax.random.fold_in(steps, state.step)
        return descend_variables(
            state, lambda variables: method.loss(c, stage, variables, given, x, key), tx=tx, ema_decay=ema_decay
        )

    return update


def _task(
    method: "TrainedMethod",
    c: Any,
    stage: str,
    data: Data,
    given: Any,
    tx: optax.GradientTransformation,
    pictures: Fed,
    mesh: Mesh | None,
) -> TrainingTask:
    s, figures = _section(c, stage), tuple(method.figures.get(stage, ()))
    update, metrics = _update_fn(method, c, stage, tx, mesh), ("loss", "grad_norm", *figures)
    validate = _validator(method, c, stage, method.shown(c, stage, data.validation.images), mesh)
    return TrainingTask(
        names=(stage, "training" if stage == "train" else f"training of the {stage}", "trained"),
        updates=updates_on(update, given, pictures, metrics, mesh),
        most=pictures.most,
        told=lambda metrics: {name: float(metrics[name]) for name in figures},
        examine=lambda variables: {JUDGED: validate((variables, given))},
        judged=(JUDGED, "validation loss"),
        mend=f"Lower --config.{stage}.learning_rate (now {s.learning_rate}) in a new workdir",
    )


def _validator(
    method: "TrainedMethod", c: Any, stage: str, chosen: np.ndarray, mesh: Mesh | None
) -> Callable[[tuple[Variables, Any]], float]:
    """(variables, what is handed) -> mean of ``TrainedMethod.validation`` over the held-out normal pictures."""

    def costs(weights: Any, x: Array, valid: Array, seeds: Array) -> Array:
        keys = jax.vmap(jax.random.key)(seeds)
        return jnp.where(valid, method.validation(c, stage, weights[0], weights[1], to_float(x), keys), 0.0)

    return mean_over(chosen, _section(c, stage).batch_size, mesh, costs)
