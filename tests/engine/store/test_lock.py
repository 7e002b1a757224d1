"""One program writes into a workdir at a time, and a second one is told who."""

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import tiny_runs

from ddad_jax.engine.captures.assembling import assemble
from ddad_jax.engine.captures.writing import Asked, capture
from ddad_jax.engine.search.search import Search, search
from ddad_jax.engine.store import lock
from ddad_jax.errors import InputError


def _hold(folder: Path, shared: bool, of: str, ready: Any) -> None:
    with lock.held(folder, shared=shared, of=of):
        ready.set()
        time.sleep(60)


def _other(folder: Path, *, shared: bool, of: str = "") -> Any:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=_hold, args=(folder, shared, of, ready), daemon=True)
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


def test_files_of_one_folder_have_locks_of_their_own(tmp_path: Path) -> None:
    with lock.held(tmp_path, flag="--video", of="a.mp4"), lock.held(tmp_path, flag="--video", of="b.mp4"):
        assert {path.name for path in tmp_path.iterdir()} == {".a.mp4.lock", ".b.mp4.lock"}
    assert not list(tmp_path.iterdir())


def test_a_capture_and_a_data_set_have_one_writer(tmp_path: Path) -> None:
    others = [_other(tmp_path / "capture", shared=False), _other(tmp_path / "sets", shared=False, of="can")]
    writing = f"process {others[0].pid} of .*since .* writes into it"
    with pytest.raises(InputError, match=f"--out={tmp_path / 'capture'}: {writing}.*another --out"):
        capture(Asked("station:coffee?state=normal&video=0&seconds=2&size=64", tmp_path / "capture"))
    with pytest.raises(InputError, match=f"--out={tmp_path / 'sets/can'}: process {others[1].pid} of"):
        assemble([], tmp_path / "sets", "can")
    with pytest.raises(InputError, match="none of the captures"):
        assemble([], tmp_path / "sets", "bottle")
    for other in others:
        other.kill()
        other.join()


def test_a_search_that_is_called_has_one_writer(tmp_path: Path) -> None:
    other = _other(tmp_path, shared=False)
    with pytest.raises(InputError, match="writes into it"):
        search(tiny_runs.config(tmp_path), tmp_path, Search(("w",), 1))
    other.kill()
    other.join()
