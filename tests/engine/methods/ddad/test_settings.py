"""Sweeps over teacher and student: each takes of the axes what it can, and nothing outside what it was trained for."""

from pathlib import Path
from typing import Any

import pytest
import tiny_runs

from ddad_jax.engine.methods.ddad.doubts import ddad_doubts
from ddad_jax.engine.methods.ddad.evidence import teacher_of
from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.engine.methods.ddad.sections import StudentSettings
from ddad_jax.engine.methods.ddad.settings import trained_for
from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint

BOTH: dict[str, Any] = {"sweep__model": ("teacher", "student")}


def points(**changes: Any) -> list[ReconPoint]:
    return ddad_plan(tiny_runs.config(Path("data"), **changes), sweep=True).costly


def test_the_student_takes_the_steps_it_has_calls_for_and_its_own_grid_and_start() -> None:
    found = points(
        **BOTH, sweep__steps=(1, 2, 5), sweep__solver=("ddim", "dpm2m"), sweep__grid=("trailing", "log_snr"),
        sweep__start_noise=(0.0, 1.0), sweep__eta=(0.0, 1.0), sweep__w=(0.0, 3.0), sweep__t_prime=(150, 250),
    )  # fmt: skip
    student = [p for p in found if p.model == "student"]
    assert {(p.steps, p.w, p.t_prime) for p in student} == {
        (k, w, t) for k in (1, 2) for w in (0.0, 3.0) for t in (150, 250)
    }
    assert len(student) == 8
    assert {(p.solver, p.grid, p.start_noise, p.eta, p.calls) for p in student} == {
        ("ddim", "trailing", 1.0, 0.0, k) for k in (1, 2)
    }
    # w, T', three steps, two grids, two starts; eta for DDIM alone.
    assert len([p for p in found if p.model == "teacher"]) == 2 * 2 * 3 * 2 * 2 * (2 + 1)
    # Points of one network follow each other.
    models = [p.model for p in found]
    assert models == sorted(models)


def test_one_point_may_be_the_students() -> None:
    c = tiny_runs.config(Path("data"), sample__model="student", sample__steps=1)
    todo = ddad_plan(c, sweep=False)
    assert todo.selected is not None
    assert todo.costly == [todo.selected[0]] == [ReconPoint(3.0, 250, 1, 0.0, "trailing", 0, model="student")]


def test_the_fine_teacher_of_a_students_point_is_no_student() -> None:
    (point,) = points(sweep__model=("student",), sweep__steps=(1,))[:1]
    assert point.model == "student" and teacher_of(point, 100).model == "teacher"


def test_without_a_word_of_it_nothing_is_the_students() -> None:
    assert {p.model for p in points(sweep__steps=(1, 2))} == {"teacher"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sweep__w": (3.0, 7.0)}, r"model = student: w = 7: .*w from 0 to 6"),
        ({"sweep__t_prime": (90, 250)}, r"model = student: T' = 90: .*T' from 100 to 300"),
        ({"sample__t_prime": 320, "sweep__model": ("student",)}, "T' = 320"),
        ({"sweep__steps": (3, 5)}, r"steps \(3, 5\): .*1 or 2 network calls"),
        ({"student__calls": 1, "sweep__steps": (2,)}, "in 1 network calls"),
        ({"student__t_prime": (100, 400), "train__t_max": 300}, r"student\.t_prime=\(100, 400\).*below 300"),
        ({"student__grid": "reference"}, r"student\.grid='reference'"),
        ({"student__teacher_grid": "log_snr"}, r"student\.teacher_grid='log_snr'.*visits a time twice"),
    ],
    ids=str,
)
def test_what_a_student_is_not_trained_for_is_refused_before_anything_is_trained(
    changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        points(**{**BOTH, "sweep__steps": (1, 2), **changes})


def test_another_range_is_another_training() -> None:
    assert points(**BOTH, sweep__w=(7.0,), sweep__steps=(1,), student__w=(0.0, 8.0))
    found = trained_for(StudentSettings(w=(0.0, 8.0), calls=1), t_max=1000)
    assert (found.w, found.t_prime, found.calls) == ((0.0, 8.0), (100, 300), 1)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("sample__model", "pupil"),
        ("sweep__model", ("pupil",)),
        ("student__w", (3.0, 1.0)),
        ("student__w", (-1.0, 1.0)),
        ("student__w", (0, float("inf"))),
        ("student__w", (0, 10**400)),
        ("student__w", (1.0,)),
        ("student__t_prime", (0, 250)),
        ("student__t_prime", (100, 1000)),
        ("student__t_prime", (100.0, 250.0)),
        ("student__calls", 3),
        ("student__grid", "optimised"),
        ("student__teacher_solver", "euler"),
        ("student__teacher_steps", 0),
        ("student__damaged", 1.5),
        ("student__paired", float("nan")),
        ("student__defects", 0),
        ("student__reuse", 0),
        ("student__steps", 0),
        ("student__learning_rate", 0.0),
        ("student__ema_decay", 1.0),
        ("student__max_minutes", -1.0),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(setting: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"--config.{setting.replace('__', '.')}="):
        tiny_runs.config(Path("data"), **{setting: value})


def test_a_gaussian_predicts_white_noise_alone() -> None:
    with pytest.raises(InputError, match="--config.model.noise='simplex': expected gaussian with model.prior=gaussian"):
        tiny_runs.config(Path("data"), model__noise="simplex", model__prior="gaussian")


def test_noise_that_nothing_looks_at_and_noise_that_an_inversion_cannot_judge_are_doubted() -> None:
    (idle,) = ddad_doubts(tiny_runs.config(Path("data"), model__octaves=3))
    assert idle.startswith("--config.model.octaves=3") and "noise=simplex" in idle
    doubts = ddad_doubts(tiny_runs.config(Path("data"), model__noise="simplex", sweep__scoring=("inversion",)))
    assert any("long waves" in doubt for doubt in doubts)
    assert not ddad_doubts(tiny_runs.config(Path("data"), model__noise="simplex", model__octaves=3))
