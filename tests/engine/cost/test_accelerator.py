"""A run of measurements ends in time, keeps what it has, and goes on from there; what it measures is what it says."""

import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny_runs
import trees
from absl import flags
from absl.testing import flagsaver

from ddad_jax.engine.cost import accelerator, benchmarks
from ddad_jax.engine.cost.accelerator import HELD_OUT, Sizes, accelerator_measurements, can_pictures
from ddad_jax.engine.cost.time_limit import Measurement, Outcome, measured_within, outcomes_text
from ddad_jax.engine.data.splits import split_data
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.errors import InputError
from ddad_jax.points import recon_grid
from experiments import benchmark


def row(**figures: Any) -> Any:
    return lambda left: dict(figures)


def test_what_is_measured_is_handed_on_at_once() -> None:
    seen: list[list[str]] = []
    todo = [Measurement("first", "calls", row(ms=1.0)), Measurement("second", "calls", row(ms=2.0))]
    found = measured_within(60.0, todo, lambda so_far: seen.append([one.name for one in so_far]))
    assert seen == [["first"], ["first", "second"]]
    assert [one.row for one in found] == [{"ms": 1.0}, {"ms": 2.0}]


def test_the_limit_cuts_one_off_and_leaves_the_others_out() -> None:
    def endless(left: float) -> dict[str, Any]:
        while True:
            time.sleep(0.01)

    todo = [
        Measurement("endless", "calls", endless, share=0.3),
        Measurement("too late", "calls", row(ms=1.0), share=0.3),
        Measurement("reserved", "mtd", row(ms=2.0)),
        Measurement("impossible", "mtd", row(), without="no pictures"),
    ]
    started = time.perf_counter()
    found = {one.name: one for one in measured_within(0.5, todo, lambda so_far: None)}
    assert time.perf_counter() - started < 5
    assert "ended before" in found["endless"].why and not found["endless"].row
    assert found["too late"].why == "no time was left for it"
    assert found["reserved"].row == {"ms": 2.0}
    assert found["impossible"].why == "no pictures"


def test_a_device_without_memory_costs_one_measurement() -> None:
    def too_large(left: float) -> dict[str, Any]:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 80 GB\nof them")

    def wrong(left: float) -> dict[str, Any]:
        raise KeyError("a mistake of ours")

    found = measured_within(
        9.0, [Measurement("large", "calls", too_large), Measurement("b", "calls", row(ms=1.0))], print
    )
    assert found[0].why == "failed: RESOURCE_EXHAUSTED: 80 GB" and found[1].row
    with pytest.raises(KeyError):
        measured_within(9.0, [Measurement("wrong", "calls", wrong)], print)


def test_what_was_measured_before_is_not_measured_again() -> None:
    before = Outcome("first", "calls", 3.0, {"ms": 7.0})
    found = measured_within(9.0, [Measurement("first", "calls", row(ms=1.0))], print, {"first": before})
    assert found == [before]


def test_the_page_has_a_table_a_piece_and_names_what_is_missing() -> None:
    outcomes = [
        Outcome("a | b", "calls", 1.0, {"ms": 1.5, "secret": 3}),
        Outcome("c", "calls", 1.0, {"ms": 2.25}),
        Outcome("d", "mtd", 1.0, {}, "no pictures"),
    ]
    text = outcomes_text("a device", outcomes, {"calls": ("ms", "idle"), "mtd": ("minutes",)})
    assert "| name | ms |\n| --- | --- |\n| a / b | 1.50 |\n| c | 2.25 |" in text
    assert "| d | no pictures |" in text and "secret" not in text and "minutes" not in text


def test_a_sweep_has_as_many_pictures_as_asked_for(tmp_path: Path) -> None:
    c = tiny_runs.config(tmp_path, **{name.replace(".", "__"): value for name, value in HELD_OUT.items()})
    assert len(split_data(c, can_pictures(32, 18)).shown) == 18


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    monkeypatch.setattr(accelerator, "NETWORKS", {"DDAD": {"train.batch_size": 4}})
    monkeypatch.setattr(accelerator, "matmul_peak", lambda dtype: 4e9)
    monkeypatch.setattr(accelerator, "networks", lambda c: type("Counted", (), {"unet": 1e6}))
    monkeypatch.setattr(accelerator, "time_unet", lambda m, size, batch, repeats: {"batch": batch, "dtype": m.dtype})
    monkeypatch.setattr(accelerator, "time_detector", detector_row)


def detector_row(c: DDADSettings, other: None, batch: int, repeats: int) -> list[dict[str, Any]]:
    backbone = c.backbone.name, c.backbone.dtype
    return [{"calls": c.sample.steps, "model": c.sample.model, "dtype": c.model.dtype, "backbone": backbone}]


def test_one_command_writes_the_figures_and_goes_on_from_them(
    tmp_path: Path, small_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = tiny_runs.config(tmp_path)
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    out = tmp_path / "measured.json"
    given: Any = {"what": ["accelerator"], "batch_sizes": ["2", "1"], "json": str(out), "repeats": 1, "timed_steps": 4,
                  "swept_pictures": 16, "minutes": 2.0}  # fmt: skip
    with flagsaver.flagsaver(**given, pieces=["detector", "training", "calls", "mtd"]):
        benchmark.main(c, tmp_path / "run")
    said = json.loads(out.read_text())
    found = {one["name"]: one for one in said["measurements"]}
    assert said["finished"] and said["environment"]["device"]
    for name, calls, model in (("DDAD-10", 10, "teacher"), ("student, one call", 1, "student")):
        for dtype in ("bfloat16", "float32"):
            of = {"calls": calls, "model": model, "dtype": dtype, "backbone": ["wide_resnet101_2", dtype]}
            assert found[f"{name} of DDAD, {dtype}, batch 2"]["row"] == of
    training = found["training of DDAD"]["row"]
    assert training["images_per_s"] > 0 and training["steps"] == 4
    assert training["share_of_peak"] == pytest.approx(3e6 * training["images_per_s"] / 4e9)
    assert found["call of DDAD, float32, batch 1"]["row"] == {"batch": 1, "dtype": "float32"}
    assert "no Magnetic Tiles" in found["DDAD on Magnetic Tiles, split by tile"]["why"]
    assert "| DDAD-10 of DDAD, bfloat16, batch 2 |" in out.with_suffix(".md").read_text()

    monkeypatch.setattr(accelerator, "time_detector", None)  # nor is it asked for again
    with flagsaver.flagsaver(**given, pieces=["detector", "calls"]):
        benchmark.main(c, tmp_path / "run")
    assert json.loads(out.read_text()) == said


def test_figures_of_another_device_stay(tmp_path: Path) -> None:
    there = {"device": "1 x H100 (gpu)", "commit": "abc", "versions": {}}
    path = tmp_path / "measured.json"
    path.write_text(json.dumps({"environment": there, "measurements": []}))
    with pytest.raises(InputError, match="are of another device and commit; name another file"):
        benchmark._measured_before(path, {**there, "device": "1 x cpu (cpu)", "commit": "def"})
    path.write_text("[]")
    with pytest.raises(InputError, match="no file of this program"):
        benchmark._measured_before(path, there)


def test_wrong_pieces_and_folders_are_refused(tmp_path: Path) -> None:
    c = tiny_runs.config(tmp_path)
    with pytest.raises(InputError, match="--pieces=speed: expected some of detector,"):
        accelerator_measurements(c, tmp_path, Sizes(), ["speed"])
    c = tiny_runs.config(tmp_path / "none", data__kind="mtd")
    with pytest.raises(InputError, match=r"--config\.data\.root=.*none: is no folder"):
        accelerator_measurements(c, tmp_path, Sizes())


def test_chunks_count_as_often_as_the_sweep_cuts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Program:
        def place(self, pairs: Any) -> Any:
            return pairs

        def features(self, images: Any, *, batch: int) -> None: ...

        def with_features(self, pairs: Any, features: None, at: np.ndarray) -> Any:
            return pairs

        def compiled(self, pairs: Any, **how: Any) -> Any:
            return lambda placed: len(placed.images)

    monkeypatch.setattr(benchmarks, "time_in_turns", lambda calls, repeats: [[calls[0]() * 1.0]])
    points = recon_grid(w=(0.0, 1.0), t_prime=(100,), steps=(2, 5), eta=(0.0,), grid=("trailing",), seed=(0,))
    images = np.zeros((10, 8, 8, 3), np.uint8)
    # 20 pairs in 3 chunks of 8, for each of both step counts.
    assert benchmarks.device_seconds(Program(), images, points, 8) == 2 * 3 * 8.0  # type: ignore[arg-type]


@pytest.mark.slow
def test_magnetic_tiles_are_trained_on_for_a_part_of_the_time_and_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)
    trees.mtd(tmp_path / "mtd")
    c = tiny_runs.config(tmp_path / "mtd", data__kind="mtd", sample__w=1.0, sweep__w=(0.0, 1.0), select="synthetic")
    row = accelerator._magnetic_tiles(6.0, c, "picture", tmp_path / "run")
    assert row["split"] == "picture" and row["points"] == 2
    assert row["train_minutes"] >= accelerator.TRAINING_SHARE * 6.0 / 60
    assert 1 < row["train_steps"] < 10**6
    assert 0 <= row["image_auroc"] <= 1
