"""L1. What lies in the folders of a data set and is not read: counted and named, a sentence for each reason."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from ddad_jax.data.file_names import printable_name
from ddad_jax.data.listing import entries, is_folder, is_picture, listed, subfolders
from ddad_jax.data.read import SUFFIXES
from ddad_jax.errors import InputError

Reason = tuple[str, str]
"""What the files are, and how to mend it."""

NOWHERE: Reason = ("links that lead nowhere", "Restore what they point to, or delete them.")
CLOSED: Reason = ("in folders that this user may not enter", "Change their permissions, or move them elsewhere.")
NO_FILE: Reason = ("neither files nor folders", "Put a file in its place.")
ENDING: Reason = (
    "of another ending than pictures",
    f"Save pictures as one of {' '.join(sorted(SUFFIXES))}; move everything else elsewhere.",
)
DEEPER: Reason = ("pictures in deeper folders", "Move them up: folders within a folder of pictures are not entered.")
NO_KIND: Reason = ("pictures in no folder of their own", "Move them into train/good, test/good or test/DEFECT.")
NOT_NORMAL: Reason = (
    "in folders of train that are not named as normal",
    "Training takes normal pictures only, from train/good; move what is normal there.",
)
NO_PICTURE: Reason = (
    "masks without a picture of their name, or beside another mask of it",
    "The mask of test/DEFECT/NAME.png is ground_truth/DEFECT/NAME_mask.png or NAME.png there, or a folder NAME.",
)
AMONG: Reason = (
    "masks among the pictures",
    "The mask of test/DEFECT/NAME.png belongs into ground_truth/DEFECT, as NAME_mask.png or NAME.png.",
)
ELSEWHERE: Reason = ("pictures beside train and test", "Move them into train/good, test/good or test/DEFECT.")


MASKS_ELSEWHERE: Reason = (
    "in folders named as masks are",
    "Masks are read from ground_truth/DEFECT beside train and test.",
)
OUTSIDE: Reason = ("pictures beside the folders train and test", NO_KIND[1])


def file_reason(path: Path) -> Reason | None:
    """What is the matter with a path itself; None for a folder, and for a file that could be a picture."""
    try:
        there, folder = path.exists(), path.is_dir()
    except OSError:
        return CLOSED
    if not there:
        return NOWHERE
    if folder:
        return None if os.access(path, os.R_OK | os.X_OK) else CLOSED
    if not path.is_file():
        return NO_FILE
    return None if is_picture(path) else ENDING


def unused_notes(
    base: Path, paths: Iterable[Path], used: Collection[Path], reason: Callable[[Path], Reason]
) -> list[str]:
    """A sentence for each reason why some of ``paths`` are not used.

    Args:
      base: the names in the sentences are relative to it.
      paths: all that is there.
      used: those of them that are read.
      reason: of a path that is not used, where `file_reason` has none.
    """
    by_reason: dict[Reason, list[str]] = {}
    real = {os.path.realpath(path) for path in used}
    for path in paths:
        if path not in used and os.path.realpath(path) not in real:
            names = by_reason.setdefault(file_reason(path) or reason(path), [])
            name = printable_name(path.relative_to(base).as_posix())
            names.append("".join(c if c.isprintable() else ascii(c)[1:-1] for c in name))
    return [
        f"{base}: {len(names)} file{'s' * (len(names) > 1)} not used, {what}: {listed(names, 3)}. {mend}"
        for (what, mend), names in by_reason.items()
    ]


def pictures_elsewhere(base: Path, known: Collection[Path]) -> list[Path]:
    """The pictures in ``base``, in its folders other than the ``known`` ones and in the folders of those: as deep as
    data sets go. What lies deeper, behind links or in folders that may not be entered is somebody else's."""
    pictures = []
    for path in entries(base):
        if path in known or path.is_symlink():
            continue
        with contextlib.suppress(InputError):
            folders = [path, *subfolders(path)] if is_folder(path) else []
            files = [file for folder in folders for file in entries(folder)] if folders else [path]
            pictures += [file for file in files if is_picture(file)]
    return pictures
