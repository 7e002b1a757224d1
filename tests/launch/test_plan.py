"""The plan as a user meets it: what it prints, where its figures come from, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import tiny_runs
from absl import flags
from absl.testing import flagsaver

from ddad_jax.engine.cost import costs, measuring
from ddad_jax.engine.cost.costs import Networks, costs_at_rate, device_kind, from_run, of_point
from ddad_jax.engine.cost.memory import MemoryUse, live_bytes
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.store.tables import plain
from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint
from launch import accelerators, asked
from launch.plan import STAGES, command, main
from launch.plan_text import duration

ROOT = Path(__file__).parents[2]
KNOWN = Networks(unet=4e6, shallow=1e6, feature=3e6, memory=MemoryUse(2.0**20, 2.0**20, "counted", counted=True))

DRIVER = """
import json, multiprocessing, os, runpy, sys
import launch.plan, experiments.sweep

def run(number, argv):
    out = os.open(f"{number}.txt", os.O_CREAT | os.O_WRONLY)
    os.dup2(out, 1), os.dup2(out, 2)
    launch.plan.run_plan(["plan", *argv])

for number, argv in json.load(sys.stdin).items():
    child = multiprocessing.get_context("fork").Process(target=run, args=(number, argv))
    child.start(), child.join()
    print(number, child.exitcode)
"""
FOLDER = ["--config=experiments/configs/folder.py:ddad", "--config.data.root=nowhere", "--config.data.category=bolt"]
SWEEP = ["--", "experiments.sweep", *FOLDER]
REFUSED: dict[str, tuple[list[str], str]] = {
    "no command": (["--measure"], "expected a command behind --"),
    "no program of ours": (["--", "rm", "-rf"], "behind -- stands 'rm': expected one of"),
    "no config": (["--", "experiments.sweep"], "--config"),
    "no data": (SWEEP, "--pictures=TEST,TRAIN"),
    "unknown accelerator": (
        ["--accelerator=A100,Z80", *SWEEP],
        "--accelerator=Z80: expected all, or some of A100, H100",
    ),
    "no time": (["--ms_per_call=0", *SWEEP], "--ms_per_call=0: expected milliseconds above 0"),
    "two sources": (["--measure", "--ms_per_image=3", *SWEEP], "--measure and --ms_per_image"),
    "no devices": (["--devices=0", *SWEEP], "--devices"),
    "price of what": (["--price_per_hour=2", *SWEEP], "of which device?"),
    "no pictures": (["--pictures=0", *SWEEP], "--pictures=0: expected the number of test pictures"),
    "set by a launch": ([*SWEEP, "--coordinator=a:1"], "the launch sets --coordinator itself"),
    "no run": (["--from_run=nowhere", "--pictures=5", *SWEEP], "nowhere/config.json: is missing"),
}


def test_what_cannot_be_planned_ends_with_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLIBC_TUNABLES": ""}
    for folder in ("experiments", "launch"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    given = json.dumps({str(i): argv for i, (argv, _) in enumerate(REFUSED.values())})
    ended = subprocess.run(
        [sys.executable, "-c", DRIVER], input=given, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    status = dict(line.split() for line in ended.stdout.splitlines())
    for i, (name, (_, says)) in enumerate(REFUSED.items()):
        printed = (tmp_path / f"{i}.txt").read_text()
        assert status[str(i)] == "2", (name, printed)
        assert printed.startswith("error:") and printed.count("\n") == 1 and says in printed, (name, printed)


def test_a_file_that_cannot_be_written_is_found_before_anything_is_timed(small: DDADSettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "plan.json"):
        with (
            flagsaver.flagsaver(measure=True, save=str(path)),
            pytest.raises(InputError, match=rf"^--save={path}: .*name "),
        ):
            main(small, "experiments.sweep")


def test_the_command_is_what_stands_behind_the_dashes() -> None:
    own, job = command(["--measure", "--", "experiments.sweep", "--config=a.py", "--config.sweep.w=(0.0, 1.0)"])
    assert own == ["--measure"]
    assert job == command(["--measure", "--", "python", "-m", "experiments.sweep", *job.arguments])[1]
    assert (job.program, job.arguments) == ("experiments.sweep", ("--config=a.py", "--config.sweep.w=(0.0, 1.0)"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DDADSettings:
    """A config of two points, with networks that compile in no time."""
    tiny_runs.small_backbone(monkeypatch.setattr)
    for module in (costs, measuring):
        monkeypatch.setattr(module, "build_backbone", lambda c: tiny_runs.BACKBONE)
    monkeypatch.setattr(measuring, "random_backbone", lambda name, key: tiny_runs.variables())
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["plan"])
    root = tiny_runs.folder(tmp_path / "data")
    return tiny_runs.config(root, model__groups=4, sweep__w=(0.0, 1.0), sweep__v=(0.0, 1.0, 2.0), adapt__epochs=1)


def test_a_measured_plan_marks_what_it_estimates(
    small: DDADSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "plan.json"
    monkeypatch.setattr(measuring, "time_train", lambda *how: {"ms_per_step": 8.0})
    with flagsaver.flagsaver(
        measure=True, devices=2, accelerator=["H100"], price_per_hour=2.0, memory_gib=1.0, save=str(file)
    ):
        main(small, "experiments.sweep")
    printed = capsys.readouterr().out
    assert "3 reconstruction points x 3 score points = 9 rows" in printed  # w = 3 of the config's own point besides
    assert "measured here, 4 pairs at a time" in printed and "XLA's analysis" in printed
    lines = {line.split("  ")[0]: line for line in printed.splitlines()}
    assert "~" not in lines["training"] + lines["sweep"]
    assert "~" in lines["2 x H100"].split("NVIDIA")[0] and "Estimates (~), nothing here was measured" in printed
    assert {"one device", "one run", "2 shards"} <= lines.keys() and "price" in printed
    said = json.loads(file.read_text())
    assert said["rows"] == 9 and said["reconstructions"] == 3 * (4 + 5)
    assert said["costs"]["unet"] > 0 and set(said["estimated"]) == {"H100"}
    assert said["costs"]["update"] == pytest.approx(8e-3 / 4) and said["costs"]["estimated"] == ["feature_update"]
    stages = said["courses"]["one device"]["stages"]
    one = said["costs"]
    sweep = stages["sweep"]
    expected = sweep["unet"] * one["unet"] + sweep["pairs"] * one["beside"] + sweep["programs"] * one["program"]
    expected += sweep["feature"] * one["feature"] + sweep["rows"] * one["row"] + sweep["sides"] * one["side"]
    assert sweep["seconds"] == pytest.approx(expected)


def test_without_a_source_every_time_is_an_estimate(small: DDADSettings, capsys: pytest.CaptureFixture) -> None:
    with flagsaver.flagsaver(pictures=["50", "40"], accelerator=["all"]):
        main(small, "experiments.sweep")
    printed = capsys.readouterr().out
    assert "pictures as told: 34 pictures to train on, 50 to test" in printed
    assert "No time of a point is known" in printed
    rows = [line for line in printed.splitlines() if line.startswith("1 x ")]
    assert len(rows) == len(accelerators.TABLE) and all("~" in row for row in rows)


def test_a_training_alone_plans_no_sweep(small: DDADSettings, capsys: pytest.CaptureFixture) -> None:
    with flagsaver.flagsaver(ms_per_call=2.0, measured_on="H100", devices=2):
        main(small, "experiments.train")
    printed = capsys.readouterr().out
    assert "as reached on H100" in printed
    (training,) = [line for line in printed.splitlines() if line.startswith("training")]
    assert "~" in training  # an update is taken for three calls, and compilation is assumed
    assert "sweep " not in printed.replace("experiments.sweep", "") and "shards" not in printed


def test_a_point_is_split_by_multiply_adds_where_nothing_else_is_known() -> None:
    # 2 calls of 4 and 2 passes of 3 million multiply-adds: 14 million in 28 ms.
    found = of_point(KNOWN, 2, image=28e-3)
    assert (found.unet, found.beside, found.feature) == pytest.approx((8e-3, 12e-3, 6e-3))
    assert "beside" not in found.estimated and "unet" in found.estimated
    both = of_point(KNOWN, 2, image=28e-3, call=10e-3)
    assert (both.unet, both.beside) == pytest.approx((10e-3, 8e-3))
    assert not {"unet", "beside"} & both.estimated
    call = of_point(KNOWN, 2, image=None, call=4e-3)
    assert call.beside == pytest.approx(6e-3) and "beside" in call.estimated
    with pytest.raises(InputError, match="--ms_per_image=28: less than the 2 U-Net calls"):
        of_point(KNOWN, 2, image=28e-3, call=15e-3)


# --- Rows of a run -----------------------------------------------------------------------------------------------


def run_of(c: DDADSettings, workdir: Path, times: dict[int, float], **said: Any) -> Path:
    """A workdir whose points of so many steps took so many milliseconds a picture; ``said``: of the environment."""
    workdir.mkdir()
    (workdir / "config.json").write_text(json.dumps(plain(c.to_dict())))
    environment = {"device": "1 x cpu (cpu)", "cpu_count": os.cpu_count(), **said}
    (workdir / "environment.json").write_text(json.dumps(environment))
    rows = []
    for steps, ms in times.items():
        point = ReconPoint(1.0, 250, steps, 0.0, "trailing", 0)
        rows += [{**point._asdict(), "v": v, "ms_per_image": ms, "unet_calls": steps} for v in (0.0, 1.0)]
        # What has other calls besides is left out.
        rows.append({**point._asdict(), "rise": 1.0, "ms_per_image": 999.0, "unet_calls": steps + 1})
    (workdir / "journal.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return workdir


def test_rows_of_one_point_or_of_several_numbers_of_calls(small: DDADSettings, tmp_path: Path) -> None:
    one = from_run(small, run_of(small, tmp_path / "one", {2: 28.0}), KNOWN, tiles=1)
    assert (one.costs.unet, one.costs.beside) == pytest.approx((8e-3, 12e-3))
    assert one.device == device_kind() and "of 1 point of" in one.source
    more = from_run(small, run_of(small, tmp_path / "more", {1: 9.0, 2: 11.0, 5: 17.0}), KNOWN, tiles=1)
    assert (more.costs.unet, more.costs.beside) == pytest.approx((2e-3, 7e-3))
    assert not {"unet", "beside"} & more.costs.estimated


def test_four_devices_took_a_quarter_of_the_time_each(small: DDADSettings, tmp_path: Path) -> None:
    run = run_of(small, tmp_path / "run", {2: 7.0}, device="4 x NVIDIA L4 (gpu)")
    found = from_run(small, run, KNOWN, tiles=1, measured_on="l4")
    assert found.costs.unet == pytest.approx(8e-3) and found.device == "NVIDIA L4"


def test_a_run_of_something_else_is_refused(small: DDADSettings, tmp_path: Path) -> None:
    run = run_of(small, tmp_path / "run", {2: 28.0}, device="1 x NVIDIA L4 (gpu)")
    with pytest.raises(InputError, match="measured on 'NVIDIA L4', not on the device here.*='NVIDIA L4'"):
        from_run(small, run, KNOWN, tiles=1)
    with pytest.raises(InputError, match="not on --measured_on=T4"):
        from_run(small, run, KNOWN, tiles=1, measured_on="T4")
    other = changed(small, {"model.base": 32, "sample.batch_size": 5})
    with pytest.raises(InputError, match="model: there .*sample.batch_size: there 8, here 5.*or --measure"):
        from_run(other, run, KNOWN, tiles=1, measured_on="L4")
    (run / "journal.jsonl").write_text("")
    with pytest.raises(InputError, match="journal.jsonl holds no row"):
        from_run(small, run, KNOWN, tiles=1, measured_on="L4")
    (run / "environment.json").write_text("{}")
    with pytest.raises(InputError, match="names no device"):
        from_run(small, run, KNOWN, tiles=1, measured_on="L4")


# --- Networks, memory, accelerators ------------------------------------------------------------------------------


def test_networks_are_counted_without_being_run(small: DDADSettings) -> None:
    found = costs.networks(small)
    assert 0 < found.shallow < found.unet and found.feature > 0
    assert costs_at_rate(found, found.unet).unet == pytest.approx(1.0)


def test_counted_memory_is_near_what_the_compiler_needs() -> None:
    def network(x: Any, w: Any) -> Any:
        for _ in range(4):
            x = jnp.tanh(x @ w)
        return x

    x, w = jnp.zeros((512, 256)), jnp.zeros((256, 256))
    # A product and what it is made of, 512 KiB each, are held at once; arguments are not counted.
    assert live_bytes(network, x, w) == 2 * x.nbytes

    def kept(x: Any, w: Any) -> Any:
        first = x @ w
        return jnp.concatenate([network(first, w), first], axis=1)

    assert live_bytes(kept, x, w) == 4 * x.nbytes  # both, and the two of them joined
    looped = lambda x, w: jax.lax.scan(lambda x, _: (network(x, w), None), x, None, length=50)[0]  # noqa: E731
    assert live_bytes(looped, x, w) <= 4 * x.nbytes  # steps of a loop do not add up


def test_a_chunk_that_fits() -> None:
    memory = MemoryUse(2.0**29, 2.0**20, "", counted=False)
    assert memory.fits(1.0) == 512 and memory.of(512) == 2.0**30
    assert memory.fits(0.25) == 0


def test_accelerators_are_known_by_their_own_names() -> None:
    names = {
        "NVIDIA A100-SXM4-80GB": "A100", "NVIDIA H100 80GB HBM3": "H100", "NVIDIA L4": "L4", "Tesla T4": "T4",
        "NVIDIA GeForce RTX 3090": "RTX3090", "TPU v4": "TPUv4", "TPU v5 lite": "TPUv5e", "TPU v5p": "TPUv5p",
        "TPU v5": "TPUv5p", "TPU v6 lite": "TPUv6e", "NVIDIA L4X": None, "cpu, 2 cores": None,
    }  # fmt: skip
    assert {kind: accelerators.of_device(kind) for kind in names} == names
    assert accelerators.named("tpu-v5e") is accelerators.TABLE["TPUv5e"]
    assert accelerators.asked([]) == accelerators.asked(["L4", "ALL"]) == list(accelerators.TABLE)
    assert accelerators.asked(["l4"]) == ["l4"]
    assert {*STAGES} == {*asked.PROGRAMS}
    assert accelerators.TABLE["A100"].rate("bfloat16") == 156e12  # a multiply-add is two operations
    assert accelerators.TABLE["T4"].rate("bfloat16") == accelerators.TABLE["T4"].rate("float32")


def test_durations_are_for_people() -> None:
    assert [duration(s) for s in (0.05, 5.31, 61.0, 90.0, 5400.0, 1e6)] == [
        "0.05 s", "5.3 s", "61.0 s", "1.5 min", "1.5 h", "278 h",
    ]  # fmt: skip
    assert duration(120.0, estimate=True) == "~2.0 min"
