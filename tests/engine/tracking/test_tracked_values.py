"""What a run says to its trackers: its course, its rows by their numbers, its figures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax
import pytest
import tiny_runs
from tracked import scalars, tags

from ddad_jax.backbones import feature_fn
from ddad_jax.engine import tracking
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.points import SETTINGS, config_point, ddad_plan
from ddad_jax.engine.methods.ddad.sections import DDADSettings, TrainSettings
from ddad_jax.engine.methods.loop import learning_rate
from ddad_jax.engine.methods.point import point_settings
from ddad_jax.engine.store.tables import plain, read_jsonl
from ddad_jax.engine.sweep.journal import made_with
from ddad_jax.engine.tracking import Value, course_of
from ddad_jax.pair_program import PairProgram
from ddad_jax.schedule import alpha_bar_table


@pytest.mark.parametrize("warmup, accumulate", [(0, 1), (5, 1), (3, 2)])
def test_the_learning_rate_of_a_step_is_the_optimisers(warmup: int, accumulate: int) -> None:
    s = TrainSettings(learning_rate=0.2, warmup_steps=warmup, accumulate=accumulate)
    rate = optax.linear_schedule(0.0, 0.2, warmup) if warmup else optax.constant_schedule(0.2)
    for step in range(12):
        assert learning_rate(s, step) == pytest.approx(float(rate(step // accumulate)))


def test_a_run_says_its_course_its_rows_and_its_figures(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ddad_jax.engine.pipeline import run_all

    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)
    c = tiny_runs.config(root, adapt__epochs=1, sweep__w=(0.0, 1.0))
    workdir = tmp_path / "run"
    rows = run_all(c, workdir, sweep=True)
    history = read_jsonl(workdir / "train.jsonl")
    board = workdir / "tensorboard"
    for name in ("loss", "validation_loss", "images_per_s", "learning_rate"):
        expected = [(row["step"], round(row[name], 5)) for row in history if name in row]
        assert expected and scalars(board / "train", f"train/{name}") == [
            (step, pytest.approx(value, rel=1e-4)) for step, value in expected
        ]
    assert [step for step, _ in scalars(board / "adapt", "adapt/contrast")] == [0, 1]
    assert len(list((board / "sweep").iterdir())) == len(rows)
    assert {"run/examples", "run/roc", "run/config/text_summary", "run/environment/text_summary"} <= tags(board / "run")


def test_what_is_computed_anew_is_told_anew_and_what_is_there_is_told_once(
    root: Path, data: Data, tmp_path: Path
) -> None:
    from ddad_jax.engine.sweep import rows as sweep_rows

    def program(gain: float) -> PairProgram:
        features, gains = feature_fn(tiny_runs.BACKBONE, tiny_runs.variables()), jnp.float32(gain)
        return PairProgram(lambda g: (lambda x, t: g * x, features), gains, alpha_bar=jnp.asarray(alpha_bar_table()))

    def told(c: DDADSettings, with_: PairProgram) -> int:
        """Number of the one row of a sweep, which the same sweep repeated finds and tells as that."""
        said: list[int] = []
        for _ in range(2):
            write = lambda step, values: said.append(step)  # noqa: E731
            sweep_rows.compute_rows(
                c, tmp_path, data, tiny_runs.fitted(c, tmp_path, with_), ddad_plan(c, sweep=False), write=write
            )
        assert len(said) == 2 and said[0] == said[1]
        return said[0]

    c, crop, one = tiny_runs.config(root), tiny_runs.config(root, score__crop=2), program(0.5)
    numbers = [told(c, one), told(crop, one), told(c, program(0.25))]
    assert len(set(numbers)) == 3 and told(c, one) == numbers[0]


def test_the_number_of_a_row_is_that_of_all_it_was_made_with(root: Path, data: Data, tmp_path: Path) -> None:
    c = tiny_runs.config(root, synthetic_defects=2, teacher=4, at_threshold=True)
    point = config_point(c)
    own = made_with(c, tmp_path, data, tiny_runs.fitted(c, tmp_path), [point.costly])[point.costly]
    own = {**own, "student": "ab"}
    assert {"normalise", "crop", "clip", "dtype", "held_out", "backbone_weights", "teacher", "test_set"} <= own.keys()
    row = {**point_settings(*point), **own, "image_auroc": 0.5, "ms_per_image": 7.0}

    def number(row: dict[str, Any], weights: str = "01") -> int:
        return tracking.row_of_sweep(row, (*SETTINGS, *own), weights)[0]

    numbers = [number(row), number(row, "02")]
    numbers += [number({**row, name: "another"}) for name in (*point_settings(*point), *own)]
    assert len(set(numbers)) == len(numbers)
    assert number({**row, "image_auroc": 0.6, "ms_per_image": 8.0}) == numbers[0]
    assert number(json.loads(json.dumps(plain(row)))) == numbers[0], "as the journal gives it back"
    trials = [tracking.row_of_search({**row, "trial": n}, {"over": over}) for n in (0, 1) for over in ("w", "v")]
    assert len({number for number, _ in trials}) == 4 and trials[0][1]["search/image_auroc"] == 0.5


def test_histories_are_told_as_numbers() -> None:
    said: Mapping[str, Value] = course_of("adapt", {"epoch": 3, "loss": 0.5, "contrast": None, "seconds": 2})
    assert said == {"adapt/loss": 0.5, "adapt/seconds": 2.0}
