"""L1. Arrays that lie in a file instead of in memory, read some rows at a time; *host*.

Not mapped into memory: pages of a mapping that were looked at stay with the process, and count, until the system wants
them back. What is read here is copied and forgotten.
"""

import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.errors import InputError, disk_failure


def room_like(array: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """An array to be written that lies where ``array`` does: in memory, or in a file of the same folder."""
    return Spilled(shape, dtype, array.folder) if isinstance(array, Spilled) else np.empty(shape, dtype)


class Spilled:
    """An array [n, ...] in a file without a name: it is gone with this object, or with the process, however that ends.

    Like NumPy's it is read by a slice or by an array of places in its first axis, has ``shape``, ``dtype``, ``nbytes``
    and a length; ``np.asarray`` reads all of it.

    Args:
      shape, dtype: of the array; zeros until rows are written.
      folder: where there is room for it.

    Raises:
      InputError: the disk takes no more, when it is made or written to.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, folder: Path) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.folder = folder
        self._row = int(np.prod(shape[1:], dtype=np.int64)) * self.dtype.itemsize
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 it lives as long as this does
            weakref.finalize(self, self._file.close)
            self._file.truncate(self.nbytes)
        except OSError as error:
            raise self._refused(error) from error

    @property
    def nbytes(self) -> int:
        return len(self) * self._row

    def __len__(self) -> int:
        return self.shape[0]

    def __setitem__(self, rows: slice, values: np.ndarray) -> None:
        """Write neighbouring rows."""
        first, last, _ = rows.indices(len(self))
        whole: Any = np.ascontiguousarray(np.broadcast_to(values, (last - first, *self.shape[1:])), self.dtype)
        try:
            self._file.seek(first * self._row)
            data = memoryview(whole).cast("B") if whole.nbytes else memoryview(b"")
            while len(data):
                data = data[self._file.write(data) :]
        except OSError as error:
            raise self._refused(error) from error

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """A copy; between the first and the last of an array of places everything is read."""
        if isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            return self._read(first, last)[::step] if step > 0 else self[np.arange(len(self))[rows]]
        places = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        if not places.size:
            return self._read(0, 0)
        return self._read(int(places.min()), int(places.max()) + 1)[places - places.min()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._read(0, len(self)).astype(dtype or self.dtype, copy=False)

    def _refused(self, error: OSError) -> InputError:
        told = InputError(f"{self.folder}: no temporary file can be kept there ({error.strerror})")
        return disk_failure(error, str(self.folder)) or told

    def _read(self, first: int, last: int) -> np.ndarray:
        found: Any = np.empty((max(last - first, 0), *self.shape[1:]), self.dtype)
        if found.nbytes:
            self._file.seek(first * self._row)
            into = memoryview(found).cast("B")
            while len(into):
                into = into[self._file.readinto(into) :]
        return found
