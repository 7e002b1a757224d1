"""From a folder of pictures to the report: everything is left behind, and reused."""

import csv
import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import tiny_runs
from PIL import Image
from trees import pixels, save, square_mask
from undrawn import drawn_figures

from ddad_jax.engine.methods.ddad import extractor, noise_predictor
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.errors import InputError
from ddad_jax.metrics import IMAGE_METRICS, METRICS, PIXEL_METRICS
from ddad_jax.pair_program import PairProgram

MEASURED = ("ms_per_image",)


def table(workdir: Path) -> list[dict[str, str]]:
    """results.csv without what a clock measured."""
    with (workdir / "results.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in MEASURED} for row in csv.DictReader(file)]


class Run:
    """One full run, as ``python -m experiments.sweep`` does it, with small networks."""

    def __init__(self, base: Path) -> None:
        self.root, self.workdir = tiny_runs.folder(base / "data"), base / "w"
        self.changes: dict[str, Any] = {
            "adapt__epochs": 1,
            "sweep__w": (0.0, 3.0),
            "sweep__v": (0.0, 1.0),
            "output__maps": True,
        }
        self.config = tiny_runs.config(self.root, **self.changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        drawn_figures(patch.setattr)
        run_all(run.config, run.workdir, sweep=True)
    return run


def test_everything_is_left_behind(finished: Run) -> None:
    here = finished.workdir
    for name in ("config.json", "environment.json", "results.csv", "results.jsonl", "scores.csv", "calibration.json",
                 "protocol.json", "report.html", "train.jsonl", "adapt.jsonl", "figures/examples.png",
                 "figures/training.png"):  # fmt: skip
        assert (here / name).stat().st_size > 0, name
    rows = read_jsonl(here / "results.jsonl")
    assert len(rows) == len(table(here)) == 4
    assert [row["selected"] for row in rows].count(True) == 1
    for row in rows:
        assert {
            "w",
            "t_prime",
            "steps",
            "eta",
            "seed",
            "v",
            "layers",
            "sigma",
            "unet_calls",
            "ms_per_image",
        } <= row.keys()
        assert all(0 <= row[name] <= 1 for name in METRICS)
        assert row["train_steps"] == 6
    page = (here / "report.html").read_text()
    assert "What this test set can tell" in page
    assert "bolt" in page and "http://" not in page and 'src="data:image/png' in page


def test_scores_are_one_a_picture(finished: Run) -> None:
    with (finished.workdir / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows) and len(rows) == 5
    assert {(row["defect"], row["label"]) for row in rows} == {("good", "0"), ("bent", "1"), ("rust", "1")}
    calibration = json.loads((finished.workdir / "calibration.json").read_text())
    assert all(float(row["threshold"]) == calibration["threshold"] for row in rows)
    assert calibration["threshold"] == max(calibration["normal_scores"]) and calibration["ratio"] > 0


def test_maps_lie_where_mvtec_looks_for_them_at_the_size_of_the_pictures(finished: Run) -> None:
    maps = finished.workdir / "anomaly_maps"
    found = sorted(p.relative_to(maps).as_posix() for p in maps.rglob("*.tiff"))
    assert found == [f"bolt/test/{name}.tiff" for name in ("bent/000", "bent/001", "good/000", "good/001", "rust/000")]
    for name in found:
        anomaly = tifffile.imread(maps / name)
        assert anomaly.dtype == np.float32 and anomaly.shape == (20, 28) and np.isfinite(anomaly).all()


def fail(*args: Any, **how: Any) -> None:
    raise AssertionError("computed again")


@pytest.mark.usefixtures("quick")
def test_what_is_there_is_reused(finished: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(noise_predictor, "train_step", fail)
    monkeypatch.setattr(extractor, "adapt_step", fail)
    monkeypatch.setattr(PairProgram, "compiled", fail)
    workdir = Path(shutil.copytree(finished.workdir, tmp_path / "w"))
    before = table(workdir)
    run_all(finished.config, workdir, sweep=False)
    (alone,) = table(workdir)
    assert alone == next(row for row in before if row["selected"] == "True")
    run_all(finished.config, workdir, sweep=True)
    assert table(workdir) == before
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"train\.steps: there 6, now 7"):
        run_all(tiny_runs.config(finished.root, **finished.changes, train__steps=7), workdir, sweep=True)


@pytest.mark.usefixtures("quick")
def test_the_same_settings_give_the_same_rows(finished: Run, tmp_path: Path) -> None:
    run_all(finished.config, tmp_path / "w", sweep=True)
    assert table(tmp_path / "w") == table(finished.workdir)
    scores = [(workdir / "scores.csv").read_bytes() for workdir in (tmp_path / "w", finished.workdir)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["small", "real"])
def test_the_published_behaviour_in_half_precision_with_few_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: bool
) -> None:
    """normalise = "batch" with a crop, its grid, its loss; bfloat16 in both networks; fewer pictures than a batch."""
    if not real:
        tiny_runs.small_predictor(monkeypatch.setattr)
        tiny_runs.small_backbone(monkeypatch.setattr)
    c = tiny_runs.config(
        tiny_runs.folder(tmp_path / "data", n_train=3),
        sample__grid="reference", sample__clip=False,
        adapt__batch_norm="train", adapt__choose="last", adapt__patience=0,
        score__normalise="batch", score__crop=28, train__reduce="sum", train__ema_decay=0.0, train__clip_norm=0.0,
        train__batch_size=16, model__dtype="bfloat16", backbone__dtype="bfloat16", output__maps=True,
    )  # fmt: skip
    run_all(c, tmp_path / "w", sweep=True)
    (row,) = read_jsonl(tmp_path / "w" / "results.jsonl")
    assert row["normalise"] == "batch" and row["crop"] == 28 and row["dtype"] == "bfloat16"
    assert all(0 <= row[name] <= 1 for name in (*METRICS, "published_pixel_auroc", "published_pro"))
    assert tifffile.imread(tmp_path / "w/anomaly_maps/bolt/test/good/000.tiff").shape == (28, 28)
    assert "ratio" not in json.loads((tmp_path / "w" / "calibration.json").read_text())


@pytest.mark.usefixtures("quick")
def test_a_point_chosen_on_synthetic_defects_needs_no_test_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tiny_runs.folder(tmp_path / "data")
    changes: dict[str, Any] = {
        "select": "synthetic", "synthetic_defects": 9, "synthetic_normals": 8, "sweep__w": (0.0, 0.5),
        "sweep__v": (0.0, 1.0, 7.0), "sweep__standardise": (False, True), "sweep__seed": (0, 1), "data__held_out": 0.4,
    }  # fmt: skip
    run_all(tiny_runs.config(root, **changes), tmp_path / "w", sweep=False)
    rows = read_jsonl(tmp_path / "w" / "results.jsonl")
    assert len(rows) == 30  # the config's own point is a candidate, too

    def worth(row: dict[str, Any]) -> float:
        return row["synthetic_image_auroc"] + 1e-6 * row["synthetic_aupro_30"]

    selected = [row for row in rows if row["selected"]]
    assert [row["seed"] for row in selected] == [0, 1]
    by_point: dict[Any, list[float]] = {}
    for row in rows:
        by_point.setdefault((row["w"], row["v"], row["standardise"]), []).append(worth(row))
    assert np.mean([worth(row) for row in selected]) == max(np.mean(v) for v in by_point.values())
    calibration = json.loads((tmp_path / "w" / "calibration.json").read_text())
    assert all(calibration[name] == selected[0][name] for name in ("w", "v", "standardise"))
    assert "synthetic defects" in (tmp_path / "w" / "report.html").read_text()

    # The labels of the test set choose nothing: without them the same point is selected.
    shutil.rmtree(root / "bolt" / "test" / "bent")
    shutil.rmtree(root / "bolt" / "test" / "rust")
    run_all(tiny_runs.config(root, **changes), tmp_path / "other", sweep=False)
    again = [row for row in read_jsonl(tmp_path / "other" / "results.jsonl") if row["selected"]]
    assert [{name: row[name] for name in ("w", "v", "standardise", "seed")} for row in again] == [
        {name: row[name] for name in ("w", "v", "standardise", "seed")} for row in selected
    ]

    # The chosen point is kept with the model: another evaluation sweeps nothing, whatever the sweep says now.
    monkeypatch.setattr(PairProgram, "compiled", fail)
    run_all(tiny_runs.config(root, **{**changes, "sweep__w": (0.0, 9.0)}), tmp_path / "other", sweep=False)
    (kept,) = read_jsonl(tmp_path / "other" / "results.jsonl")
    assert kept["selected"] and all(kept[name] == selected[0][name] for name in ("w", "v", "standardise"))

    (tmp_path / "other" / "chosen.json").write_text("{}")
    with pytest.raises(InputError, match=r"chosen\.json.*Delete it"):
        run_all(tiny_runs.config(root, **changes), tmp_path / "other", sweep=False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)


def no_masks(root: Path) -> None:
    shutil.rmtree(root / "bolt/ground_truth")


def one_mask_missing(root: Path) -> None:
    (root / "bolt/ground_truth/rust/000.png").unlink()


def empty_mask(root: Path) -> None:
    save(0 * square_mask(), root / "bolt/ground_truth/rust/000.png")


def no_defects(root: Path) -> None:
    for kind in ("bent", "rust"):
        shutil.rmtree(root / "bolt/test" / kind)


def no_good(root: Path) -> None:
    shutil.rmtree(root / "bolt/test/good")


def one_picture(root: Path) -> None:
    no_good(root)
    shutil.rmtree(root / "bolt/test/bent")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("harm", "normalise", "says", "undefined"),
    [
        pytest.param(no_masks, "held_out", "3 of 3 defect images have no mask", PIXEL_METRICS, marks=pytest.mark.slow),
        (no_masks, "batch", "3 of 3 defect images have no mask", PIXEL_METRICS),
        (one_mask_missing, "batch", "1 of 3 defect images have no mask", ()),
        (empty_mask, "held_out", "1 of 3 defect images have an empty mask", ()),
        (no_defects, "held_out", "no defect image", METRICS),
        pytest.param(no_defects, "batch", "no defect image", METRICS, marks=pytest.mark.slow),
        pytest.param(no_good, "held_out", "no good image", IMAGE_METRICS, marks=pytest.mark.slow),
        (one_picture, "batch", "no good image", IMAGE_METRICS),
    ],
)
def test_an_incomplete_test_set_gives_what_it_can_and_says_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
    harm: Callable[[Path], None], normalise: str, says: str, undefined: tuple[str, ...],
) -> None:  # fmt: skip
    root = tiny_runs.folder(tmp_path / "data")
    harm(root)
    c = tiny_runs.config(root, sweep__w=(0.0,), score__normalise=normalise, output__maps=True)
    with caplog.at_level(logging.WARNING):
        run_all(c, tmp_path / "w", sweep=True)
    assert says in caplog.text
    rows = read_jsonl(tmp_path / "w" / "results.jsonl")
    assert len(rows) == 2
    for row in rows:
        assert {name for name in METRICS if row[name] is None} == set(undefined)
    assert says in (tmp_path / "w" / "report.html").read_text()
    if harm is no_defects:
        before = table(tmp_path / "w")
        run_all(c, tmp_path / "w", sweep=True)
        assert table(tmp_path / "w") == before


@pytest.mark.usefixtures("quick")
def test_any_common_kind_of_picture_will_do(tmp_path: Path) -> None:
    root = tiny_runs.folder(tmp_path / "data")
    good = root / "bolt/test/good"
    save(pixels(1)[..., 0], good / "grey.png")
    Image.fromarray(pixels(2)).convert("P").save(good / "palette.png")
    Image.fromarray(pixels(3)).convert("RGBA").save(good / "transparent.png")
    Image.fromarray(pixels(4)[..., 0].astype(np.uint16) * 257).save(good / "deep.png")
    Image.fromarray(pixels(5, 50, 31)).save(good / "upper case.JPEG")
    run_all(tiny_runs.config(root, output__maps=True), tmp_path / "w", sweep=False)
    maps = {p.stem: tifffile.imread(p).shape for p in (tmp_path / "w/anomaly_maps/bolt/test/good").iterdir()}
    assert maps["upper case"] == (50, 31) and maps["deep"] == (20, 28) and len(maps) == 7


@pytest.mark.usefixtures("quick")
def test_a_selected_point_that_diverged_leaves_the_table(tmp_path: Path) -> None:
    root = tiny_runs.folder(tmp_path / "data")
    run_all(tiny_runs.config(root), tmp_path / "w", sweep=False)
    with pytest.raises(InputError, match="not finite"):
        run_all(tiny_runs.config(root, sample__w=1e38, sweep__w=(0.0, 3.0)), tmp_path / "w", sweep=True)
    assert [(row["w"], bool(row["image_auroc"])) for row in table(tmp_path / "w")] == [
        ("0.0", True), ("3.0", True), ("1e+38", False),
    ]  # fmt: skip
    run_all(tiny_runs.config(root, sweep__w=(0.0, 3.0)), tmp_path / "w", sweep=True)
    assert len(table(tmp_path / "w")) == 2


@pytest.mark.usefixtures("quick")
def test_the_limit_in_minutes_ends_training_and_the_rest_goes_on(tmp_path: Path) -> None:
    c = tiny_runs.config(tiny_runs.folder(tmp_path / "data"), train__steps=10**6, train__max_minutes=0.002)
    started = time.perf_counter()
    run_all(c, tmp_path / "w", sweep=False)
    assert time.perf_counter() - started < 120
    (row,) = table(tmp_path / "w")
    assert 1 <= int(row["train_steps"]) < 10**6
