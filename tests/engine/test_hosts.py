"""Two processes give what one gives and write it once; one that is lost, late or disagrees is named."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import processes
import pytest
import tiny_runs

from ddad_jax.engine import hosts
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.errors import InputError

ROOT = Path(__file__).parents[2]
CLOSE = 1e-5
HOW: dict[str, Any] = {
    "train__steps": 8, "train__checkpoint_every": 3, "train__max_minutes": 60.0, "data__flips": "hv",
    "adapt__epochs": 1, "select": "synthetic", "synthetic_defects": 4, "teacher": 3,
    "sweep__w": (0.0, 1.0, 3.0), "sweep__t_prime": (100, 250), "sweep__v": (0.0, 1.0),
    "sweep__model": ("teacher", "student"), "sample__batch_size": 3, "student__steps": 3, "student__batch_size": 4,
    "student__teacher_steps": 2, "student__defects": 4, "student__w": (0.0, 3.0), "student__t_prime": (100, 250),
}  # fmt: skip
SETTINGS = """
import os
import time
from pathlib import Path

import tiny_runs
import undrawn

from ddad_jax.errors import InputError
from ddad_jax.engine import pipeline
from ddad_jax.engine.data.splits import load_data


def no_pictures(config):
    raise InputError("the disk of the pictures is not there")


def slow_pictures(config):
    time.sleep(60)


def other_pictures(config):
    data = load_data(config)
    return data._replace(test=data.test._replace(images=255 - data.test.images))


def get_config():
    tiny_runs.small_predictor()
    tiny_runs.small_backbone()
    undrawn.blank_figures()
    ways = {"none": no_pictures, "slow": slow_pictures, "other": other_pictures}
    pipeline.load_data = ways.get(os.environ.get("PICTURES"), load_data)
    return tiny_runs.config_dict(Path(%r), **%r)
"""


@pytest.fixture(scope="module", autouse=True)
def forked(compiled_once: str) -> Iterator[None]:
    """What every process of these tests is a copy of imports everything once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "data"))))
        patch.setenv("JAX_PLATFORMS", "cpu")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", compiled_once)
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
        processes.FORKED.set_forkserver_preload(["processes", "tiny_runs", "undrawn"])
        first = processes.FORKED.Process(target=os.getpid)
        first.start()
        first.join()
        yield


@pytest.fixture(scope="module")
def base(forked: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """settings.py, and the results of one process with one device in "alone"."""
    base = tmp_path_factory.mktemp("hosts")
    root = tiny_runs.folder(base / "data")
    (base / "settings.py").write_text(SETTINGS % (str(root), HOW))
    alone = run(base, base / "alone", count=1)
    assert alone.ended() == {0: 0}, alone.text(0)
    return base


def run(base: Path, workdir: Path, **how: Any) -> processes.Run:
    return processes.Run(workdir.with_suffix(".out"), [f"--config={base}/settings.py", f"--workdir={workdir}"], **how)


def table(workdir: Path, name: str) -> list[dict[str, str]]:
    with (workdir / name).open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same(workdir: Path, alone: Path) -> None:
    """Every number to 1e-5, every word the same; "student" is a fingerprint of every bit of its parameters."""
    for name in ("results.csv", "scores.csv"):
        found, expected = table(workdir, name), table(alone, name)
        assert len(found) == len(expected) > 0
        for a, b in zip(found, expected, strict=True):
            assert a.keys() == b.keys()
            for column in a.keys() - {"ms_per_image", "student"}:
                try:
                    assert float(a[column]) == pytest.approx(float(b[column]), rel=CLOSE, abs=CLOSE), (name, column)
                except ValueError:
                    assert a[column] == b[column], (name, column)


def test_two_processes_give_what_one_gives_and_write_it_once(base: Path, tmp_path: Path) -> None:
    both = run(base, tmp_path / "w")
    assert both.ended() == {0: 0, 1: 0}, both.text(0) + both.text(1)
    assert_same(tmp_path / "w", base / "alone")
    points = [
        (row["model"], row["w"], row["t_prime"], row["v"]) for row in read_jsonl(tmp_path / "w" / "journal.jsonl")
    ]
    assert len(points) == len(set(points)) == 24
    figures = {"train.jsonl": ("loss", "validation_loss"), "adapt.jsonl": ("contrast",), "distil.jsonl": ("loss",)}
    for history, number in ((name, number) for name, numbers in figures.items() for number in numbers):
        found, expected = (
            [row.get(number) for row in read_jsonl(w / history)] for w in (tmp_path / "w", base / "alone")
        )
        assert found == pytest.approx(expected, abs=CLOSE)
    assert "report:" in both.text(0) and "report:" not in both.text(1) and "reconstruct" not in both.text(1)


def test_what_a_lost_process_leaves_is_gone_on_with(base: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "w"
    journal = workdir / "journal.jsonl"
    both = run(base, workdir, timeout_s=8)
    both.kill(1, when=lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 3)
    assert both.ended(seconds=60)[0] == 1, "the other process must not wait for ever"
    assert "The same command goes on from what is done" in both.text(0)
    half = journal.read_bytes()
    half = half[: half.rfind(b"\n") + 1]
    assert 3 <= half.count(b"\n") < 24 and not (workdir / "results.csv").exists()

    # With as many processes as are left.
    left = run(base, workdir, count=1)
    assert left.ended() == {0: 0}, left.text(0)
    assert journal.read_bytes().startswith(half), "finished points were computed again"
    assert len(read_jsonl(journal)) == 24
    assert_same(workdir, base / "alone")


@pytest.mark.parametrize("slurm", [False, True], ids=["by their flags", "under SLURM"])
def test_processes_that_disagree_about_the_config_say_where(base: Path, tmp_path: Path, slurm: bool) -> None:
    more = {1: ["--config.sample.w=2.5", "--config.score.layers=('layer1',)"]}
    both = run(base, tmp_path / "w", more=more, slurm=slurm)
    assert both.ended() == {0: 2, 1: 2}
    for rank in (0, 1):
        assert "config.sample.w: process 0 3.0, process 1 2.5" in both.text(rank)
        assert "config.score.layers: process 0 ['layer2', 'layer3'], process 1 ['layer1']" in both.text(rank)
        assert "Traceback" not in both.text(rank)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("pictures", "says"),
    [
        ("none", "process 1: the disk of the pictures is not there"),
        ("other", "disagree about the pictures they read:\n  test"),
    ],
)
def test_what_one_process_cannot_read_ends_all(base: Path, tmp_path: Path, pictures: str, says: str) -> None:
    both = run(base, tmp_path / "w", environment={1: {"PICTURES": pictures}})
    assert both.ended() == {0: 2, 1: 2}
    assert says in both.text(0) and "Traceback" not in both.text(0)
    assert not (tmp_path / "w").exists()


def test_a_process_that_hangs_on_its_way_is_named(base: Path, tmp_path: Path) -> None:
    both = run(base, tmp_path / "w", environment={1: {"PICTURES": "slow"}}, timeout_s=3)
    both.processes[0].join(60)
    both.processes[1].kill()
    assert both.ended()[0] == 2
    assert "process 1 of 2 did not say what it has for the pictures they read within --host_timeout_s=3" in both.text(0)


def test_a_process_that_never_arrives_is_named(base: Path, tmp_path: Path) -> None:
    # Of three, 0 and 2 come. Of the other run only 1 comes, and knows no more than that nobody answers.
    runs = {1: run(base, tmp_path / "a", count=3, only=(0, 2), timeout_s=3)}
    runs[0] = run(base, tmp_path / "b", only=(1,), timeout_s=3)
    for missing, started in runs.items():
        status = started.ended()
        asked = min(status)
        assert status[asked] == 2, started.text(asked)
        assert f"process {missing}" in started.text(asked)
        assert "within --host_timeout_s=3" in started.text(asked)
        assert "Traceback" not in started.text(asked)


def test_where_there_is_no_cluster_the_address_is_asked_for(base: Path, tmp_path: Path) -> None:
    alone = run(base, tmp_path / "w", count=1, more={0: ["--coordinator=auto"]})
    assert alone.ended() == {0: 2}
    assert "--coordinator=auto: neither a TPU pod nor SLURM was found" in alone.text(0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"num_processes": 2}, r"--num_processes=2: expected --coordinator"),
        ({"process_id": 1}, r"--process_id=1: expected --coordinator"),
        ({"coordinator": "10.0.0.1"}, r"--coordinator=10\.0\.0\.1: expected host:port"),
        ({"coordinator": "10.0.0.1:65536"}, r"--coordinator=10\.0\.0\.1:65536: expected .*a port from 1 to 65535"),
        ({"coordinator": "10.0.0.1:0"}, r"--coordinator=10\.0\.0\.1:0: expected .*a port from 1 to 65535"),
        ({"coordinator": "here:1", "process_id": 0}, r"--num_processes=None: expected how many"),
        ({"coordinator": "here:1", "num_processes": 0, "process_id": 0}, r"--num_processes=0: expected"),
        ({"coordinator": "here:1", "num_processes": 2}, r"--process_id=None: expected .* 0 to 1"),
        ({"coordinator": "here:1", "num_processes": 2, "process_id": 2}, r"--process_id=2: expected .* 0 to 1"),
    ],
)
def test_flags_that_contradict_each_other_are_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        hosts.join(**given)


JOINS = """
import jax
from ddad_jax.engine import hosts
hosts.join("127.0.0.1:{port}", 1, 0)
print(jax.config.values["jax_cuda_visible_devices"])
"""


def test_a_process_with_an_address_keeps_all_devices_inside_srun() -> None:
    variables = ("JOB_ID", "STEP_NODELIST", "NTASKS", "PROCID", "LOCALID")
    srun = {f"SLURM_{name}": "1" for name in variables}
    code = JOINS.format(port=processes.free_port())
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | srun, capture_output=True, text=True)
    assert done.stdout.strip() == "all", done.stdout + done.stderr


def test_a_process_of_its_own_asks_nobody() -> None:
    assert not hosts.several_processes() and hosts.is_first()
    hosts.agree("anything", {"a": object()}, "")
    assert hosts.first("anything", lambda: 3) == hosts.in_turn("anything", lambda: 3) == 3
    hosts.tell_hosts(InputError("nobody hears it"))
