"""L1. The pictures of a folder as frames, in the order of their names."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ddad_jax.data.file_names import require_utf8
from ddad_jax.data.read import SUFFIXES, read_full
from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame


class Folder:
    """Pictures at their own size; one that cannot be read is Bad, and the next follows.

    Names with numbers are ordered by them, so that ``9.png`` comes before ``10.png``.

    Args:
      path: a folder with files ending in one of ``ddad_jax.data.read.SUFFIXES``; folders in it are not entered.
      fps: of its clock, which files do not have: picture i is from second i / fps; above 0.

    Raises:
      InputError: no such folder, no pictures in it, or fps is not above 0.
    """

    live = False

    def __init__(self, path: str | Path, *, fps: float = 1.0):
        if not fps > 0:
            raise InputError(f"fps is {fps:g}: expected a number above 0, in frames a second")
        folder = Path(path)
        try:
            pictures = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()]
            found = [require_utf8(file) for file in pictures]
        except OSError as error:
            raise InputError(f"{folder}: cannot be read as a folder of pictures ({error.strerror})") from None
        if not found:
            kinds = ", ".join(sorted(SUFFIXES))
            raise InputError(f"{folder}: no pictures in it ({kinds}); name the folder that holds the files themselves")
        self.name, self._fps, self._closed = str(path), fps, False
        self.files = tuple(sorted(found, key=_natural))
        self.settings: Mapping[str, Any] = {"kind": "folder", "fps": fps, "pictures": len(found)}

    def frames(self) -> Iterator[Frame | Bad]:
        for index, file in enumerate(self.files):
            if self._closed:
                return
            try:
                yield Frame(index, index / self._fps, read_full(file))
            except InputError as error:
                yield Bad(index, str(error))

    def close(self) -> None:
        self._closed = True


def _natural(file: Path) -> tuple[list[int | str], str]:
    """Digits as numbers; texts and numbers alternate, so that no text meets a number. The name itself last, as 1 and
    01 are equal else."""
    parts = re.split(r"([0-9]+)", file.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], file.name
