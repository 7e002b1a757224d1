"""L1. The pictures of a folder as frames, in the order of their names."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ddad_jax.data.listing import entries, is_folder, picture_files
from ddad_jax.data.read import SUFFIXES, read_full
from ddad_jax.data.unused import NO_FILE, Reason, unused_notes
from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame

log = logging.getLogger(__name__)

INNER: Reason = ("folders, which are not entered", "Name each of them as a source of its own.")


class FolderSource:
    """Pictures at their own size; one that cannot be read is Bad, and the next follows.

    Names with numbers are ordered by them, so that ``9.png`` comes before ``10.png``.

    Args:
      path: a folder with files ending in one of ``ddad_jax.data.read.SUFFIXES``; folders in it are not entered
        and hidden files passed over, as in data sets.
      fps: of its clock, which files do not have: picture i is from second i / fps; above 0.

    Raises:
      InputError: no such folder, no pictures in it, or fps is not above 0.
    """

    live = False

    def __init__(self, path: str | Path, *, fps: float = 1.0):
        if not fps > 0:
            raise InputError(f"fps is {fps:g}: expected a number above 0, in frames a second")
        folder = Path(path)
        found, there = picture_files(folder), entries(folder)
        if not found:
            kinds = ", ".join(sorted(SUFFIXES))
            raise InputError(f"{folder}: no pictures in it ({kinds}); name the folder that holds the files themselves")
        for note in unused_notes(folder, there, found, lambda path: INNER if is_folder(path) else NO_FILE):
            log.warning("%s", note)
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
