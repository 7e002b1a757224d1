"""What lies in a file reads as the array would, takes no memory, and is gone with the object."""

import errno
import gc
import re
from pathlib import Path

import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.spilled import Spilled


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, bool])
@pytest.mark.parametrize("shape", [(7, 3, 2), (7,), (7, 0), (0, 4)])
def test_it_reads_as_the_array_would(dtype: type, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = (np.random.default_rng(0).random(shape) * 9).astype(dtype)
    lies = Spilled(shape, dtype, tmp_path)
    assert not np.asarray(lies).any(), "zeros until it is written"
    for first in range(0, len(array), 3):
        lies[first : first + 3] = array[first : first + 3]
    n = len(array)
    reads = (slice(None), slice(2, 5), slice(5, 99), slice(-2, None), slice(None, None, 2), slice(4, 2))
    places = (np.arange(n)[::-1], np.repeat(np.arange(n), 2), np.arange(n) % 2 == 0, np.zeros(0, int))
    for at in (*reads, *places):
        np.testing.assert_array_equal(lies[at], array[at])
    np.testing.assert_array_equal(np.asarray(lies), array)
    assert (lies.shape, lies.dtype, lies.nbytes, len(lies)) == (array.shape, array.dtype, array.nbytes, n)


def test_a_read_is_a_copy_and_a_value_fills_rows(tmp_path: Path) -> None:
    lies = Spilled((4, 2), np.float32, tmp_path)
    lies[1:3] = np.float32(2)
    lies[:][:] = 9
    assert np.asarray(lies)[:, 0].tolist() == [0, 2, 2, 0]


def test_no_file_has_a_name_and_it_is_closed_with_the_object(tmp_path: Path) -> None:
    lies = Spilled((4, 2), np.float32, tmp_path)
    file = lies._file
    assert not list(tmp_path.iterdir()) and not file.closed
    del lies
    gc.collect()
    assert file.closed


def test_a_disk_that_takes_no_more_is_told_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def seek(self, at: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    lies = Spilled((4, 2), np.float32, tmp_path)
    monkeypatch.setattr(lies, "_file", Full())
    told = re.escape(f"{tmp_path}: cannot be read or written") + ".*Free space on that disk"
    with pytest.raises(InputError, match=told):
        lies[0:1] = np.full((1, 2), 1, np.float32)
    with pytest.raises(InputError, match="nowhere"):
        Spilled((4, 2), np.float32, tmp_path / "nowhere")
