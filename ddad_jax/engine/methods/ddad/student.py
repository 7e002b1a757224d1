"""Distillation: the student on its teacher's lessons, in ``loop.train_steps``, on all devices of all hosts as the
noise predictor's training: a lesson is cut over them, the state is copied to each."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from ddad_jax.checkpoint import Checkpoints, params_fingerprint
from ddad_jax.distil import distil_step
from ddad_jax.engine import hosts
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.lessons import examination, lessons, steering, teacher_fn
from ddad_jax.engine.methods.ddad.networks import build_student, drawn_noise, student_apply
from ddad_jax.engine.methods.ddad.sections import DDADSettings, StudentSettings
from ddad_jax.engine.methods.ddad.settings import trained_for
from ddad_jax.engine.methods.loop import (
    TrainingTask,
    asked_in_turn,
    begun,
    blank,
    optimiser_of,
    require_cut,
    train_steps,
    trained_steps,
    used,
)
from ddad_jax.engine.store import kept
from ddad_jax.engine.store.tables import plain
from ddad_jax.engine.tracking import Write, silent
from ddad_jax.errors import InputError
from ddad_jax.mesh import copied, device_mesh, everywhere
from ddad_jax.student import init_student
from ddad_jax.train import TrainState, init_state, update_while_sound


class Distilled(NamedTuple):
    """Parameters to sample with (the moving average where there is one), and what the rows of a sweep say of them."""

    params: Any
    made_with: dict[str, Any]


def distilled(c: DDADSettings, workdir: Path, data: Data, params: Any, write: Write = silent) -> Distilled:
    """The student of a noise predictor with ``params``, training first what is missing.

    Stops after ``student.steps`` updates or ``student.max_minutes``, kill and resume included. Beside its checkpoints
    lies student.json: what it was trained for and whose student it is.

    Raises:
      InputError: the noise predictor has a Gaussian; the workdir's student had another teacher or was trained for
        something else; a batch that cannot be cut over the devices; the loss became NaN or infinite (every checkpoint
        has finite distances to the teacher).
    """
    if c.model.prior != "none":
        raise InputError(
            f"--config.model.prior={c.model.prior}: a student learns from a network alone; expected none, in a new "
            "--workdir"
        )
    s, checkpoints = c.student, Checkpoints(workdir / "student")
    hosts.first("student.json", lambda: _claim(c, workdir, params, on_disk=bool(checkpoints.steps())))
    tx, mesh, together = optimiser_of(s), device_mesh(), hosts.several_processes()
    fresh = init_state(init_student(build_student(c.model, c.data.size, c.device), params, jax.random.key(c.seed)), tx)
    state, _, finished = at = begun(fresh, checkpoints, together=together)
    if not finished:
        require_cut(s.batch_size, "student.batch_size", mesh)
        at = at._replace(state=copied(state, mesh))
        how: Any = {"together": together, "write": write}
        course = _course(c, data, params, tx, mesh)
        state = train_steps(course, s, at, checkpoints, workdir / "distil.jsonl", **how)
    # What comes next has devices of its own choice.
    return _told(used(s, state) if mesh is None else jax.tree.map(np.asarray, used(s, state)), state)


def restored_student(c: DDADSettings, workdir: Path, params: Any) -> Distilled:
    """What ``distilled`` returned when the distillation ended; nothing is trained, no data are needed.

    Raises:
      InputError: it has not ended; as ``distilled`` where the student is another's.
    """
    checkpoints = Checkpoints(workdir / "student")
    if checkpoints.steps():
        _claim(c, workdir, params, on_disk=True)
        tx, student = optimiser_of(c.student), build_student(c.model, c.data.size, c.device)
        fresh = blank(lambda: init_state(init_student(student, params, jax.random.key(c.seed)), tx))
        state, _, finished = begun(fresh, checkpoints)
        if finished:
            return _told(used(c.student, state), state)
    ends = "python -m experiments.distil ends it"
    raise InputError(f"{checkpoints.folder}: holds no student whose distillation has ended; {ends}")


def _told(sampled: Any, state: TrainState) -> Distilled:
    return Distilled(sampled, {"student_steps": int(state.step), "student": params_fingerprint(sampled)})


def _claim(c: DDADSettings, workdir: Path, params: Any, *, on_disk: bool) -> None:
    """Write student.json, or require that what it says is what is asked for now."""
    file = workdir / "student" / "student.json"
    now = {
        "trained_for": trained_for(c.student, t_max=c.train.t_max)._asdict(),
        "teacher": {"train_steps": trained_steps(workdir), "parameters": params_fingerprint(params)},
    }
    if not on_disk:
        kept.save_content(file, now, {})
        return
    mend = f"Delete {file.parent} to train a student for these settings, or name another --workdir"
    before, _ = kept.read_content(file, dict.fromkeys(now, dict), mend=mend)
    there, here = ({**said["trained_for"], "teacher": said["teacher"]} for said in (before, plain(now)))
    if differing := kept.provenance_differences(there, here):
        raise InputError(
            f"{file}: the student was trained for something else or by another teacher ({'; '.join(differing)}). {mend}"
        )


def distillation_program(s: StudentSettings, apply: Any, tx: Any, mesh: Mesh | None = None) -> Any:
    """(state, whether all before it were sound, lesson) -> (state, the same, metrics), compiled; gives the state up."""
    how: Any = {"ema_decay": s.ema_decay, "relative": s.relative, **steering(s)}
    update = update_while_sound(functools.partial(distil_step, apply=apply, tx=tx, **how))
    return jax.jit(update, donate_argnums=0, out_shardings=everywhere(mesh) if mesh else None)


def _course(c: DDADSettings, data: Data, params: Any, tx: Any, mesh: Mesh | None) -> TrainingTask:
    s, student = c.student, build_student(c.model, c.data.size, c.device)
    draw = drawn_noise(c.model, c.data.size)
    teacher, apply = teacher_fn(student.unet, s, params, mesh, draw), student_apply(student)
    lesson_of = lessons(s, c.seed, data, teacher)
    step_fn, at_first = distillation_program(s, apply, tx, mesh), copied(np.asarray(True), mesh)

    def updates(state: TrainState, first: int, count: int) -> tuple[TrainState, dict[str, np.ndarray]]:
        lessons_ = ((lesson_of(step),) for step in range(first, first + count))
        return asked_in_turn(step_fn, state, at_first, lessons_)

    def told(metrics: dict[str, Any]) -> dict[str, float]:
        return {f"rmse_{k + 1}": float(np.sqrt(mse)) for k, mse in enumerate(np.asarray(metrics["mse"]))}

    return TrainingTask(
        names=("distil", "distillation", "distilled"),
        updates=updates,
        most=c.device.dispatch,
        told=told,
        examine=examination(s, c.seed, data, teacher, apply, mesh),
        judged=("validation_rmse_1", "distance to the teacher"),
        mend=(
            f"Lower --config.student.learning_rate (now {s.learning_rate}) or the largest w of --config.student.w (now "
            f"{s.w[1]}) and delete that folder"
        ),
        from_zero=True,
    )
