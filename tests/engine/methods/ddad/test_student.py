"""Distillation brings a student nearer to its teacher, and a student knows its teacher."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from aliasing import written_in_place

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.distil import Lesson
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods import loop
from ddad_jax.engine.methods.ddad import student
from ddad_jax.engine.methods.ddad.sections import StudentSettings
from ddad_jax.engine.methods.ddad.student import distilled
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import append_jsonl, read_jsonl, write_jsonl
from ddad_jax.errors import InputError
from ddad_jax.pair_program import PairProgram
from ddad_jax.timesteps import TimeGrid
from experiments import distil

SMALL: dict[str, Any] = {
    "student__steps": 6, "student__batch_size": 4, "student__teacher_steps": 4, "student__defects": 5,
    "student__reuse": 2, "student__warmup_steps": 0, "student__log_every": 2, "student__validate_every": 4,
    "student__checkpoint_every": 2,
}  # fmt: skip
TEACHER = tiny_runs.init_params(None, 0)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)


def run(root: Path, workdir: Path, data: Data, teacher: Any = TEACHER, **changes: Any) -> student.Distilled:
    return distilled(tiny_runs.config(root, **{**SMALL, **changes}), workdir, data, teacher)


def assert_equal(left: Any, right: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)


@pytest.fixture(scope="module")
def unbroken(root: Path, data: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[student.Distilled, Path]:
    """A student of a teacher of 12 steps, and its workdir."""
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        workdir = tmp_path_factory.mktemp("unbroken")
        append_jsonl(workdir / "train.jsonl", {"step": 12})
        return run(root, workdir, data), workdir


@pytest.fixture
def finished(unbroken: tuple[student.Distilled, Path], tmp_path: Path) -> Path:
    """A copy of that workdir."""
    return Path(shutil.copytree(unbroken[1], tmp_path / "finished"))


def test_the_history_begins_with_the_teachers_own_distance(unbroken: tuple[student.Distilled, Path]) -> None:
    rows = read_jsonl(unbroken[1] / "distil.jsonl")
    assert rows[0]["validation_rmse_1"] == pytest.approx(rows[0]["teacher_one_call"], rel=1e-4)
    assert {row["teacher_one_call"] for row in rows} == {rows[0]["teacher_one_call"]}
    assert rows[-1]["validation_rmse_1"] < rows[0]["validation_rmse_1"]
    assert all(math.isfinite(v) for row in rows for v in row.values())


def test_behind_an_update_that_is_not_finite_none_changes_anything() -> None:
    """So that many may be asked for before the first one's loss is read. Each is written over the state before it."""
    tx, ones = loop.optimiser(), jnp.ones(4)
    images, at = jnp.full((4, 8, 8, 3), 0.3), jnp.full((1, 4), 200)
    times: Any = TimeGrid(at[0], at, jnp.full_like(at, -1))  # type: ignore[arg-type]
    lesson = Lesson(images, images, ones, times, 0.5 * images, ones)
    program = student.distillation_program(StudentSettings(), tiny_runs.student_predict, tx)

    def fresh() -> Any:
        return student.init_state(tiny_runs.init_student(None, TEACHER, jax.random.key(0)), tx)

    state, sound, _ = program(fresh(), jnp.asarray(True), lesson._replace(x0=jnp.nan * images))
    assert not sound
    state, sound, metrics = program(state, sound, lesson)
    assert not sound and np.isfinite(metrics["loss"])
    assert_equal(state, fresh())
    moved, sound, _ = program(fresh(), jnp.asarray(True), lesson)
    assert sound and int(moved.step) == 1 and np.abs(moved.params["of"]).max() > 0
    assert written_in_place(program, moved, sound, lesson) == 1


def test_a_finished_distillation_is_not_repeated(
    root: Path, data: Data, unbroken: tuple[student.Distilled, Path], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = unbroken[0]
    monkeypatch.setattr(student, "distil_step", None)
    again = run(root, finished, data)
    assert_equal(again.params, first.params)
    assert again.made_with == first.made_with == {"student_steps": 6, "student": first.made_with["student"]}


def test_the_average_is_used_where_there_is_one(
    root: Path, data: Data, unbroken: tuple[student.Distilled, Path], tmp_path: Path
) -> None:
    averaged, plain = unbroken[0], run(root, tmp_path, data, student__ema_decay=0.0)
    assert np.abs(np.asarray(averaged.params["of"] - plain.params["of"])).max() > 0
    assert averaged.made_with["student"] != plain.made_with["student"]


def test_beside_the_checkpoint_is_what_it_was_trained_for(finished: Path) -> None:
    said = json.loads((finished / "student" / "student.json").read_text())
    assert said["trained_for"]["w"] == [0.0, 6.0] and said["trained_for"]["t_prime"] == [100, 300]
    assert (said["trained_for"]["calls"], said["trained_for"]["solver"], said["trained_for"]["steps"]) == (
        2,
        "dpm2m",
        4,
    )
    assert said["teacher"]["train_steps"] == 12


def test_a_student_of_another_teacher_is_refused(root: Path, data: Data, finished: Path) -> None:
    other = tiny_runs.init_params(None, 1)
    with pytest.raises(InputError, match=r"student\.json: .*another teacher \(teacher: there .*Delete .*student"):
        run(root, finished, data, other)
    write_jsonl(finished / "train.jsonl", [{"step": 20}])
    with pytest.raises(InputError, match='there {"train_steps": 12.*now {"train_steps": 20'):
        run(root, finished, data)


def test_a_student_of_other_ranges_is_refused(root: Path, data: Data, finished: Path) -> None:
    with pytest.raises(InputError, match=r"something else .*\(w: there \[0\.0, 6\.0\], now \[0\.0, 8\.0\]\)"):
        run(root, finished, data, student__w=(0.0, 8.0))
    with pytest.raises(InputError, match=r"calls: there 2, now 1; t_prime: there \[100, 300\], now \[100, 280\]"):
        run(root, finished, data, student__t_prime=(100, 280), student__calls=1)


@pytest.mark.parametrize(
    "content",
    [None, "{", "[]", '{"teacher": {}}', '{"trained_for": {}, "teacher": {}}', '{"trained_for": {}, "teacher": "x"}'],
)
def test_a_student_that_does_not_say_whose_it_is_is_refused(
    root: Path, data: Data, finished: Path, content: str | None
) -> None:
    file = finished / "student" / "student.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(InputError, match=r"student\.json: .*Delete .* to train a student for these settings"):
        run(root, finished, data)


def test_an_absurd_learning_rate_stops_and_leaves_good_parameters(root: Path, data: Data, tmp_path: Path) -> None:
    absurd = {"student__learning_rate": 1e30, "student__clip_norm": 0.0}
    for _ in range(2):  # the same command again meets the same end
        with pytest.raises(InputError, match=r"stopped at step \d+.*student\.learning_rate \(now 1e\+30\)"):
            run(root, tmp_path, data, **absurd)
        assert Checkpoints(tmp_path / "student").steps() == [0]


def test_the_wall_clock_limit_stops_distillation_for_good(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            self.now += 60.0
            return self.now

    monkeypatch.setattr(loop, "time", Clock())
    long = {"student__steps": 1000, "student__max_minutes": 20.0}
    first = run(root, tmp_path, data, **long)
    rows = read_jsonl(tmp_path / "distil.jsonl")
    assert 2 < rows[-1]["step"] < 20 and "validation_rmse_2" in rows[-1]
    monkeypatch.setattr(student, "distil_step", None)
    assert_equal(run(root, tmp_path, data, **long).params, first.params)


# In a run


BOTH: dict[str, Any] = {
    **SMALL, "sample__steps": 1, "sweep__model": ("teacher", "student"), "sweep__steps": (1, 3),
}  # fmt: skip


@pytest.fixture(scope="module")
def swept(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep over teacher and student."""
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        workdir = tmp_path_factory.mktemp("swept")
        run_all(tiny_runs.config(root, **BOTH), workdir, sweep=True)
    return workdir


@pytest.fixture
def workdir(swept: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(swept, tmp_path / "w"))


def points(workdir: Path) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["model"], row["steps"]): row for row in read_jsonl(workdir / "results.jsonl")}


def test_a_sweep_over_both_says_whose_each_row_is(swept: Path) -> None:
    found = points(swept)
    assert set(found) == {("teacher", 1), ("teacher", 3), ("student", 1)}
    for (model, steps), row in found.items():
        assert row["unet_calls"] == steps
        assert row.get("student_steps") == (6 if model == "student" else None)
    assert found["student", 1]["ratio"] != found["teacher", 1]["ratio"]


def test_a_student_and_its_rows_are_there_to_stay(root: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = points(workdir)
    monkeypatch.setattr(student, "distil_step", None)
    monkeypatch.setattr(PairProgram, "compiled", None)
    run_all(tiny_runs.config(root, **BOTH), workdir, sweep=True)
    assert points(workdir) == before
    with pytest.raises(InputError, match=r"student\.steps: there 6, now 7"):
        run_all(tiny_runs.config(root, **{**BOTH, "student__steps": 7}), workdir, sweep=True)


def test_another_student_makes_its_rows_anew_and_leaves_the_teachers(root: Path, workdir: Path) -> None:
    before, journal = points(workdir), read_jsonl(workdir / "journal.jsonl")
    shutil.rmtree(workdir / "student")
    run_all(tiny_runs.config(root, **{**BOTH, "student__steps": 4}), workdir, sweep=True)
    after = points(workdir)
    assert after["teacher", 1] == before["teacher", 1]
    assert after["student", 1]["student_steps"] == 4 and after["student", 1]["ratio"] != before["student", 1]["ratio"]
    assert len(read_jsonl(workdir / "journal.jsonl")) == len(journal) + 1


def test_a_journal_from_before_there_were_students_is_the_teachers_and_none_is_trained(
    root: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(workdir / "student")
    rows = [row for row in read_jsonl(workdir / "journal.jsonl") if row.pop("model") == "teacher"]
    write_jsonl(workdir / "journal.jsonl", rows)
    monkeypatch.setattr(PairProgram, "compiled", None)
    run_all(tiny_runs.config(root, **{**BOTH, "sweep__model": ()}), workdir, sweep=True)
    assert list(points(workdir)) == [("teacher", 1), ("teacher", 3)]
    assert not (workdir / "student").exists()


def test_the_student_may_be_the_selected_point(root: Path, tmp_path: Path) -> None:
    c = tiny_runs.config(root, **SMALL, sample__model="student", sample__steps=1)
    run_all(c, tmp_path, sweep=False)
    (row,) = points(tmp_path).values()
    assert row["selected"] and (row["model"], row["unet_calls"], row["eta"]) == ("student", 1, 0.0)
    assert json.loads((tmp_path / "calibration.json").read_text())["model"] == "student"
    assert (tmp_path / "report.html").stat().st_size > 0


def test_the_entry_point_trains_what_is_missing_and_says_how_close_it_came(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distil.main(tiny_runs.config(root, **SMALL), tmp_path / "w")
    said = capsys.readouterr().out
    assert "validation_rmse_1" in said and "teacher_one_call" in said
    assert read_jsonl(tmp_path / "w" / "train.jsonl") and read_jsonl(tmp_path / "w" / "distil.jsonl")[-1]["step"] == 6
    params = Checkpoints(tmp_path / "w" / "student").steps()
    assert params[-1] == 6
    with pytest.raises(InputError, match=r"student\.grid='reference'"):
        distil.main(tiny_runs.config(root, **SMALL, student__grid="reference"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_the_real_network_learns_in_the_loop(
    root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One level of a U-Net: what the stand-ins above stand for."""
    monkeypatch.undo()
    c = tiny_runs.config(root, **{**SMALL, "model__base": 8, "student__steps": 2, "student__calls": 1})
    unet = student.build_student(c.model, c.data.size).unet
    shapes = jax.eval_shape(unet.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), jnp.zeros(1, int))["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda s: 0.1 * rng.standard_normal(s.shape).astype(np.float32), shapes)
    found = distilled(c, tmp_path, data, params)
    assert found.params.keys() == {"unet", "w_embedding", "start_embedding", "target", "correction"}
    assert float(jnp.abs(found.params["correction"]["kernel"]).max()) > 0
    rows = read_jsonl(tmp_path / "distil.jsonl")
    assert rows[0]["validation_rmse_1"] == pytest.approx(rows[0]["teacher_one_call"], rel=1e-3)
