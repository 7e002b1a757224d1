"""L0. The one exception a user is meant to read, and what a message quotes of others."""

import errno
import os


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message names the file, flag or value, says what was expected and how to mend it. Entry
    points print it without a traceback and exit with status 2; every other exception is a defect
    of ours and keeps its traceback.
    """


DISK = {
    errno.ENOSPC: "Free space on that disk",
    errno.EDQUOT: "Free space within the quota",
    errno.EFBIG: "Raise the limit on a file's size (ulimit -f)",
    errno.EROFS: "Make the file system writable",
    errno.EACCES: "Change its permissions",
    errno.EPERM: "Change its permissions",
    errno.EIO: "Look after the disk",
}
"""errno of what no program can do anything about -> the cure."""

_WORDS = tuple(os.strerror(code).lower() for code in DISK) + ("quota", "i/o error")
"""As packages repeat them that raise exceptions of their own."""


def is_of_disk(error: BaseException) -> bool:
    """Whether an exception of any type says in the system's words that a disk took no more or failed."""
    text = str(error).lower()
    return any(words in text for words in _WORDS)


def disk_failure(error: OSError, unnamed: str = "an output") -> InputError | None:
    """What a user is to read of ``error``; None where its errno is none of `DISK`.

    Args:
      unnamed: what is named where the system does not say which file it was.
    """
    if error.errno not in DISK:
        return None
    file = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else unnamed
    cure = f"{DISK[error.errno]} or name another folder, then give the same command: it goes on from what is done"
    return InputError(f"{file or unnamed}: cannot be read or written ({error.strerror}). {cure}")


def first_line(error: BaseException, most: int = 300) -> str:
    """Of what an exception of another package says, which may be a page or nothing: its first line, at most so many
    characters; the name of its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:most]
