"""What the machine fails at is told in a line with a cure."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.errors import DISK, InputError
from experiments import failures


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_no_more_is_named_with_a_cure(code: int) -> None:
    told = str(failures.in_a_line(OSError(code, "no", "maps/a.tiff")))
    assert "maps/a.tiff" in told and DISK[code] in told
    assert "runs/x" in str(failures.in_a_line(OSError(code, "no"), Path("runs/x")))


def test_memory_that_is_not_there_names_the_batch_sizes() -> None:
    for error in (MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")):
        assert "batch_size" in str(failures.in_a_line(error))


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    assert failures.in_a_line(ValueError("x")) is None
    assert failures.in_a_line(jax.errors.JaxRuntimeError("INTERNAL: x")) is None


def test_devices_that_do_not_wake_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise RuntimeError("Unknown backend tpuu")

    monkeypatch.setenv("JAX_PLATFORMS", "tpuu")
    monkeypatch.setattr(jax, "default_backend", fail)
    with pytest.raises(InputError, match="JAX_PLATFORMS=tpuu: .*JAX_PLATFORMS=cpu"):
        failures.require_devices()


OF_DISK = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.ESTALE, "Stale file handle"),
    *(ValueError(f"UNKNOWN: Error writing 0.0 [OS error {code}: {os.strerror(code)}]") for code in DISK),
    ValueError("disk QUOTA exceeded"),
]


@pytest.mark.parametrize("error", OF_DISK, ids=str)
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": 1.0})

    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("orbax.checkpoint.StandardCheckpointer.save", full)
    with pytest.raises(InputError, match="2: the checkpoint cannot be written .*"):
        checkpoints.save(2, {"a": 2.0})
    assert checkpoints.steps() == [1]


def test_a_checkpoint_that_is_wrong_itself_is_no_failure_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise ValueError("Unsupported type of leaf")

    monkeypatch.setattr("orbax.checkpoint.StandardCheckpointer.save", wrong)
    with pytest.raises(ValueError, match="Unsupported type") as caught:
        Checkpoints(tmp_path).save(1, {"a": 1.0})
    assert not isinstance(caught.value, InputError)


def test_a_disk_without_room_for_a_checkpoint_is_told_before_orbax_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    monkeypatch.setattr("orbax.checkpoint.StandardCheckpointer.save", lambda *_, **__: begun.append(True))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=999))
    with pytest.raises(InputError, match="No space left: 1000 bytes are needed, 999 are free"):
        Checkpoints(tmp_path).save(1, {"a": np.zeros(250, np.float32)})
    assert not begun
    Checkpoints(tmp_path).save(1, {"a": np.zeros(249, np.float32)})
    assert begun
