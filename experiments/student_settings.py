"""The section ``student`` of a config: its checks, and what the student it describes may be asked."""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from ddad_jax.distilled import Trained, require
from ddad_jax.errors import InputError
from ddad_jax.points import MODELS, ReconPoint
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS


def trained_for(c: ConfigDict) -> Trained:
    """What ``c.student`` trains for.

    Raises:
      InputError: a T' of its range has no grid of so many steps, the student's grid begins below T', or the teacher
        never saw times so late.
    """
    s = c.student
    low, high = int(s.t_prime[0]), int(s.t_prime[1])
    if high >= c.train.t_max:
        raise InputError(
            f"--config.student.t_prime={tuple(s.t_prime)}: the teacher learns times below {c.train.t_max} "
            "(--config.train.t_max), so the largest T' must be smaller"
        )
    for name, grid, steps in (("grid", s.grid, s.calls), ("teacher_grid", s.teacher_grid, s.teacher_steps)):
        for t_prime in range(low, high + 1):
            try:
                times = GRIDS[grid](t_prime, steps)
            except InputError as error:
                raise InputError(f"--config.student.{name}={grid!r}: {error}") from None
            if times.t[0] != t_prime:
                raise InputError(f"--config.student.{name}={grid!r}: expected a grid that visits T' itself")
    return Trained(
        w=(float(s.w[0]), float(s.w[1])),
        t_prime=(low, high),
        calls=int(s.calls),
        grid=s.grid,
        start_noise=float(s.start_noise),
        fade=float(s.fade),
        blend_max=float(s.blend_max),
        solver=s.teacher_solver,
        steps=int(s.teacher_steps),
        teacher_grid=s.teacher_grid,
    )


def student_axes(c: ConfigDict, axes: dict[str, Any]) -> dict[str, Any]:
    """``axes`` of ``points.recon_grid`` as a student takes them: what it learnt with is fixed, its steps are those of
    the sweep that it has calls for.

    Raises:
      InputError: none of the steps.
    """
    s = c.student
    steps = tuple(n for n in axes["steps"] if n <= s.calls)
    if not steps:
        few = "1 or 2" if s.calls == 2 else "1"
        raise InputError(
            f"model = student with steps {tuple(axes['steps'])}: the student answers in {few} network calls; put {few} "
            "into --config.sample.steps or --config.sweep.steps"
        )
    own = {name: s[name] for name in ("grid", "start_noise", "fade", "blend_max")}
    own |= {"solver": "ddim", "eta": 0.0, "rise": 0.0, "reuse": 1, "model": "student"}
    fixed = {name: (value,) for name, value in own.items()}
    return {**axes, **fixed, "steps": steps}


def require_point(trained: Trained, point: ReconPoint) -> None:
    """``distilled.require`` of a student's point."""
    asked = ("w", "t_prime", "steps", "grid", "start_noise", "fade", "blend_max")
    try:
        require(trained, **{name: getattr(point, name) for name in asked})
    except InputError as error:
        raise InputError(f"model = student: {error} (--config.student, in a new --workdir)") from None


def check_student(c: ConfigDict, need: Callable[[str, bool, str], None]) -> None:
    """``need(flag, good, expected)`` for every setting that can be judged alone; the rest is ``trained_for``'s."""
    s = c.student
    need("sample.model", c.sample.model in MODELS, "teacher or student")
    need(
        "sweep.model", isinstance(c.sweep.model, tuple) and {*c.sweep.model} <= {*MODELS}, "a tuple of teacher, student"
    )
    strengths = _range(s.w, (int, float)) and s.w[0] >= 0 and s.w[1] <= 1e6
    need("student.w", strengths, "(smallest, largest), from 0 to 1e6")
    times = _range(s.t_prime, int) and s.t_prime[0] >= 1 and s.t_prime[1] < 1000
    need("student.t_prime", times, "(smallest, largest), from 1 to 999")
    need("student.calls", s.calls in (1, 2), "1 or 2")
    need("student.teacher_solver", s.teacher_solver in SOLVERS, f"one of {', '.join(sorted(SOLVERS))}")
    for name in ("grid", "teacher_grid"):
        need(f"student.{name}", s[name] in GRIDS, f"one of {', '.join(sorted(GRIDS))}")
    for name in ("teacher_steps", "reuse", "steps", "batch_size", "accumulate"):
        need(f"student.{name}", s[name] >= 1, "at least 1")
    for name in ("log_every", "validate_every", "checkpoint_every"):
        need(f"student.{name}", s[name] >= 1, "at least 1")
    for name in ("start_noise", "fade", "blend_max", "max_minutes", "warmup_steps", "clip_norm", "weight_decay"):
        need(f"student.{name}", 0 <= s[name] < float("inf"), "0 or more")
    for name in ("damaged", "paired"):
        need(f"student.{name}", 0 <= s[name] <= 1, "a share from 0 to 1")
    need("student.defects", s.defects >= 1, "at least 1")
    need("student.learning_rate", s.learning_rate > 0, "above 0")
    need("student.ema_decay", 0 <= s.ema_decay < 1, "0 (none) up to below 1")


def _range(values: Any, kind: type | tuple[type, ...]) -> bool:
    two = isinstance(values, tuple) and len(values) == 2
    return two and all(isinstance(v, kind) and not isinstance(v, bool) for v in values) and values[0] <= values[1]
