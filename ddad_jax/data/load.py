"""L1. A list of picture files becomes an `ImageSet`, in the list's order, read by several threads."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddad_jax.data import ImageSet
from ddad_jax.data.file_names import require_utf8
from ddad_jax.data.read import SUFFIXES, Size, read_image, read_mask
from ddad_jax.errors import InputError

GOOD = "good"
"""The one kind that is not a defect; also the only folder name that means normal."""


class Picture(NamedTuple):
    """Where one picture lies and what is known of it before it is opened."""

    path: Path
    name: str
    """As in `ImageSet.names`."""
    defect: str = GOOD
    mask: Path | None = None


class Pictures(NamedTuple):
    """What a data set holds before anything is opened."""

    name: str
    train: list[Picture]
    test: list[Picture]
    recordings: tuple[str, ...] = ()
    """As in `DataSet`."""


def load(
    pictures: Sequence[Picture],
    size: Size,
    *,
    orient: bool,
    any_nonzero: bool = False,
    threads: int | None = None,
) -> ImageSet:
    """Reads every picture and mask; row i of the result is ``pictures[i]`` however the threads ran.

    Args:
      pictures: what to read; may be empty.
      size: in pixels, at least 1; the side of a square or (height, width).
      orient: whether pictures and masks are turned as their EXIF tag says; False where masks were drawn on the pixels
        as they are stored.
      any_nonzero: every value of a mask but 0 is a defect, where masks hold class numbers; see `ddad_jax.data.read`.
      threads: how many read at once; None = the processor's cores plus two, for the disk's sake.

    Raises:
      InputError: the first picture (in the list's order) that cannot be used; a size below 1.
    """

    def read(picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
        image = read_image(picture.path, size, orient=orient)
        if picture.mask is None:
            return image, None
        return image, read_mask(picture.mask, size, image=picture.path, any_nonzero=any_nonzero, orient=orient)

    return image_set(pictures, size, read, threads=threads)


def image_set(
    pictures: Sequence[Picture],
    size: Size,
    read: Callable[[Picture], tuple[np.ndarray, np.ndarray | None]],
    *,
    threads: int | None = None,
) -> ImageSet:
    """``load`` with another way to read: ``read`` of a picture gives it and its mask, if it has one, at ``size``.

    Raises:
      InputError: the first that ``read`` raises, in the list's order; a size below 1.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise InputError(f"size {size}: the side of the images in pixels must be at least 1, for example 256.")
    n = len(pictures)
    images = np.zeros((n, height, width, 3), np.uint8)
    masks = np.zeros((n, height, width), bool)

    def fill(i: int) -> None:
        images[i], mask = read(pictures[i])
        if mask is not None:
            masks[i] = mask

    # Pillow releases the interpreter's lock while it decodes and resizes, so threads are enough.
    with ThreadPoolExecutor(threads or (os.cpu_count() or 1) + 2) as pool:
        for _ in pool.map(fill, range(n)):
            pass  # drawing the results one by one raises the first error and cancels what has not begun
    good = np.array([p.defect == GOOD for p in pictures], bool)
    return ImageSet(
        images=images,
        labels=np.where(good, 0, 1).astype(np.int32),
        masks=masks,
        has_mask=good | np.array([p.mask is not None for p in pictures], bool),
        defects=tuple(p.defect for p in pictures),
        names=tuple(p.name for p in pictures),
    )


def picture_files(folder: Path) -> list[Path]:
    """The pictures lying directly in a folder, sorted by name.

    By `SUFFIXES` in any case; hidden files (".DS_Store", macOS's "._0001.png" twins) and everything else
    ("Thumbs.db", notes) are passed over.
    """
    return sorted(require_utf8(p) for p in folder.iterdir() if is_picture(p))


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def subfolders(folder: Path) -> list[Path]:
    """The visible folders lying directly in a folder, sorted by name."""
    return sorted(require_utf8(p) for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def require_folder(folder: Path, what: str, mend: str) -> Path:
    """The folder itself.

    Raises:
      InputError: it is missing, is a file, or may not be listed; the message names it, says that it should be
        ``what``, and ends with ``mend``.
    """
    if not folder.is_dir():
        found = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} ({what}) {found}. {mend}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"{folder} ({what}) may not be read by this user. Change its permissions.")
    return folder


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Names for a message: comma separated, cut at ``limit``, "nothing" when there are none."""
    if not names:
        return "nothing"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
