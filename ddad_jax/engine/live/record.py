"""The record of an inspection: one JSON line a frame or event, appended and handed to the system at once."""

import contextlib
import itertools
import json
import logging
import os
import secrets
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, Any

from ddad_jax.engine.store.tables import Row, plain
from ddad_jax.errors import InputError

_FIRST = b'{"event": "started"'
"""How every record begins."""
_TAIL = 1 << 20
"""Bytes at a file's end that are looked at for a torn line; a line is some hundred long, its contours included."""


class VerdictLog:
    """Lines of a file, and of the standard output where that is asked for; any thread may write.

    A line is flushed to the system before the next thing happens, so ``kill -9`` loses at most the one being written.
    It is not forced onto the disk, which would cost milliseconds a frame: a power failure may take the last seconds.

    Every line has "inspection", a word of its own for each start, as several inspections may share a file.

    Args:
      file: appended to. A last line that an earlier inspection left torn is cut off first.
      stdout: also print every line.

    Raises:
      InputError: the file cannot be written, or holds something else.
    """

    def __init__(self, file: Path, *, stdout: bool = False) -> None:
        self.file, self._stdout, self._lock = file, stdout, threading.Lock()
        self.inspection = secrets.token_hex(4)
        self._events: deque[Row] = deque(maxlen=20)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists() and not file.is_file():
                raise InputError(f"--out={file}: expected the name of a file; --stdout prints the lines too")
            self._open: IO[bytes] = file.open("a+b")
            ours = _mend(self._open)
        except OSError as error:
            raise self._unwritable(error) from None
        if not ours:
            self._open.close()
            raise InputError(f"--out={file}: holds something other than an inspection's lines; name another file")

    def write(self, row: Row) -> None:
        """Add a line.

        Raises:
          InputError: the file cannot be written any more, as on a full disk.
        """
        line = json.dumps(plain({**row, "inspection": self.inspection}), allow_nan=False) + "\n"
        with self._lock:
            if self._open.closed:
                return  # a source that outlives the inspection, or a disk that is full, which was said once
            try:
                self._open.write(line.encode())
                self._open.flush()
            except OSError as error:
                with contextlib.suppress(OSError):  # closing tries to write the rest again
                    self._open.close()
                raise self._unwritable(error) from None
            if self._stdout:
                self._print(line)

    def event(self, name: str, **said: Any) -> None:
        """A line about something other than a verdict."""
        row = {"event": name, **said, "at": now()}
        if name != "dropped":  # counted; they would push out the rest
            self._events.append(row)
        self.write(row)

    @property
    def events(self) -> list[Row]:
        """The last ones but for drops, the newest first."""
        return list(self._events)[::-1]

    def close(self) -> None:
        with self._lock:
            self._open.close()

    def _print(self, line: str) -> None:
        try:
            sys.stdout.write(line)
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read along has gone. The inspection matters more, and the file has everything.
            self._stdout = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            logging.getLogger(__name__).warning(
                "--stdout: nobody reads it any more; the inspection goes on into %s", self.file
            )

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"--out={self.file}: cannot be written ({error.strerror or error}); name another file")


def now() -> str:
    """The time as verdicts carry it: UTC, ISO 8601, milliseconds."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


def new_file(folder: Path) -> Path:
    """A file of this inspection alone: its start in UTC, and a number where another one started in that second.

    Raises:
      InputError: the folder cannot be written to.
    """
    start = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            file = folder / f"{start}{f'-{number}' if number > 1 else ''}.jsonl"
            try:
                file.touch(exist_ok=False)
                break
            except FileExistsError:
                continue
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); name a file with --out") from None
    return file


def _mend(file: IO[bytes]) -> bool:
    """Cut off what an earlier inspection wrote half of. False, and nothing is changed, where the file is not its."""
    file.seek(0)
    first = file.readline(_TAIL)
    if not first:
        return True
    if not (first.startswith(_FIRST) and _is_row(first)) and not _is_torn_first(first):
        return False
    size = file.seek(0, os.SEEK_END)
    start = max(size - _TAIL, 0)
    file.seek(start)
    tail = file.read()
    whole, newline, torn = tail.rpartition(b"\n")
    if _is_row(torn):
        file.write(b"\n")  # only its newline was missing
    elif torn:
        file.truncate(start + len(whole) + len(newline))
    return True


def _is_torn_first(line: bytes) -> bool:
    """Whether it is all that a full disk let through of a record; a few bytes may be the beginning of anything."""
    return not line.endswith(b"\n") and (line.startswith(_FIRST) or (len(line) > 9 and _FIRST.startswith(line)))


def _is_row(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:  # bad UTF-8 and bad JSON alike
        return False
