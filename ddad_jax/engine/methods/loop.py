"""The loop of every training: updates in, checkpoints and a history out; resumes where it was killed."""

import logging
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from tqdm import tqdm

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.engine import hosts, stopping
from ddad_jax.engine.settings.training import TrainingSettings
from ddad_jax.engine.store.tables import append_jsonl, read_jsonl, write_jsonl
from ddad_jax.engine.tracking import Write, course_of, silent
from ddad_jax.errors import InputError
from ddad_jax.mesh import rounded_up
from ddad_jax.train import TrainState, optimiser

log = logging.getLogger(__name__)
AT_ONCE_S = 1.0
"""About so long the device works unasked: a signal, the clock and the history wait for it."""


class TrainingTask(NamedTuple):
    """What is learnt, to the loop that knows nothing of it.

    updates: (state, number of the first step, from 0, how many) -> (state, metrics of each, [n, ...]), "loss" and
    "grad_norm" [n] among these. The first update that is not finite changes nothing, nor does any behind it; metrics
    may end with it. most: updates at once.
    told: metrics of one update -> what else the history says of them.
    examine: parameters -> figures on held-out pictures; ``judged`` is the name of the one that is shown, and words.
    names: of the work, as "train", "training", "trained". mend: what a user can change where it diverges.
    from_zero: the history begins with the figures before the first step.
    """

    names: tuple[str, str, str]
    updates: Callable[[TrainState, int, int], tuple[TrainState, dict[str, np.ndarray]]]
    most: int
    told: Callable[[dict[str, Any]], dict[str, float]]
    examine: Callable[[Any], dict[str, float]]
    judged: tuple[str, str]
    mend: str
    from_zero: bool = False


class Begun(NamedTuple):
    """A training so far. seconds: it took."""

    state: TrainState
    seconds: float
    finished: bool


def optimiser_of(
    s: TrainingSettings, scaled: optax.GradientTransformation | None = None
) -> optax.GradientTransformation:
    """``train.optimiser`` of a section of the config; scaled: as there."""
    names = ("learning_rate", "weight_decay", "warmup_steps", "clip_norm", "accumulate", "drops")
    return optimiser(**{name: s[name] for name in names}, scaled=scaled)


def require_cut(batch_size: int, name: str, mesh: Mesh | None) -> None:
    """A batch, of the setting ``name``, must be one that can be cut over the devices.

    Raises:
      InputError: it is not.
    """
    if batch_size != rounded_up(batch_size, mesh):
        raise InputError(
            f"--config.{name}={batch_size}: expected a multiple of the number of devices, which is "
            f"{rounded_up(1, mesh)}; or use other devices (--num_processes, CUDA_VISIBLE_DEVICES)"
        )


def learning_rate(s: TrainingSettings, step: int) -> float:
    """That of step ``step`` (from 0), as ``train.optimiser`` has it: an update is of ``accumulate`` steps."""
    update = step // s.accumulate
    warmed = update / s.warmup_steps if s.warmup_steps else 1.0
    dropped = math.prod(factor for at, factor in s.drops.items() if update >= at)
    return float(s.learning_rate * min(1.0, warmed) * dropped)


def used(s: TrainingSettings, state: TrainState) -> Any:
    """The parameters to sample with: the moving average where there is one."""
    return state.ema if s.ema_decay else state.params


def asked_in_turn(
    program: Callable[..., Any], state: TrainState, sound: Any, given: Iterable[tuple[Any, ...]]
) -> tuple[TrainState, dict[str, np.ndarray]]:
    """One update for each of ``given``, all asked of the device before the first one's metrics are read.

    Args:
      program: ``train.update_while_sound``, compiled. sound: True, on its devices.

    Returns:
      as of ``TrainingTask.updates``.
    """
    every = []
    for own in given:
        state, sound, metrics = program(state, sound, *own)
        every.append(metrics)
    return state, jax.tree.map(lambda *rows: np.stack(rows), *jax.device_get(every))


def blank(made: Callable[[], TrainState]) -> TrainState:
    """A state of the shapes that ``made`` would return, for ``begun`` to fill where there is a checkpoint: nothing is
    drawn and nothing compiled."""
    return jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), jax.eval_shape(made))


def begun(fresh: TrainState, checkpoints: Checkpoints, *, together: bool = False) -> Begun:
    """What the newest checkpoint holds, or ``fresh``; together: as in ``train_steps``."""
    # All processes go on from what the first one sees.
    steps = _asking(together)("checkpoints", checkpoints.steps)
    if not steps:
        return Begun(fresh, 0.0, False)
    saved = checkpoints.restore(_tree(fresh, 0.0, False), steps[-1])
    return Begun(saved["state"], float(saved["seconds"]), bool(saved["finished"]))


def train_steps(
    course: TrainingTask,
    s: TrainingSettings,
    at: Begun,
    checkpoints: Checkpoints,
    history: Path,
    *,
    together: bool = False,
    write: Write = silent,
) -> TrainState:
    """Update after update from ``at`` to ``s.steps``, or for ``s.max_minutes`` of training, kill and resume
    included; what comes before the first update (compiling it, above all) does not count.

    Args:
      s: steps, max_minutes, batch_size, ema_decay, log_every, validate_every and checkpoint_every.
      together: all processes of the run take part in every step; the first one writes.
      write: is told every row of the history.

    The device is asked for many updates at once, as many as it makes in about a second, but never beyond the next row,
    figure or checkpoint. A signal that asks the program to end is heeded behind those at hand, whose parameters are
    saved first. Checkpoints are written beside the training; all are there when this returns or raises.

    Raises:
      InputError: the loss or a held-out figure became NaN or infinite. No saved parameters are beyond that point:
        every checkpoint has finite figures, the first of them before the first step.
    """
    # Several processes would all have to hear of a signal after the same step: theirs is the checkpoint before.
    with stopping.deferred(not hosts.several_processes()) as signalled:
        try:
            return _descend(course, s, at, checkpoints, history, together, write, signalled)
        finally:
            checkpoints.wait()


def _descend(
    course: TrainingTask,
    s: TrainingSettings,
    at: Begun,
    checkpoints: Checkpoints,
    history: Path,
    together: bool,
    write: Write,
    signalled: Callable[[], int],
) -> TrainState:
    """``train_steps``; signalled: the signal that asks to end, 0 as long as none did."""
    state, first, limit = jax.tree.map(jnp.asarray, at.state), int(at.state.step), s.max_minutes * 60.0
    (short, doing, done_with), (judged, in_words) = course.names, course.judged
    ask, writes = _asking(together), not together or hosts.is_first()
    losses: list[float] = []
    pace = 0.0  # seconds an update, of those made last
    resumed_at, mark_time, mark_step = time.perf_counter() - at.seconds, time.perf_counter(), first
    bar = tqdm(
        total=s.steps, initial=first, unit="step", desc=short, dynamic_ncols=True, mininterval=2.0, disable=not writes
    )

    def save(finished: bool) -> None:
        tree = _tree(state, time.perf_counter() - resumed_at, finished)
        # What comes behind the training may read the last one.
        write_it = checkpoints.save if finished else checkpoints.begin
        ask("a checkpoint", lambda: write_it(int(state.step), tree))

    def at_once(done: int) -> int:
        """How many updates to ask for next."""
        often = (s.log_every, s.validate_every, s.checkpoint_every)
        most = min(course.most, s.steps - done, *(every - done % every for every in often))
        if done == first or together:
            # The first one is compiled before it is made. The clocks of several processes would not agree.
            return most if together else 1
        if not pace:
            return 1
        left = limit - (time.perf_counter() - resumed_at) if limit else AT_ONCE_S
        return max(1, min(most, int(min(AT_ONCE_S, left) / pace)))

    def late(done: int) -> bool:
        # The processes' clocks differ, but they must stop after the same step; asking costs them a round trip.
        asked = bool(limit) and (not together or done % s.log_every == 0)
        return asked and ask("the clock", lambda: time.perf_counter() - resumed_at >= limit)

    def stop(step: int, found: str) -> NoReturn:
        bar.close()
        if _finite(course.examine(used(s, state))):
            save(finished=False)
        good = ask("checkpoints", checkpoints.steps)[-1]
        raise InputError(
            f"{doing} stopped at step {step}: {found}. The last good parameters, of step {good}, "
            f"are saved in {checkpoints.folder}. {course.mend}"
        )

    saved = ask("checkpoints", checkpoints.steps)
    begin = [{"step": 0, "seconds": 0.0, **course.examine(used(s, state))}] if course.from_zero and not saved else []
    if writes:
        # Rows written after the checkpoint we resume from will be written again.
        write_jsonl(history, [row for row in read_jsonl(history) if row["step"] <= first] if saved else begin)
        for row in () if saved else (begin or [{}]):
            write(0, {f"{short}/begun": 1.0, **course_of(short, row)})
    if not saved:
        save(finished=False)
    done = first
    while done < s.steps:
        asked_at, count = time.perf_counter(), at_once(done)
        state, every = course.updates(state, done, count)
        if done == first:
            # Compiling is no training: on a busy machine it would use up the minutes of a short one.
            resumed_at = time.perf_counter() - at.seconds
        else:
            pace = (time.perf_counter() - asked_at) / count
        sound = np.isfinite(every["loss"]) & np.isfinite(every["grad_norm"])
        if not sound.all():
            i = int(np.argmin(sound))
            stop(done + i, f"the loss is {every['loss'][i]:g} (gradient norm {every['grad_norm'][i]:g})")
        losses += [float(loss) for loss in every["loss"]]
        metrics = {name: rows[-1] for name, rows in every.items()}
        done += count
        last = done == s.steps or late(done)
        to_log, to_validate, to_save = (
            last or done % s[every] == 0 for every in ("log_every", "validate_every", "checkpoint_every")
        )
        if to_log or to_validate or to_save:
            now = time.perf_counter()
            row = {
                "step": done,
                "loss": float(np.mean(losses)),
                **course.told(metrics),
                "grad_norm": float(metrics["grad_norm"]),
                "learning_rate": learning_rate(s, done - 1),
                "images_per_s": (done - mark_step) * s.batch_size / (now - mark_time),
                "seconds": now - resumed_at,
            }
            if to_validate or to_save:
                row |= course.examine(used(s, state))
                if not _finite(row):
                    stop(done, f"the {in_words} is {row[judged]}")
            if writes:
                append_jsonl(history, row)
                write(done, course_of(short, row))
            losses, mark_time, mark_step = [], time.perf_counter(), done
            shown = {k: f"{row[k]:.4g}" for k in ("loss", judged, "images_per_s") if k in row}
            bar.set_postfix(shown, refresh=False)
            if limit:
                # The time left is the limit's, not that of steps which will never be taken.
                rate = row["images_per_s"] / s.batch_size
                bar.total = min(s.steps, done + int(rate * max(limit - row["seconds"], 0.0)))
        bar.update(count)
        if last:
            break
        stops = signalled()
        if to_save or (stops and _finite(course.examine(used(s, state)))):
            save(finished=False)
        if stops:
            bar.close()
            raise stopping.Stopped(stops, f"{doing} is saved at step {checkpoints.steps()[-1]} in {checkpoints.folder}")
    bar.close()
    save(finished=True)
    log.info("%s %d steps in %.0f s", done_with, int(state.step), time.perf_counter() - resumed_at)
    return state


def _tree(state: TrainState, seconds: float, finished: bool) -> dict[str, Any]:
    """A checkpoint."""
    return {"state": state, "seconds": np.asarray(seconds), "finished": np.asarray(finished, np.int32)}


def _asking(together: bool) -> Callable[[str, Callable[[], Any]], Any]:
    """How one process decides for all: (what is done, the work) -> its result."""
    return hosts.first if together else lambda what, work: work()


def _finite(figures: dict[str, float]) -> bool:
    return all(map(np.isfinite, figures.values()))


def trained_steps(workdir: Path) -> int:
    """Steps the model of this workdir was trained for; 0 where it has no training history."""
    rows = read_jsonl(workdir / "train.jsonl")
    return int(rows[-1]["step"]) if rows else 0
