"""The distillation loop: lessons in, checkpoints and a history out; resumes where it was killed. On one device."""

import functools
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ddad_jax.checkpoint import Checkpoints, fingerprint
from ddad_jax.distil import Lesson, distil_step
from ddad_jax.errors import InputError
from ddad_jax.student import init_student
from ddad_jax.train import TrainState, init_state, optimiser
from experiments.lessons import examination, lessons, steering, teacher_fn
from experiments.model import Data, build_student, student_apply
from experiments.student_settings import trained_for
from experiments.sweeping import trained_steps
from experiments.tables import append_jsonl, read_jsonl, write_jsonl, write_text

log = logging.getLogger(__name__)


class Distilled(NamedTuple):
    """Parameters to sample with (the moving average where there is one), and what the rows of a sweep say of them."""

    params: Any
    made_with: dict[str, Any]


def distilled(c: ConfigDict, workdir: Path, data: Data, params: Any) -> Distilled:
    """The student of a noise predictor with ``params``, training first what is missing.

    Stops after ``student.steps`` updates or ``student.max_minutes``, kill and resume included. Beside its checkpoints
    lies student.json: what it was trained for and whose student it is.

    Raises:
      InputError: the workdir's student had another teacher or was trained for something else; the loss became NaN or
        infinite (every checkpoint has finite distances to the teacher).
    """
    s, checkpoints = c.student, Checkpoints(workdir / "student")
    _claim(c, workdir, params, begun=bool(checkpoints.steps()))
    tx = optimiser(
        learning_rate=s.learning_rate,
        weight_decay=s.weight_decay,
        warmup_steps=s.warmup_steps,
        clip_norm=s.clip_norm,
        accumulate=s.accumulate,
    )
    state = init_state(init_student(build_student(c), params, jax.random.key(c.seed)), tx)
    seconds, finished = 0.0, False
    if checkpoints.steps():
        saved = checkpoints.restore({"state": state, "seconds": np.zeros(()), "finished": np.zeros((), np.int32)})
        state, seconds, finished = saved["state"], float(saved["seconds"]), bool(saved["finished"])
    if not finished:
        state = _distil(c, workdir, data, params, tx, jax.tree.map(jnp.asarray, state), seconds, checkpoints)
    used = _used(c, state)
    return Distilled(used, {"student_steps": int(state.step), "student": fingerprint(used)})


def _claim(c: ConfigDict, workdir: Path, params: Any, *, begun: bool) -> None:
    """Write student.json, or require that what it says is what is asked for now."""
    file = workdir / "student" / "student.json"
    teacher: dict[str, Any] = {"train_steps": trained_steps(workdir), "parameters": fingerprint(params)}
    now = json.loads(json.dumps({"trained_for": trained_for(c)._asdict(), "teacher": teacher}))
    if not begun:
        write_text(file, json.dumps(now, indent=1))
        return
    mend = f"Delete {file.parent} to train a student for these settings, or name another --workdir"
    try:
        before = json.loads(file.read_text())
        there = {**before["trained_for"], "teacher": before["teacher"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: does not say whose student this is ({error!r}). {mend}") from None
    here: dict[str, Any] = {**now["trained_for"], "teacher": teacher}
    if there["teacher"] != teacher:
        had, has = (f"{t['train_steps']} steps, parameters {t['parameters'][:8]}" for t in (there["teacher"], teacher))
        raise InputError(f"{file}: the student learnt from another teacher (trained {had}; the one here {has}). {mend}")
    differing = [f"{name}: there {there.get(name)}, now {here[name]}" for name in here if there.get(name) != here[name]]
    if differing:
        raise InputError(f"{file}: the student was trained for something else ({'; '.join(differing)}). {mend}")


def _used(c: ConfigDict, state: TrainState) -> Any:
    return state.ema if c.student.ema_decay else state.params


def _distil(
    c: ConfigDict,
    workdir: Path,
    data: Data,
    params: Any,
    tx: Any,
    state: TrainState,
    seconds: float,
    checkpoints: Checkpoints,
) -> TrainState:
    s, apply = c.student, student_apply(build_student(c))
    teacher = teacher_fn(c, params)
    lesson_of, examine = lessons(c, data, teacher), examination(c, data, teacher, apply)
    step_fn: Callable[[TrainState, Lesson], tuple[TrainState, dict[str, Any]]] = jax.jit(
        functools.partial(
            distil_step, apply=apply, tx=tx, ema_decay=s.ema_decay, relative=s.relative, **steering(c)
        ),
        donate_argnums=0,
    )  # fmt: skip
    history, first = workdir / "distil.jsonl", int(state.step)
    limit, losses = s.max_minutes * 60.0, []
    resumed_at, mark_time, mark_step = time.perf_counter() - seconds, time.perf_counter(), first
    bar = tqdm(total=s.steps, initial=first, unit="step", desc="distil", dynamic_ncols=True, mininterval=2.0)

    def save(finished: bool) -> None:
        elapsed = np.asarray(time.perf_counter() - resumed_at)
        tree = {"state": state, "seconds": elapsed, "finished": np.asarray(finished, np.int32)}
        checkpoints.save(int(state.step), tree)

    def stop(step: int, found: str) -> NoReturn:
        bar.close()
        if all(map(np.isfinite, examine(_used(c, state)).values())):
            save(finished=False)
        raise InputError(
            f"distillation stopped at step {step}: {found}. The last good parameters, of step "
            f"{checkpoints.steps()[-1]}, are saved in {checkpoints.folder}. Lower --config.student.learning_rate "
            f"(now {s.learning_rate}) or the largest w of --config.student.w (now {s.w[1]}) and delete that folder"
        )

    if checkpoints.steps():
        # Rows written after the checkpoint we resume from will be written again.
        write_jsonl(history, [row for row in read_jsonl(history) if row["step"] <= first])
    else:
        write_jsonl(history, [{"step": 0, "seconds": 0.0, **examine(_used(c, state))}])
        save(finished=False)
    for step in range(first, s.steps):
        state, metrics = step_fn(state, lesson_of(step))
        losses.append(float(metrics["loss"]))
        if not np.isfinite(losses[-1]) or not np.isfinite(float(metrics["grad_norm"])):
            stop(step, f"the loss is {losses[-1]} (gradient norm {float(metrics['grad_norm'])})")
        done = step + 1
        last = done == s.steps or (limit and time.perf_counter() - resumed_at >= limit)
        to_log, to_validate, to_save = (
            last or done % s[every] == 0 for every in ("log_every", "validate_every", "checkpoint_every")
        )
        if to_log or to_validate or to_save:
            now = time.perf_counter()
            row = {
                "step": done,
                "loss": float(np.mean(losses)),
                **{f"rmse_{k + 1}": float(np.sqrt(mse)) for k, mse in enumerate(np.asarray(metrics["mse"]))},
                "grad_norm": float(metrics["grad_norm"]),
                "images_per_s": (done - mark_step) * s.batch_size / (now - mark_time),
                "seconds": now - resumed_at,
            }
            if to_validate or to_save:
                row |= examine(_used(c, state))
                if not all(map(np.isfinite, row.values())):
                    stop(done, f"the distance to the teacher is {row['validation_rmse_1']}")
            append_jsonl(history, row)
            losses, mark_time, mark_step = [], time.perf_counter(), done
            shown = {k: f"{row[k]:.4g}" for k in ("loss", "validation_rmse_1", "images_per_s") if k in row}
            bar.set_postfix(shown, refresh=False)
            if limit:
                # The time left is the limit's, not that of steps which will never be taken.
                rate = row["images_per_s"] / s.batch_size
                bar.total = min(s.steps, done + int(rate * max(limit - row["seconds"], 0.0)))
        bar.update()
        if last:
            break
        if to_save:
            save(finished=False)
    bar.close()
    save(finished=True)
    log.info("distilled %d steps in %.0f s", int(state.step), time.perf_counter() - resumed_at)
    return state
