import itertools
import re
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from absl import flags
from absl.testing import flagsaver
from ml_collections import ConfigDict

from ddad_jax.data.cans import cans
from ddad_jax.engine.cost import benchmarks, timing
from ddad_jax.engine.cost.benchmarks import against, time_detector, time_sweep, time_unet
from ddad_jax.engine.cost.timing import matmul_peak, peak_memory, ratio_of, time_in_turns, timed
from ddad_jax.engine.methods.ddad.networks import build_unet, init_params
from ddad_jax.errors import InputError
from experiments import benchmark
from experiments.benchmark import time_train


def test_calls_take_turns_after_one_warm_up_each() -> None:
    order: list[str] = []
    seconds = time_in_turns([lambda: order.append("a"), lambda: order.append("b")], 3)
    assert order == ["a", "b"] + ["a", "b"] * 3
    assert [len(own) for own in seconds] == [3, 3]


def test_the_median_outlives_one_interruption() -> None:
    assert timed([1.0, 1.1, 50.0, 0.9, 1.0]).median == 1.0
    assert timed([1.0] * 19 + [5.0]).p95 == pytest.approx(1.0, abs=0.3)


def test_a_ratio_is_taken_between_neighbours() -> None:
    """A machine that slows down fourfold half-way leaves the ratio as it was."""
    slow = [2.0, 2.0, 8.0, 8.0]
    assert ratio_of(slow, [s / 3 for s in slow]).median == pytest.approx(3.0)


def test_a_repetition_waits_for_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(timing.jax, "block_until_ready", waited.append)
    clock = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    assert time_in_turns([lambda: "result"], 2) == [[1.0, 1.0]]
    assert waited == ["result"] * 3


def test_the_peak_of_a_matrix_product_is_a_rate() -> None:
    rate = matmul_peak(jnp.dtype("float32"), size=128, repeats=2)
    assert np.isfinite(rate) and rate > 1e6


def test_memory_is_in_gib() -> None:
    held = peak_memory()["host_gib_so_far"]
    assert 0.05 < held < 512


def test_a_second_setting_is_a_checked_copy(tmp_path) -> None:
    c = tiny_runs.config(tmp_path)
    other = against(c, "sample.steps=1 sample.solver=dpm2m")
    assert (other.sample.steps, other.sample.solver) == (1, "dpm2m")
    assert c.sample.steps != 1
    for wrong in (
        "sample.stps=1",
        "sample.steps",
        "sample.steps=many",
        "sample.steps=0",
        "steps=1",
        "seed.x=1",
        "sweep=5",
    ):
        with pytest.raises(InputError):
            against(c, wrong)
    for none in ("sample.steps=None", "score.layers=None", "train.ema_decay=(None)"):
        with pytest.raises(InputError, match=rf"--against={re.escape(none)}: .* cannot become"):
            against(c, none)


@pytest.mark.parametrize("sizes", [[], ["²"], ["0"], ["4", ""], ["-1"]])
def test_a_batch_of_no_size_is_refused(sizes: list[str]) -> None:
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with pytest.raises(flags.IllegalFlagValueError, match="batch_sizes"), flagsaver.flagsaver(batch_sizes=sizes):
        pass


def test_a_file_for_the_figures_is_tried_before_they_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(benchmark, "time_aupro", None)
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    for path in (tmp_path, tmp_path / "file" / "out.json", tmp_path / ("long" * 100)):
        with (
            flagsaver.flagsaver(what=["metrics"], against="", json=str(path)),
            pytest.raises(InputError, match=rf"--json={re.escape(str(path))}: .*name "),
        ):
            benchmark.main(tiny_runs.config(tmp_path), tmp_path)
    benchmark.require_writable(tmp_path / "new" / "out.json", "--json")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)
    monkeypatch.setattr("ddad_jax.engine.cost.untrained.random_backbone", lambda name, key: tiny_runs.variables())
    for module in ("untrained", "benchmarks"):
        small = lambda unet: jax.tree.map(np.asarray, tiny_runs.init_params(unet, 0))  # noqa: E731
        monkeypatch.setattr(f"ddad_jax.engine.cost.{module}.random_params", small)


def test_the_faster_of_two_detectors_says_how_much(
    tmp_path, small_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarks, "matmul_peak", lambda dtype: 4e9)
    c = tiny_runs.config(tmp_path)
    first, second = time_detector(c, against(c, "sample.steps=1"), 3, 2)
    assert (first["unet_calls"], second["unet_calls"]) == (2, 1)
    assert first["ms_per_image"] > 0 and "times_faster" not in first
    assert np.isfinite(second["times_faster"]) and second["times_faster"] > 0
    for row in (first, second):
        gmac_per_s = row["gmac_per_image"] * row["images_per_s"]
        assert gmac_per_s > 0 and row["share_of_peak"] == pytest.approx(gmac_per_s / 4)


def test_a_sweep_has_its_300_points_whatever_the_config_sweeps(
    tmp_path, small_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarks, "cans", lambda size, **_: cans(size, n_train=10, n_test_good=2, n_defect=1))
    c = tiny_runs.config(
        tmp_path, select="synthetic", sample__rise=0.2, sample__reuse=2, sample__grid="optimised",
        sample__batch_size=32, sweep__seed=(0, 1), sweep__reuse=(1, 2), sweep__parts__few=ConfigDict({"steps": (1, 2)}),
    )  # fmt: skip
    before = c.to_dict()
    row = time_sweep(c)
    assert (row["points"], row["reconstructions"]) == (300, 60)
    assert row["compilations"] == 2  # of 2 and of 5 steps, both before the clock starts
    assert row["sweep_s"] > row["reconstructions_s"] > 0
    assert row["idle"] == pytest.approx(max(1 - row["device_s"] / row["sweep_s"], 0)) and row["device_s"] > 0
    assert c.to_dict() == before


def test_without_pytorch_the_published_method_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in ("against", "networks"):
        monkeypatch.delitem(sys.modules, f"experiments.published.{name}", raising=False)
    with pytest.raises(InputError, match=r"PyTorch is missing; install it by pip install '\.\[torch\]'"):
        benchmark._published(tiny_runs.config(tmp_path), 1)


def test_the_unet_and_a_training_step_are_timed_and_counted(tmp_path) -> None:
    c = tiny_runs.config(tmp_path)
    row = time_unet(c.model, c.data.size, 2, 1)
    size, base = c.data.size, c.model.base
    # The two convolutions of one block at full size alone.
    assert row["gmac_per_image"] > 2 * 9 * base * base * size * size / 1e9
    assert 0 < row["share_of_peak"] < 2
    assert row["parameters"] == sum(p.size for p in jax.tree.leaves(init_params(build_unet(c.model, c.data.size), 0)))
    assert time_train(c.model, c.train, c.data.size, 1)["images_per_s"] > 0
    assert jax.default_backend() in ("cpu", "gpu", "tpu")
