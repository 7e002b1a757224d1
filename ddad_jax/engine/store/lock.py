"""The lock of a workdir, or of another place of outputs: one program writes into it at a time, and a second one is told
who does.

WORKDIR/.lock is locked with ``flock`` for as long as the program lives, so that a kill frees it. Shards share it with
each other. Where a file system knows no locks (some of NFS), a warning says so and the program goes on.
"""

import contextlib
import errno
import fcntl
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ddad_jax.errors import InputError

log = logging.getLogger(__name__)

NAME = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems say that cannot lock."""
PATIENCE_S = 1.0
"""Another process that only asks whether a lock is held holds it for an instant."""
_HERE: set[Path] = set()
"""Locks that this process holds: what it calls may ask for them once more."""


@contextlib.contextmanager
def folder_lock(folder: Path, *, shared: bool = False, flag: str = "--workdir", of: str = "") -> Iterator[None]:
    """The lock of ``folder``, which is made where it is missing, for as long as the block lasts.

    Args:
      folder: a workdir, or where outputs go.
      shared: with others that share it, as shards do.
      flag: that names the folder, for the messages.
      of: the one file or folder in it that is written, where others may write the rest.

    Raises:
      InputError: another process has it (it is named, and since when), or the folder cannot be written to.
    """
    folder = folder.resolve()
    path = folder / (f".{of}{NAME}" if of else NAME)
    if path in _HERE:
        yield
        return
    made = [f for f in (folder, *folder.parents) if not f.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _locked_file(path, shared, f"{flag}={folder / of}", flag)
    except FileExistsError:
        raise InputError(f"{flag}={folder}: is a file, expected a folder; name another one") from None
    except OSError as error:
        raise InputError(f"{flag}={folder}: cannot be written to ({error.strerror}); name another folder") from None
    with file:
        _HERE.add(path)
        try:
            sign(file)
            yield
        finally:
            _HERE.discard(path)
            _leave(file, path, made)


def sign(file: IO[str]) -> None:
    """Into a lock that is held: by whom, and since when."""
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a word in it
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        # The command's beginning tells runs apart; the whole of it may be pages long.
        program = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
        holding = f"process {os.getpid()} of {socket.gethostname()} ({program}, since {since})"
        # Not through its buffer, which would be tried once more when it is closed.
        os.write(file.fileno(), holding.encode(errors="backslashreplace"))


def locked(file: IO[str], *, shared: bool = False) -> bool:
    """Whether this process has the lock now; taken as given where the file system knows no locks."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in NO_LOCKS:
                log.warning("%s: cannot be locked (%s): start nothing twice in one folder", file.name, error.strerror)
                return True
        if time.monotonic() > until:
            return False
        time.sleep(0.05)


def holder(file: IO[str]) -> str:
    """Who has the lock, as it says itself."""
    file.seek(0)
    return file.read().strip() or "another process"


def _locked_file(path: Path, shared: bool, named: str, flag: str) -> IO[str]:
    while True:
        file = path.open("a+", encoding="utf-8")
        if not locked(file, shared=shared):
            with file:
                raise InputError(
                    f"{named}: {holder(file)} writes into it. Wait for it, or end it: no finished step is lost; or "
                    f"name another {flag}"
                )
        # Whoever left in between has removed the file that was opened: a lock on it is worth nothing.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()


def _leave(file: IO[str], path: Path, made: list[Path]) -> None:
    """Nothing stays behind: not the file, where nobody shares it, nor folders in which nothing was put."""
    with contextlib.suppress(OSError):  # shared still, or the folder is in use or gone: then they stay
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        for one in made:
            one.rmdir()
