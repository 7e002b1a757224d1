"""What the selected point goes through is kept once, for the pictures a report shows, and never of another point."""

import functools
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from trees import mvtec

from ddad_jax.backbones import feature_fn
from ddad_jax.data import ImageSet
from ddad_jax.distilled import reconstruct_by_student
from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.methods.ddad import evidence, trajectories
from ddad_jax.engine.methods.ddad.method import DDAD
from ddad_jax.engine.methods.ddad.points import SETTINGS, ddad_plan
from ddad_jax.engine.methods.ddad.trajectories import NAME, keep, load_trajectory
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.report import results
from ddad_jax.engine.report.results import browser_of
from ddad_jax.engine.store.tables import write_text
from ddad_jax.engine.sweep import rows as sweep_rows
from ddad_jax.engine.sweep.selected import load_selected
from ddad_jax.engine.verdicts.shown import report_rows
from ddad_jax.engine.verdicts.verdicts import found_of
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import time_grid
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.types import Array

FEATURES = feature_fn(tiny_runs.BACKBONE, tiny_runs.variables())


def eps_fn(x_t: Array, t: Array) -> Array:
    return jnp.tanh(0.8 * x_t + x_t.mean((1, 2), keepdims=True))


def predict(x_t: Array, t: Array, y: Array, w: Array, t_prime: Array) -> tuple[Array, Array]:
    return eps_fn(x_t, t), 0.1 * y


@pytest.fixture(scope="module")
def teacher() -> PairProgram:
    return PairProgram(lambda _: (eps_fn, FEATURES), None, alpha_bar=jnp.asarray(alpha_bar_table()))


@pytest.fixture(scope="module")
def taught() -> evidence.Taught:
    how: Any = {"alpha_bar": jnp.asarray(alpha_bar_table()), "reconstruct": reconstruct_by_student}
    return evidence.Taught(PairProgram(lambda _: (predict, FEATURES), None, **how), {"student": "one"})


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The points that were looked at step by step."""
    points: list[Any] = []

    @functools.wraps(trajectories.visits)
    def watched(program: Any, pictures: Any, point: Any, **how: Any) -> Any:
        points.append(point)
        return visits(program, pictures, point, **how)

    visits = trajectories.visits
    monkeypatch.setattr(trajectories, "visits", watched)
    return points


def evaluated(
    root: Path, workdir: Path, teacher: PairProgram, taught: evidence.Taught | None = None, **changes: Any
) -> tuple[Any, Data]:
    """A sweep over the selected point alone, then what this module keeps of it; (the point, the data)."""
    c = tiny_runs.config(root, **{"output__browser": 4, "sample__steps": 3, **changes})
    data, todo = load_data(c), ddad_plan(c, sweep=False)
    assert todo.selected is not None
    sweep_rows.compute_rows(c, workdir, data, tiny_runs.fitted(c, workdir, teacher, student=taught), todo)
    keep(
        workdir, data, todo.selected, teacher, taught.program if taught else None, most=c.output.browser,
        chunk=c.sample.batch_size,
    )  # fmt: skip
    return todo.selected, data


def test_the_predictions_end_in_the_picture_that_was_compared(
    root: Path, tmp_path: Path, teacher: PairProgram, looked: list[Any]
) -> None:
    point, data = evaluated(root, tmp_path, teacher)
    kept = load_trajectory(tmp_path)
    assert kept is not None and len(kept.at) == 4 and kept.x0_hat.shape == (4, 3, 32, 32, 3)
    assert kept.times.tolist() == [time_grid(point[0]).t.tolist()] * 4
    own = load_selected(tmp_path)["x0"][kept.at]
    np.testing.assert_allclose(kept.x0_hat[:, -1].astype(int), own, atol=1)
    assert (kept.x0_hat[:, 0] != kept.x0_hat[:, -1]).any()
    evaluated(root, tmp_path, teacher)
    assert len(looked) == 1, "it is there already"


def test_another_point_other_pictures_and_a_damaged_file_are_made_anew(
    root: Path, tmp_path: Path, teacher: PairProgram, looked: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    evaluated(root, tmp_path, teacher)
    evaluated(root, tmp_path, teacher, sample__w=1.0)
    assert [point.w for point in looked] == [3.0, 1.0]
    evaluated(root, tmp_path, teacher, sample__w=1.0, output__browser=3)
    assert len(looked) == 3 and len((load_trajectory(tmp_path) or pytest.fail()).at) == 3
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[: len(content) // 2])
    assert load_trajectory(tmp_path) is None
    evaluated(root, tmp_path, teacher, sample__w=1.0, output__browser=3)
    assert len(looked) == 4 and load_trajectory(tmp_path) is not None
    said = [r.getMessage() for r in caplog.records if f"{NAME}: cannot be read" in r.getMessage()]
    assert [sentence.rpartition(". ")[2] for sentence in said] == ["The report leaves it out", "It is made anew"]
    # The file beside other weights, or beside what another point left, is nobody's.
    write_text(tmp_path / "journal_of.json", '{"weights": "0"}')
    assert load_trajectory(tmp_path) is None


def test_nothing_is_kept_where_nothing_is_shown(root: Path, tmp_path: Path, teacher: PairProgram) -> None:
    evaluated(root, tmp_path, teacher, output__browser=0)
    assert not (tmp_path / NAME).exists() and load_trajectory(tmp_path) is None


def test_a_start_of_ones_own_and_a_student_are_followed(
    root: Path, tmp_path: Path, teacher: PairProgram, taught: evidence.Taught
) -> None:
    evaluated(root, tmp_path / "rise", teacher, sample__rise=0.5)
    kept = load_trajectory(tmp_path / "rise")
    assert kept is not None and len(np.unique(kept.times[:, 0])) > 1 and kept.times[:, 0].max() <= 375
    own = load_selected(tmp_path / "rise")["x0"][kept.at]
    np.testing.assert_allclose(kept.x0_hat[:, -1].astype(int), own, atol=1)
    evaluated(root, tmp_path / "s", teacher, taught, sample__model="student", sample__steps=2, sample__eta=0.0)
    kept = load_trajectory(tmp_path / "s")
    assert kept is not None and kept.x0_hat.shape[1] == 2
    own = load_selected(tmp_path / "s")["x0"][kept.at]
    np.testing.assert_allclose(kept.x0_hat[:, -1].astype(int), own, atol=1)


def test_pictures_of_tiles_are_whole_again(tmp_path: Path, teacher: PairProgram) -> None:
    mvtec(tmp_path / "data", n_train=9)
    picture: dict[str, Any] = {"data__picture": (48, 64), "data__overlap": 8}
    evaluated(tmp_path / "data", tmp_path / "w", teacher, **picture)
    kept = load_trajectory(tmp_path / "w")
    assert kept is not None and kept.x0_hat.shape == (4, 3, 48, 64, 3) and kept.times.shape == (4, 3)
    own = load_selected(tmp_path / "w")["x0"][kept.at]
    np.testing.assert_allclose(kept.x0_hat[:, -1].astype(int), own, atol=2)


def pictures(defects: list[str]) -> ImageSet:
    n = len(defects)
    labels = np.array([kind != "good" for kind in defects], np.int32)
    blank = np.zeros((n, 2, 2), bool)
    names = tuple(f"{i}" for i in range(n))
    return ImageSet(np.zeros((n, 2, 2, 3), np.uint8), labels, blank, blank[:, 0, 0], tuple(defects), names)


def test_each_kind_has_its_share_and_shows_what_was_hardest() -> None:
    test = pictures(["good"] * 20 + ["dent"] * 20 + ["rust"] * 2)
    scores = np.arange(42, dtype=np.float32)
    at = report_rows(test, scores, 14)
    kinds = [test.defects[i] for i in at]
    assert [kinds.count(kind) for kind in ("good", "dent", "rust")] == [6, 6, 2]
    assert {17, 18, 19, 20, 21, 22, 40, 41} <= set(at.tolist()), "good ones of a high, bad ones of a low score"
    assert at.tolist() == sorted(set(at.tolist())) and 0 in at and 39 in at
    assert len(report_rows(test, scores, 100)) == 42 and len(report_rows(test, scores, 1)) == 1


def test_a_run_keeps_it_for_its_report_and_an_old_run_has_a_report_without_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)
    there: list[bool] = []
    monkeypatch.setattr(results, "write_results", lambda *run, **how: there.append((tmp_path / NAME).exists()))
    c = tiny_runs.config(root, output__browser=3)
    rows, data = run_all(c, tmp_path, sweep=False), load_data(c)
    assert there == [True]

    def steps() -> list[list[int]]:
        chosen = load_selected(tmp_path)
        made = {**{name: rows[0][name] for name in (*SETTINGS, "crop")}, **DDAD().numbers(rows[0])}
        found = browser_of(c, tmp_path, data, chosen, found_of(c, tmp_path, data, chosen, made, masked=False))
        assert found is not None and found.of == len(data.test.labels)
        return [[t for t, _ in one.steps] for one in found.pictures]

    assert steps() == [[250, 125]] * 3
    (tmp_path / NAME).unlink()
    assert steps() == [[]] * 3
