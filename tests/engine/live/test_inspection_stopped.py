"""An inspection that is stopped: what was taken is judged or said to be unjudged; signals, Ctrl-C and ``kill -9``."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from faked_inspection import ENVIRONMENT, ROOT, Run
from live_fakes import FakeDetector, FakeSource, endless, events, frames, lines, verdicts


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_once_everything_is_judged(inspect: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = signal.getsignal(signal.Signals[name])

    class Interrupted(FakeDetector):
        def __call__(self, batch: Any) -> Any:
            if len(self.calls) == 3:
                os.kill(os.getpid(), signal.Signals[name])
            return super().__call__(batch)

    summary = inspect(lambda start: FakeSource(endless(), interval=0.001), Interrupted(4))
    rows = lines(Path(summary["record"]))
    assert summary["reason"] == name and rows[-1]["reason"] == name
    assert verdicts(rows) == list(range(summary["arrived"])) and summary["judged"] == summary["arrived"]
    assert signal.getsignal(signal.Signals[name]) is before


def test_a_second_ctrl_c_does_not_wait(inspect: Run, tmp_path: Path) -> None:
    class Slow(FakeDetector):
        def __call__(self, batch: Any) -> Any:
            for _ in range(2 if self.calls else 0):  # the first call is of the warm start
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)
            return super().__call__(batch)

    with pytest.raises(KeyboardInterrupt):
        inspect(frames(4), Slow(4), out=tmp_path / "a.jsonl")
    rows = lines(tmp_path / "a.jsonl")
    assert len(events(rows, "unjudged")) == 4 and rows[-1]["reason"] == "error: KeyboardInterrupt"


FAKED = """
import sys
sys.path[:0] = ["tests", "tests/data"]
import live_fakes
from experiments import inspect
from ddad_jax.engine.live import session as inspection
fake = live_fakes.FakeDetector(4, seconds=0.002)
inspection.open_source = lambda *a, **k: live_fakes.FakeSource(live_fakes.endless(), interval=0.001)
inspection.run_inspection.__kwdefaults__["open_detector"] = lambda workdir, batch: fake
inspect.entry.run_without_config(inspect.main, required=["model", "source"])
"""


def test_kill_9_leaves_a_record_that_can_be_read(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    command = [sys.executable, "-c", FAKED, "--model=m", "--source=s", f"--out={out}", "--contours"]
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while time.monotonic() < until and (not out.exists() or out.stat().st_size < 40_000):
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    content = out.read_bytes()
    whole = content[: content.rfind(b"\n") + 1].splitlines()
    found = verdicts([json.loads(line) for line in whole])
    assert found == list(range(len(found))) and len(found) > 20


INTERRUPTED = """
import os, runpy, signal, sys
sys.path[:0] = ["tests", "tests/data"]
import live_fakes
from ddad_jax.engine.live import session
def interrupted(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)
session.open_source = interrupted
runpy.run_module("experiments.inspect", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_before_there_are_frames_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, f"--model={tmp_path}", "--source=s"]
    ended = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (130, 1) and "stopped by Ctrl-C" in ended.stderr


def test_ctrl_c_while_it_starts_is_quiet(tmp_path: Path) -> None:
    """Among the imports, which take seconds."""
    code = INTERRUPTED.replace("session.open_source = interrupted", "sys.modules['experiments.entry'] = Entry('entry')")
    code = code.replace("from ddad_jax.engine.live import session", ENTRY)
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


ENTRY = """
import types, experiments
class Entry(types.ModuleType):
    def __getattr__(self, name):
        interrupted()
"""
