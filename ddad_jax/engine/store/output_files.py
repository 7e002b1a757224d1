"""What files made of pictures are called: each has one of its own, below the folder it belongs to, or none is made."""

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ddad_jax.data.names import folded, require_inside
from ddad_jax.errors import InputError

LONGEST = 255
"""Bytes that a file system takes of a name."""


def output_names(names: Sequence[str], suffix: str, *, room: int = 0) -> list[str]:
    """NAME and ``suffix`` for the picture NAME.bmp, as in MVTec's result layout; NAME.bmp and ``suffix`` for all
    pictures of a folder that differ in their ending alone.

    A name depends on which pictures there are and not on their order, and no two are equal.

    Args:
      names: of pictures, paths with forward slashes.
      suffix: of the files, with its dot.
      room: bytes that are put around a name while the file is written.

    Raises:
      InputError: a path that leads out of the folder it is relative to, two pictures of one name, a name that would be
        too long for a file system.

    >>> output_names(["bent/0.png", "bent/1.bmp", "bent/1.png"], ".tiff")
    ['bent/0.tiff', 'bent/1.bmp.tiff', 'bent/1.png.tiff']
    """
    paths = [PurePosixPath(require_inside(name, f"picture {name!r}", mend="Rename it")) for name in names]
    for path, count in Counter(paths).items():
        if count > 1 or not path.name:
            raise InputError(f"picture {path}: {count} pictures of the test set have this name. Keep one of them.")
    # Those of one stem keep their ending. That may be the stem of a third, which then keeps its own too, and so on.
    whole: set[PurePosixPath] = set()
    while True:
        outputs = [(path if path in whole else path.with_suffix("")).as_posix() + suffix for path in paths]
        counts = Counter(outputs)
        shared = {path for path, output in zip(paths, outputs, strict=True) if counts[output] > 1} - whole
        if not shared:
            break
        whole |= shared
    for name, output in zip(names, outputs, strict=True):
        length = len(os.fsencode(PurePosixPath(output).name)) + room
        if length > LONGEST:
            raise InputError(
                f"picture {name!r}: a file made of it would have a name of {length} bytes, and a file system takes "
                f"{LONGEST}. Give it a shorter name."
            )
    return outputs


def require_told_apart(folder: Path, outputs: Sequence[str]) -> None:
    """Where names differ by case or Unicode form alone, the file system of ``folder`` tells them apart.

    Args:
      folder: that is there and can be written.
      outputs: paths relative to it.

    Raises:
      InputError: it does not, so that one file would be written over another.
    """
    first: dict[str, str] = {}
    for output in outputs:
        other = first.setdefault(folded(output), output)
        if other != output and not _tells_apart(folder, other, output):
            raise InputError(
                f"{folder}: {other} and {output} are one file on its file system. Rename one of the pictures, or name "
                "a --workdir on another file system."
            )


def inside(folder: Path, output: str) -> Path:
    """``folder``/``output``, which is below the folder.

    Raises:
      InputError: it leads out, by its name or through a link.
    """
    path = folder / require_inside(output, f"{folder}: a file to be written")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path}: leads to {path.resolve()}, out of {folder}. Remove the link.")
    return path


def _tells_apart(folder: Path, one: str, other: str) -> bool:
    """Tried with what differs: the names joined to one, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix=".names.", dir=folder) as own:
        parts = zip(PurePosixPath(one).parts, PurePosixPath(other).parts, strict=True)
        a, b = next((a, b) for a, b in parts if a != b)
        (Path(own) / a).touch()
        return not (Path(own) / b).exists()
