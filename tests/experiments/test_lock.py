"""One program writes into a workdir at a time, and a second one is told who."""

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ddad_jax.errors import InputError
from experiments import lock


def _hold(folder: Path, shared: bool, ready: Any) -> None:
    with lock.held(folder, shared=shared):
        ready.set()
        time.sleep(60)


def _other(folder: Path, *, shared: bool) -> Any:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=_hold, args=(folder, shared, ready), daemon=True)
    other.start()
    assert ready.wait(60)
    return other


@pytest.mark.parametrize("spelled", ["run", "run/", "link", "deeper/../run"])
def test_a_second_program_is_told_who_writes_and_since_when_until_that_is_killed(tmp_path: Path, spelled: str) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    other = _other(tmp_path / "run", shared=False)
    with (
        pytest.raises(InputError, match=rf"process {other.pid} of .*since \d{{4}}-\d\d-\d\d .* writes into it"),
        lock.held(tmp_path / spelled),
    ):
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    with lock.held(tmp_path / spelled):
        pass


def test_shards_share_a_workdir_with_each_other_alone(tmp_path: Path) -> None:
    other = _other(tmp_path, shared=True)
    with lock.held(tmp_path, shared=True):
        pass
    with pytest.raises(InputError, match="writes into it"), lock.held(tmp_path):
        pass
    other.kill()
    other.join()


def test_who_holds_it_may_ask_for_it_once_more_and_nothing_stays_behind(tmp_path: Path) -> None:
    with lock.held(tmp_path / "new/run"), lock.held(tmp_path / "new/run"):
        assert (tmp_path / "new/run" / lock.NAME).exists()
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_workdir(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="is a file, expected a folder"), lock.held(tmp_path / "run"):
        pass
