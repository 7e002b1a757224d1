"""The drift of bfloat16 is measured on a finished run as it is: same point, same noise, constants of float32."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from absl import flags
from absl.testing import flagsaver

from ddad_jax.backbones import Backbone
from ddad_jax.engine.cost.drift import DRIFT_COLUMNS, VARIANTS, Made, drift, drift_columns
from ddad_jax.engine.methods.ddad import evidence, extractor
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.settings.sections import BackboneSettings
from ddad_jax.engine.store.tables import format_table, write_jsonl
from ddad_jax.errors import InputError
from ddad_jax.types import EpsFn
from experiments import benchmark


def eps_fn(unet: Any, params: Any) -> EpsFn:
    """The small noise predictor, computing in the type of the U-Net it stands for."""
    return lambda x_t, t: jnp.tanh(tiny_runs.predict(params, x_t, t).astype(unet.dtype)).astype(jnp.float32)


def backbone(b: BackboneSettings) -> Backbone:
    dtype = jnp.dtype(b.dtype)
    return tiny_runs.BACKBONE._replace(normalise=lambda x: x.astype(dtype).astype(jnp.float32))


class Run:
    def __init__(self, base: Path, **changes: Any) -> None:
        self.workdir = base / "w"
        self.config = tiny_runs.config(tiny_runs.folder(base / "data"), sample__w=2.0, **changes)
        run_all(self.config, self.workdir, sweep=False)


@pytest.fixture(scope="module", autouse=True)
def small_networks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        patch.setattr(evidence, "eps_fn", eps_fn)
        patch.setattr(evidence, "build_backbone", backbone)
        patch.setattr(extractor, "load_backbone", lambda name, path: tiny_runs.variables())
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("drift"), score__standardise=True, score__crop=28)


@pytest.fixture(scope="module")
def rows(run: Run) -> dict[str, dict[str, Any]]:
    before = {path: path.read_bytes() for path in run.workdir.rglob("*") if path.is_file()}
    found = drift(run.config, run.workdir, 1)
    assert {path: path.read_bytes() for path in run.workdir.rglob("*") if path.is_file()} == before
    return {row["name"]: row for row in found}


def test_float32_is_the_run_itself(rows: dict[str, dict[str, Any]]) -> None:
    exact = rows["float32"]
    assert exact["run_score_max"] < 1e-5
    assert (exact["map_rms"], exact["x0_rms"], exact["score_max"], exact["flips"]) == (0, 0, 0, 0)
    assert exact["spearman"] == pytest.approx(1)


def test_each_type_drifts_where_it_is_used(rows: dict[str, dict[str, Any]]) -> None:
    assert list(rows) == list(VARIANTS)
    unet, features, both = (rows[name] for name in list(VARIANTS)[1:])
    # Equal reconstructions can only come of equal noise.
    assert features["x0_rms"] == 0 < unet["x0_rms"] < 0.02
    assert both["x0_rms"] == unet["x0_rms"]
    for row in (unet, features, both):
        assert 0 < row["map_rms"] < 0.3
        assert 0 < row["score_mean"] <= row["score_max"] < 0.5
        assert 0 <= row["image_auroc"] <= 1 and 0 <= row["aupro_30"] <= 1 and row["ms_per_image"] > 0
    assert "flips" in format_table(list(rows.values()), DRIFT_COLUMNS).splitlines()[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"sample__grid": "optimised", "sample__rise": 0.2, "grid__teacher_steps": 6, "score__normalise": "batch"},
        {"sample__model": "student", "sample__steps": 1, "student__steps": 2, "student__teacher_steps": 2},
    ],
    ids=["own start of each picture, optimised grid, published ratio", "student"],
)
def test_every_kind_of_point_is_the_runs_own(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = Run(tmp_path, **changes)
    (exact, *_) = drift(run.config, run.workdir, 1)
    assert exact["run_score_max"] < 1e-5


def test_differences_are_those_a_person_works_out() -> None:
    exact = Made(np.full((4, 2, 2), 2.0), np.array([1.0, 2.0, 4.0, 5.0]), np.zeros((4, 2, 2, 3)))
    found = Made(np.full((4, 2, 2), 2.1), np.array([1.0, 2.2, 5.0, 4.0]), np.full((4, 2, 2, 3), -0.25))
    said = drift_columns(found, exact, threshold=2.1)
    assert said["map_rms"] == pytest.approx(0.05)
    assert said["x0_rms"] == pytest.approx(0.25)
    assert said["score_mean"] == pytest.approx((0 + 0.1 + 0.25 + 0.2) / 4)
    assert said["score_max"] == pytest.approx(0.25)
    assert said["spearman"] == pytest.approx(0.8)
    assert said["flips"] == 1
    # A score at the threshold itself is normal, as in scores.csv.
    assert drift_columns(found, exact, threshold=2.2)["flips"] == 0


def damaged(run: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run.workdir, tmp_path / "w"))


@pytest.mark.parametrize("name", ["config.json", "train", "results.jsonl", "selected.npz", "calibration.json"])
def test_a_half_finished_run_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    folder = damaged(run, tmp_path)
    shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    with pytest.raises(InputError, match=rf"--workdir=.*{name} is missing; expected a finished run"):
        drift(run.config, folder, 1)


def test_a_folder_that_is_none_or_was_not_adapted_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json is missing"):
        drift(run.config, tmp_path / "none", 1)
    c = changed(run.config, {"adapt.epochs": 1})
    with pytest.raises(InputError, match=r"adapt/chosen\.json is missing"):
        drift(c, run.workdir, 1)


@pytest.mark.parametrize("text", ["", "[]", '{"w": 1.0}', '{"threshold": "high"}'])
def test_a_calibration_that_is_none_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    folder = damaged(run, tmp_path)
    (folder / "calibration.json").write_text(text)
    with pytest.raises(InputError, match=r"calibration\.json: cannot be read"):
        drift(run.config, folder, 1)


def test_a_model_of_other_settings_or_steps_is_refused(run: Run, tmp_path: Path) -> None:
    c = changed(run.config, {"model.base": 24})
    with pytest.raises(InputError, match=r"model\.base: there 16, now 24"):
        drift(c, run.workdir, 1)
    c = changed(run.config, {"backbone.feature_size": 48})
    with pytest.raises(InputError, match="backbone_feature_size: there 0, now 48"):
        drift(c, run.workdir, 1)
    folder = damaged(run, tmp_path)
    write_jsonl(folder / "train.jsonl", [{"step": 3}])
    with pytest.raises(InputError, match="training has not ended"):
        drift(run.config, folder, 1)


def test_the_benchmark_prints_and_writes_it(
    run: Run, rows: dict[str, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    out = tmp_path / "out.json"
    with flagsaver.flagsaver(what=["drift"], against="", batch_sizes=["1"], repeats=1, json=str(out)):
        benchmark.main(run.config, run.workdir)
    printed = capsys.readouterr().out
    assert all(name in printed for name in VARIANTS)
    written = json.loads(out.read_text())["rows"]
    assert [row["name"] for row in written] == list(VARIANTS)
    for row in written:
        assert row.keys() == rows[row["name"]].keys()
        for name in ("map_rms", "x0_rms", "score_max", "flips", "aupro_30"):
            assert row[name] == pytest.approx(rows[row["name"]][name], rel=1e-3, abs=1e-6)
