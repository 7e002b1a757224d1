"""Scores of a noise predictor that redraws nothing: points of DDAD's own sweep, from its settings to a verdict."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs

import ddad_jax
from ddad_jax.data.read import read_full
from ddad_jax.engine.detector import export
from ddad_jax.engine.methods.ddad.points import adaptation_point, config_point, ddad_plan
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.report import results
from ddad_jax.engine.setting_doubts import doubts
from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint, ScorePoint

SWEPT: dict[str, Any] = {
    "sweep__scoring": ("reconstruction", "inversion", "resilience"), "sweep__v": (0.0, 1.0), "sweep__steps": (1, 2),
    "sweep__sigma": (2.0, 4.0),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        yield


def test_a_sweep_has_each_map_once(root: Path) -> None:
    points = ddad_plan(tiny_runs.config(root, **SWEPT), sweep=True).points
    asked = [(costly.scoring, costly.steps, cheap.v, cheap.layers) for costly, cheap in points if cheap.sigma == 0.25]
    features = ("layer2", "layer3")
    assert sorted(asked) == sorted(
        [("inversion", steps, 1.0, ()) for steps in (1, 2)]
        + [("resilience", 1, 1.0, ())]
        + [("reconstruction", steps, v, features) for steps in (1, 2) for v in (0.0, 1.0)]
    )
    assert len(points) == 2 * len(asked)


@pytest.mark.parametrize("scoring", [pytest.param("inversion", marks=pytest.mark.slow), "resilience"])
def test_a_run_without_reconstructions_adapts_nothing_and_is_used_as_any_other(
    root: Path, tmp_path: Path, scoring: str
) -> None:
    c = tiny_runs.config(root, sample__scoring=scoring, adapt__epochs=1, sample__draws=2, sweep__seed=(3,))
    assert not c.adapts and not c.tunes
    (row,) = run_all(c, tmp_path / "w", sweep=False)
    assert not (tmp_path / "w" / "adapt").exists()
    assert (row["scoring"], row["unet_calls"], row["layers"], row["ratio"]) == (scoring, [2, 4][scoring > "j"], "", 1.0)
    assert "blend_at_end" not in row and np.isfinite(row["image_auroc"])
    with (tmp_path / "w" / "scores.csv").open(newline="") as file:
        scores = {row["name"]: float(row["score"]) for row in csv.DictReader(file)}
    detector = ddad_jax.load(tmp_path / "w", batch=3)
    found = detector([read_full(root / name) for name in scores])
    np.testing.assert_allclose([one.score for one in found], list(scores.values()), rtol=1e-4)
    assert "scores here: within" in export.write_export(detector, tmp_path / "model.ddad", ["cpu"])
    assert "Nothing is redrawn" in (tmp_path / "w" / "report.html").read_text()


@pytest.mark.slow
def test_rows_of_a_sweep_with_reconstructions_stay_where_a_score_without_is_asked_for(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "write_results", lambda *args, **named: None)
    how: dict[str, Any] = {"adapt__epochs": 1, "sweep__scoring": ("reconstruction", "inversion")}
    rows = run_all(tiny_runs.config(root, **how), tmp_path / "w", sweep=True)
    (tmp_path / "w" / "adapt" / "chosen.json").write_text('{"epoch": 1, "format": 1}')
    one = tiny_runs.config(root, adapt__epochs=1, sample__scoring="inversion")
    fitted = method_of(one).restored(one, tmp_path / "w")
    assert {row["scoring"] for row in rows} == {"reconstruction", "inversion"} and fitted.columns["adapt_epoch"] == 1


def test_adaptation_learns_from_reconstructions_whatever_is_scored(root: Path) -> None:
    how: dict[str, Any] = {"sample__scoring": "resilience", "adapt__pairs": "self", "adapt__epochs": 1}
    c = tiny_runs.config(root, **how, sweep__scoring=("reconstruction",))
    assert c.adapts and config_point(c).costly.scoring == "resilience"
    assert adaptation_point(c) == ReconPoint(3.0, 250, 2, 1.0, "trailing", 0)


def test_a_row_gives_its_point(root: Path) -> None:
    method = method_of(tiny_runs.config(root))
    point = config_point(tiny_runs.config(root, sample__scoring="inversion"))
    row = {**point.costly._asdict(), **point.cheap._asdict(), "layers": ""}
    assert method.point_of(row) == point
    assert point.cheap == ScorePoint(1.0, (), 0.5, feature_weight=0.0, upsampling="half_pixel")


def test_a_student_is_refused(root: Path) -> None:
    c = tiny_runs.config(root, sample__scoring="inversion", sample__model="student", sample__steps=1)
    with pytest.raises(InputError, match=r"--config\.sample\.scoring=inversion.*student redraws pictures"):
        config_point(c)
    both = tiny_runs.config(
        root, sweep__scoring=("reconstruction", "inversion"), sweep__model=("teacher", "student"), sweep__steps=(1,)
    )
    asked = {(p.model, p.scoring) for p in ddad_plan(both, sweep=True).costly}
    assert ("student", "reconstruction") in asked and ("student", "inversion") not in asked


def test_settings_that_nothing_looks_at_are_named(root: Path) -> None:
    how: dict[str, Any] = {"sample__w": 1.0, "score__v": 3.0, "adapt__epochs": 2, "sample__draws": 4}
    without = " ".join(doubts(tiny_runs.config(root, sample__scoring="inversion", **how)))
    for flag in ("sample.w=1.0", "score.v=3.0", "adapt.epochs=2"):
        assert f"--config.{flag}: has no effect without a point of scoring = reconstruction" in without
    assert "--config.sample.draws=4: has no effect without a point of scoring = reconstruction or resilience" in without
    mixed = " ".join(doubts(tiny_runs.config(root, sweep__scoring=("reconstruction", "inversion"), **how)))
    assert "scoring" not in mixed
