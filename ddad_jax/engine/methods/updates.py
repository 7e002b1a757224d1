"""A training's updates and its figure on held-out pictures as programs, whatever is trained."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ddad_jax.data.batches import image_seed, padded_batches
from ddad_jax.engine.methods.loop import asked_in_turn
from ddad_jax.engine.methods.training_pictures import Batches, Fed
from ddad_jax.mesh import copied, everywhere, jit_rows, own_rows, rounded_up, shard_rows
from ddad_jax.train import TrainState, update_repeatedly, update_while_sound
from ddad_jax.types import Array

Update = Callable[[TrainState, Any, Batches, Array], tuple[TrainState, dict[str, Array]]]
"""(state, what a training hands to its program besides, batches, i) -> (state, metrics): an update on batch i. What is
handed may be large, and is in memory once."""


def training_program(update: Update, mesh: Mesh | None = None) -> Any:
    """(state, whether all before it were sound, what is handed, batches, i) -> (state, the same, metrics), compiled;
    gives up the state."""
    return jax.jit(update_while_sound(update), donate_argnums=0, out_shardings=everywhere(mesh) if mesh else None)


def looped_program(update: Update, most: int, metrics: Sequence[str], mesh: Mesh | None = None) -> Any:
    """(state, what is handed, batches, how many) -> (state, metrics [most], updates made), compiled; gives the state
    up."""

    def updates(state: TrainState, given: Any, batches: Batches, count: Array) -> Any:
        return update_repeatedly(
            lambda state, i: update(state, given, batches, i), state, count, most=most, metrics=metrics
        )

    return jax.jit(updates, donate_argnums=0, out_shardings=everywhere(mesh) if mesh else None)


def loops() -> bool:
    """Whether the device is asked for many updates in one program: on a CPU XLA computes the convolutions of a loop's
    body some thirty times slower, so there the host asks for one after the other, without waiting."""
    return jax.default_backend() != "cpu"


def updates_on(
    update: Update, given: Any, pictures: Fed, metrics: Sequence[str], mesh: Mesh | None
) -> Callable[[TrainState, int, int], tuple[TrainState, dict[str, np.ndarray]]]:
    """``TrainingTask.updates``; metrics: what ``update`` returns, scalars."""
    at_once, at_first = loops(), copied(np.asarray(True), mesh)
    program = looped_program(update, pictures.most, metrics, mesh) if at_once else training_program(update, mesh)

    def looped(state: TrainState, first: int, count: int) -> tuple[TrainState, dict[str, np.ndarray]]:
        state, rows, done = program(state, given, pictures.batches(first, count), count)
        rows, made = jax.device_get((rows, done))
        return state, {name: row[:made] for name, row in rows.items()}

    def one_by_one(state: TrainState, first: int, count: int) -> tuple[TrainState, dict[str, np.ndarray]]:
        batches = pictures.batches(first, count)
        return asked_in_turn(program, state, at_first, ((given, batches.only(i), i) for i in range(count)))

    return looped if at_once else one_by_one


def mean_over(
    images: np.ndarray, batch_size: int, mesh: Mesh | None, costs: Callable[[Any, Array, Array, Array], Array]
) -> Callable[[Any], float]:
    """weights -> the mean of ``costs`` over held-out pictures.

    Args:
      images: uint8 [n, h, w, c].
      costs: (weights, uint8 [b, h, w, c], bool [b], uint32 [b]) -> [b, ...], zero where the picture is padding;
        numbers: of what each picture's own draws are made.
    """
    program, size = jit_rows(costs, mesh), rounded_up(min(batch_size, len(images)), mesh)
    own, seeds = own_rows(size, mesh), np.array([image_seed(image) for image in images], np.uint32)

    def mean(weights: Any) -> float:
        batches = [(at[own], valid[own]) for at, valid in padded_batches(len(images), size)]
        # All of them are under way before the first one is read.
        rows = [program(weights, *shard_rows((images[at], valid, seeds[at]), mesh)) for at, valid in batches]
        return sum(float(row.sum()) for row in rows) / (len(images) * int(np.prod(rows[0].shape[1:])))

    return mean
