"""L1. What lies in a folder: pictures, folders, and neither; hidden files never count."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ddad_jax.data.file_names import require_utf8
from ddad_jax.data.read import named_as_picture
from ddad_jax.errors import InputError

SYSTEM_FILES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
    | {"system volume information"}
)
"""What systems leave in folders, in lower case: hidden there, and here."""


def is_hidden(path: Path) -> bool:
    """ ".DS_Store", macOS's "._0001.png" twins, "Thumbs.db" and the like."""
    return path.name.startswith(".") or path.name.lower() in SYSTEM_FILES


def is_picture(path: Path) -> bool:
    """Whether a path is taken for a picture: a visible file by its ending.

    Raises:
      InputError: what it is cannot be asked.
    """
    return named_as_picture(path) and not is_hidden(path) and _asked(path.is_file)


def is_folder(path: Path) -> bool:
    """Whether there is a folder, or a link to one.

    Raises:
      InputError: what is there cannot be asked.
    """
    return _asked(path.is_dir)


def _asked(of: Callable[[], bool]) -> bool:
    try:
        return of()
    except OSError as error:  # the folder around it may be listed, but not entered
        raise _closed(Path(error.filename), error) from None


def _closed(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read ({error.strerror}). Check the permissions of it and of its folders.")


def entries(folder: Path) -> list[Path]:
    """Everything visible lying directly in a folder, sorted by name.

    Raises:
      InputError: it cannot be listed.
    """
    try:
        return sorted(path for path in folder.iterdir() if not is_hidden(path))
    except OSError as error:
        raise _closed(folder, error) from None


def picture_files(folder: Path) -> list[Path]:
    """The pictures lying directly in a folder, sorted by name; everything else is passed over.

    Raises:
      InputError: it cannot be listed; the name of one, or of the folder, is no UTF-8.
    """
    return [require_utf8(path) for path in entries(folder) if is_picture(path)]


def subfolders(folder: Path) -> list[Path]:
    """The visible folders lying directly in a folder, sorted by name."""
    return [path for path in entries(folder) if is_folder(path)]


def walked(folder: Path) -> Iterator[Path]:
    """Every visible file below a folder at any depth, links that lead nowhere and folders that may not be entered among
    them, sorted folder by folder. A link to a folder is entered once, so that one that leads back ends."""
    seen: set[str] = set()

    def below(at: Path) -> Iterator[Path]:
        real = os.path.realpath(at)
        if real in seen:
            return
        seen.add(real)
        try:
            there = [(path, is_folder(path)) for path in entries(at)]
        except InputError:  # nothing in it is read, so it is one more thing to be named
            yield at
            return
        for path, inner in there:
            yield from below(path) if inner else [path]

    yield from below(folder)


def part_of(base: Path, name: str) -> Path:
    """``base / name``, in the case in which it is written there."""
    if is_folder(base / name):
        return base / name
    alike = [path for path in subfolders(base) if path.name.casefold() == name]
    return alike[0] if len(alike) == 1 else base / name


def require_folder(folder: Path, what: str, mend: str) -> Path:
    """The folder itself.

    Raises:
      InputError: it is missing, is a file, or may not be listed; the message names it, says that it should be
        ``what``, and ends with ``mend``.
    """
    if not is_folder(folder):
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        problem = "is a link that leads nowhere" if folder.is_symlink() and not folder.exists() else problem
        raise InputError(f"{folder} ({what}) {problem}. {mend}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"{folder} ({what}) may not be read by this user. Change its permissions.")
    return folder


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Names for a message: comma separated, cut at ``limit``, "nothing" when there are none."""
    if not names:
        return "nothing"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
