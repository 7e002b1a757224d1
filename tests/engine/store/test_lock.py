"""One program writes into a workdir at a time, and a second one is told who."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_runs

from ddad_jax.engine.captures.assembling import assemble
from ddad_jax.engine.captures.writing import CaptureOptions, capture
from ddad_jax.engine.search.search import Search, run_search
from ddad_jax.engine.store import lock
from ddad_jax.errors import InputError

ROOT = Path(__file__).parents[3]

HOLD = """
import sys, time
from pathlib import Path
from ddad_jax.engine.store import lock
with lock.folder_lock(Path(sys.argv[1]), shared=bool(sys.argv[2]), of=sys.argv[3]):
    print(flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def _other(folder: Path, *, shared: bool = False, of: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock, until it is killed at the block's end."""
    command = [sys.executable, "-c", HOLD, str(folder), "shared" * shared, of]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("spelled", ["run", "run/", "link", "deeper/../run"])
def test_a_second_program_is_told_who_writes_and_since_when_until_that_is_killed(tmp_path: Path, spelled: str) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with (
        _other(tmp_path / "run") as other,
        pytest.raises(InputError, match=rf"process {other.pid} of .*since \d{{4}}-\d\d-\d\d .* writes into it"),
        lock.folder_lock(tmp_path / spelled),
    ):
        pass
    with lock.folder_lock(tmp_path / spelled):
        pass


def test_shards_share_a_workdir_with_each_other_alone(tmp_path: Path) -> None:
    with _other(tmp_path, shared=True):
        with lock.folder_lock(tmp_path, shared=True):
            pass
        with pytest.raises(InputError, match="writes into it"), lock.folder_lock(tmp_path):
            pass


def test_who_holds_it_may_ask_for_it_once_more_and_nothing_stays_behind(tmp_path: Path) -> None:
    with lock.folder_lock(tmp_path / "new/run"), lock.folder_lock(tmp_path / "new/run"):
        assert (tmp_path / "new/run" / lock.NAME).exists()
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_workdir(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="is a file, expected a folder"), lock.folder_lock(tmp_path / "run"):
        pass


def test_files_of_one_folder_have_locks_of_their_own(tmp_path: Path) -> None:
    with lock.folder_lock(tmp_path, flag="--video", of="a.mp4"), lock.folder_lock(tmp_path, flag="--video", of="b.mp4"):
        assert {path.name for path in tmp_path.iterdir()} == {".a.mp4.lock", ".b.mp4.lock"}
    assert not list(tmp_path.iterdir())


def test_a_capture_and_a_data_set_have_one_writer(tmp_path: Path) -> None:
    with _other(tmp_path / "capture") as one, _other(tmp_path / "sets", of="can") as another:
        writing = f"process {one.pid} of .*since .* writes into it"
        with pytest.raises(InputError, match=f"--out={tmp_path / 'capture'}: {writing}.*another --out"):
            capture(CaptureOptions("station:coffee?state=normal&video=0&seconds=2&size=64", tmp_path / "capture"))
        with pytest.raises(InputError, match=f"--out={tmp_path / 'sets/can'}: process {another.pid} of"):
            assemble([], tmp_path / "sets", "can")
        with pytest.raises(InputError, match="none of the captures"):
            assemble([], tmp_path / "sets", "bottle")


def test_a_search_that_is_called_has_one_writer(tmp_path: Path) -> None:
    with _other(tmp_path), pytest.raises(InputError, match="writes into it"):
        run_search(tiny_runs.config(tmp_path), tmp_path, Search(("w",), 1))
