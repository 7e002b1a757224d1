"""This machine: two processes, or shards, one of them killed, the launch repeated, end with one process's results."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import processes
import pytest
import quick_python
from launched import ROWS, SOME, Bench, lines, models_of, table

from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.errors import InputError
from launch.job import Job
from launch.show import rendered_text
from launch.targets.local import LocalSettings, render_local

RENDERED = Path(__file__).parent / "rendered"
JOB = Job("experiments.sweep", ("--config=c.py", "--workdir=runs/a b", "--config.data.root=it's $(here)"), "runs/a b")


def kill(bench: Bench, launch: subprocess.Popen, word: str, when: Callable[[], bool]) -> None:
    """kill -9 of the process that was started with ``word``, as soon as ``when`` says so."""
    until = time.monotonic() + 120
    while not when():
        assert launch.poll() is None and time.monotonic() < until, launch.communicate(timeout=5)[0]
        time.sleep(0.002)
    pid = quick_python.pid_of(bench.python, word)
    assert pid
    os.kill(pid, signal.SIGKILL)


def launch_of(bench: Bench, workdir: Path, *words: str) -> list[str]:
    command = ["experiments.sweep", f"--config={bench.config}", f"--workdir={workdir}"]
    return ["-m", "launch.run", "--target=local", "--execute", *words, "--", *command]


@pytest.mark.slow
def test_two_processes_one_killed_and_repeated_give_what_one_gives(bench: Bench, alone: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "w"
    # Trained by two processes the model differs in its last bits, as they sum gradients in another order; what that
    # changes is in tests/engine/test_hosts.py.
    models_of(alone, workdir)
    journal = workdir / "journal.jsonl"
    words = launch_of(bench, workdir, "--processes=2", "--fake_devices=2", f"--port={processes.free_port()}")
    first = bench.start(*words)
    kill(bench, first, "--process_id=1", when=lambda: lines(journal) >= SOME)
    printed, _ = first.communicate(timeout=120)
    assert first.returncode == 128 + signal.SIGKILL
    assert "error: process 1 was killed (SIGKILL)" in printed and "goes on from what is done" in printed
    half = journal.read_bytes()
    half = half[: half.rfind(b"\n") + 1]
    assert SOME <= half.count(b"\n") < ROWS and not (workdir / "results.csv").exists()

    status, printed = bench.run(*words)
    assert status == 0, printed
    assert journal.read_bytes().startswith(half), "finished points were computed again"
    assert len(read_jsonl(journal)) == ROWS
    assert table(workdir) == table(alone)
    assert "report:" in printed and "report:" in (workdir / "launch" / "logs" / "process-0.log").read_text()


def test_two_shards_one_killed_and_repeated_give_what_one_run_gives(bench: Bench, alone: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "w"
    words = launch_of(bench, workdir, "--shards=2", "--fake_devices=4")

    def of_shard(k: int) -> Path | None:
        return next((workdir / "shards").glob(f"*/{k}-of-2.jsonl"), None)

    first = bench.start(*words)
    kill(bench, first, "--shard=1/2", when=lambda: lines(of_shard(1)) >= 1)
    printed, _ = first.communicate(timeout=120)
    assert first.returncode == 128 + signal.SIGKILL
    assert "error: shard 1 was killed (SIGKILL)" in printed
    assert "error: step 2 of 3 (2 shards of the grid) ended with status 137" in printed
    done = {k: path.read_bytes() if (path := of_shard(k)) else b"" for k in (0, 1)}
    assert 1 <= done[1].count(b"\n") < ROWS / 2 and not (workdir / "results.csv").exists()

    status, printed = bench.run(*words)
    assert status == 0, printed
    for k, before in done.items():
        path = of_shard(k)
        assert path and path.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert sum(lines(of_shard(k)) for k in (0, 1)) == len(read_jsonl(workdir / "journal.jsonl")) == ROWS
    assert table(workdir) == table(alone)


# --- What is rendered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "job", "settings"),
    [
        ("local_one", JOB, {}),
        ("local_processes", JOB, {"processes": 2, "devices": "0,1;2,3"}),
        ("local_fake", JOB._replace(program="experiments.train"), {"processes": 2, "fake_devices": 3}),
        ("local_shards", JOB._replace(shards=2), {"devices": "0;1"}),
        ("local_tpu_shards", JOB._replace(shards=2), {"devices": "0,1;2,3", "accelerator": "tpu"}),
    ],
)
def test_what_is_rendered(name: str, job: Job, settings: dict[str, Any]) -> None:
    found = rendered_text(render_local(job, LocalSettings(**{"python": "python", **settings})), Path("runs/a b/launch"))
    assert found == (RENDERED / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("settings", "shards", "says"),
    [
        ({"processes": -1}, 1, "--processes=-1: expected 1 or more"),
        ({"processes": 2}, 2, "--shards=2 --processes=2: expected one of them"),
        ({"processes": 3, "devices": "0;1"}, 1, "2 sets for 3 processes"),
        ({"devices": "0;1"}, 3, "2 sets for 3 shards"),
        ({"devices": "0,1;1,2"}, 1, "each in one set"),
        ({"devices": "0,;1"}, 1, "expected numbers of devices"),
        ({"devices": "a"}, 1, "expected numbers of devices"),
        ({"devices": "0;1", "fake_devices": 2}, 1, "expected one of them"),
        ({"fake_devices": -1}, 1, "--fake_devices=-1"),
        ({"accelerator": "gpu"}, 1, "--accelerator=gpu: expected cuda or tpu"),
        ({"accelerator": "tpu", "devices": "0;1"}, 1, "one process's in a run; expected --shards"),
        ({"accelerator": "tpu", "devices": "0,1,2;3"}, 2, "1, 2, 4 or 8 chips"),
        ({"processes": 2, "port": 0}, 1, "--port=0"),
        ({"processes": 2, "python": "'"}, 1, '--python="\'": expected an interpreter'),
        ({"python": " "}, 1, "--python is empty: expected an interpreter"),
    ],
)
def test_settings_that_contradict_each_other_are_named(settings: dict[str, Any], shards: int, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        render_local(JOB._replace(shards=shards), LocalSettings(**settings))


def test_a_bucket_is_not_mounted_here() -> None:
    with pytest.raises(InputError, match="gs://bbb/c: --target=local"):
        render_local(Job("experiments.sweep", ("--workdir=gs://bbb/c",), "gs://bbb/c"), LocalSettings())
