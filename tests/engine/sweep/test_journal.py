"""Which rows of a journal are of this run, and what happens to those of another."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.evidence import Taught
from ddad_jax.engine.methods.ddad.side_by_side import FOLDER
from ddad_jax.engine.methods.loop import trained_steps
from ddad_jax.engine.methods.method import key_columns
from ddad_jax.engine.methods.point import key_of, point_settings
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.engine.store.tables import append_jsonl
from ddad_jax.engine.sweep.journal import append, claim_journal, finished_rows, made_with, measured_with, warn_of_gaps
from ddad_jax.errors import InputError
from ddad_jax.metrics import METRICS
from ddad_jax.points import ReconPoint, ScorePoint, grid_key
from ddad_jax.timesteps import TimeGrid

POINT = ReconPoint(3.0, 250, 2, 0.0, "trailing", 0)
SCORE = ScorePoint(1.0, ("layer2", "layer3"), 0.5)
TAUGHT = POINT._replace(model="student")
MADE = {
    POINT: {"method": "ddad", "test_set": "a", "times": "250-125"},
    TAUGHT: {"method": "ddad", "test_set": "a", "student": "s", "times": "250-125"},
}
METHOD = METHODS["ddad"]


def row(point: ReconPoint = POINT, **more: Any) -> dict[str, Any]:
    return {**point_settings(point, SCORE), "image_auroc": 0.9, "method": "ddad", "test_set": "a", **more}


def found(tmp_path: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    for one in rows:
        append_jsonl(tmp_path / "journal.jsonl", one)
    return list(finished_rows(tmp_path / "journal.jsonl", METHOD, MADE).values())


def test_a_workdir_without_a_journal_has_no_rows(tmp_path: Path) -> None:
    assert finished_rows(tmp_path / "journal.jsonl", METHOD, MADE) == {}


def test_only_rows_made_the_same_way_are_of_this_run(tmp_path: Path) -> None:
    assert found(tmp_path, row(), row(test_set="b", v=2.0), row(v=3.0)) == [row(), row(v=3.0)]


def test_a_students_rows_are_of_that_student(tmp_path: Path) -> None:
    own = row(TAUGHT, student="s")
    assert found(tmp_path, row(TAUGHT), row(TAUGHT, student="other"), own, row()) == [own, row()]


def test_other_times_make_another_row_where_a_row_says_them(tmp_path: Path) -> None:
    known = [row(times="250-125"), row(v=2.0)]
    assert found(tmp_path, *known, row(v=3.0, times="250-60")) == known


def test_rows_of_points_that_the_run_does_not_have_are_left_alone(tmp_path: Path) -> None:
    assert found(tmp_path, row(POINT._replace(w=9.0)), row(), {"trial": 1}) == [row()]


def test_a_row_from_before_a_setting_is_as_it_was_made_then(tmp_path: Path) -> None:
    later = ("rise", "reuse", "model", "standardise", "method")
    old = {name: value for name, value in row().items() if name not in later}
    (only,) = found(tmp_path, old)
    assert only == row()
    assert list(finished_rows(tmp_path / "journal.jsonl", METHOD, MADE)) == [key_of(row(), key_columns(METHOD))]


def test_rows_from_before_a_metric_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = row(**dict.fromkeys(METRICS, 0.5), v=2.0)
    diverged = whole | dict.fromkeys(METRICS)  # nothing was found, but it was looked for
    warn_of_gaps([whole, diverged])
    assert not caplog.records
    warn_of_gaps([whole, {name: value for name, value in whole.items() if name != "pixel_ap"}])
    assert "of the 2 rows that this workdir holds, there is no pixel_ap in 1" in caplog.text
    assert "--workdir" in caplog.text


def test_the_last_of_two_rows_of_a_point_counts(tmp_path: Path) -> None:
    assert found(tmp_path, row(image_auroc=0.1), row(image_auroc=0.8)) == [row(image_auroc=0.8)]


def test_an_appended_row_is_given_as_it_will_be_read(tmp_path: Path) -> None:
    given = append(tmp_path / "journal.jsonl", row(image_auroc=float("nan"), ratio=np.float32(0.5), unet_calls=2))
    assert given == row(image_auroc=None, ratio=0.5, unet_calls=2)
    assert found(tmp_path) == [given]


def test_what_a_row_depends_on_is_said_of_it(root: Path, data: Data, tmp_path: Path) -> None:
    c = tiny_runs.config(root, teacher=20, score__normalise="batch")
    optimised = POINT._replace(grid="optimised")
    grid = TimeGrid(np.array(250), np.array([250, 60]), np.array([60, 0]))
    no_network: Any = None
    taught = Taught(no_network, {"student": "s"})
    fitted = tiny_runs.fitted(c, tmp_path, epoch=3, student=taught, grids={grid_key(optimised): grid})
    measured = measured_with(c, tmp_path, data, fitted)
    assert measured["adapt_epoch"] == 3 and measured["score_batch"] == c.score.batch and "test_set" not in measured
    assert measured["method"] == "ddad"
    made = made_with(c, tmp_path, data, fitted, [POINT, TAUGHT, optimised])
    plain = made[POINT]
    assert measured.items() <= plain.items() and plain["teacher"] == 20 and plain["test_set"]
    assert made[TAUGHT] == {**plain, "student": "s"}
    assert made[optimised] == {**plain, "times": "250-60"} != plain


@pytest.mark.parametrize("beside", ["nothing", "a journal"])
def test_what_other_parameters_left_is_set_aside(tmp_path: Path, beside: str) -> None:
    journal, pictures, selected = tmp_path / "journal.jsonl", tmp_path / FOLDER, tmp_path / "selected.npz"
    claim_journal(journal, {"gain": jnp.ones(3)})
    pictures.mkdir()
    selected.write_bytes(b"maps")
    if beside == "a journal":
        journal.write_text("{}\n")
    claim_journal(journal, {"gain": jnp.ones(3)})
    assert pictures.is_dir() and selected.exists() and journal.exists() == (beside == "a journal")
    claim_journal(journal, {"gain": jnp.zeros(3)})
    gone = beside == "a journal"
    assert not journal.exists() and (pictures.is_dir(), selected.exists()) == (not gone, not gone)
    assert [kept.read_text() for kept in tmp_path.glob("journal-*.jsonl")] == ["{}\n"] * gone


@pytest.mark.parametrize("said", ["", "{", "[]", "{}", '{"weights": 5}', '{"weights": "a/b"}'])
def test_a_journal_that_does_not_say_whose_it_is_is_refused(tmp_path: Path, said: str) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text("{}\n")
    (tmp_path / "journal_of.json").write_text(said)
    with pytest.raises(InputError, match=r"journal_of\.json: .*Delete it to take the rows"):
        claim_journal(journal, {"gain": jnp.ones(3)})
    assert journal.read_text() == "{}\n"


def test_the_steps_of_a_model_are_those_of_its_history(tmp_path: Path) -> None:
    assert trained_steps(tmp_path) == 0
    for step in (100, 200):
        append_jsonl(tmp_path / "train.jsonl", {"step": step})
    assert trained_steps(tmp_path) == 200
