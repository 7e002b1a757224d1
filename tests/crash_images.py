"""What a kill leaves of a folder: an image of it before each change of a file in it, and a process killed there.

Every file that Python opens to write, renames, removes or makes passes an audit hook (PEP 578) before it changes
anything: what lies in the folder at that moment is what a kill at that moment leaves. A file that is being written is
there with what has reached it, so half-written ones are among the images; so are tables with a torn last line.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

Files = dict[str, bytes | None]
"""Path in the folder -> what is in the file; None of a folder."""


class Image(NamedTuple):
    """before: what comes next, as "rename journal.jsonl"."""

    before: str
    files: Files

    def put(self, folder: Path) -> Path:
        """Made of the image, ``folder`` is as the kill left it."""
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            if content is None:
                (folder / name).mkdir(parents=True, exist_ok=True)
            else:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        return folder


_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_watching: list[Callable[[str, Path], None]] = []
_busy = threading.local()


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _watching or getattr(_busy, "now", False):
        return
    if event == "open" and isinstance(args[2], int) and args[2] & _WRITES:
        path, folder = args[0], -1
    elif event in ("os.remove", "os.rmdir", "os.mkdir"):
        path, folder = args[0], args[-1]
    elif event == "os.rename":
        path, folder = args[1], args[3]
    else:
        return
    if not isinstance(path, str | bytes | os.PathLike):
        return  # a file that is open already
    _busy.now = True
    try:
        # Relative to an open folder, as in shutil.rmtree, or to the working directory.
        whole = (_opened(folder) if folder >= 0 else Path.cwd()) / os.fsdecode(path)
        for watch in tuple(_watching):
            watch(event.removeprefix("os."), whole)
    finally:
        _busy.now = False


def _opened(file: int) -> Path:
    return Path(f"/proc/self/fd/{file}").readlink()


sys.addaudithook(_hook)  # for good: there is no way to remove one. It does nothing while nobody watches


@contextmanager
def _watched(folder: Path, watch: Callable[[str, str], None]) -> Iterator[None]:
    """``watch`` is told of every change in the folder before it happens, and of every fsync after it."""
    real = os.fsync

    def inside(event: str, path: Path) -> None:
        if path.is_relative_to(folder) and path != folder:
            watch(event, path.relative_to(folder).as_posix())

    def fsync(file: int) -> None:
        real(file)
        inside("fsync", _opened(file))

    _watching.append(inside)
    os.fsync = fsync  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = real
        _watching.remove(inside)


@contextmanager
def images(folder: Path, ignored: Callable[[str], bool] = lambda name: False) -> Iterator[list[Image]]:
    """All images of ``folder`` while the block lasts, each different one once.

    ignored: files that make no difference to what comes after.
    """
    taken: list[Image] = []
    known: dict[str, tuple[tuple[int, ...], bytes]] = {}
    turn = threading.Lock()

    def look() -> Files:
        files: Files = {}
        for root, folders, names in os.walk(folder):
            for path in (Path(root, name) for name in (*folders, *names)):
                name = path.relative_to(folder).as_posix()
                if ignored(name):
                    continue
                try:
                    about = path.lstat()
                    mark = (about.st_ino, about.st_size, about.st_mtime_ns)
                    if path.is_dir():
                        files[name] = None
                        continue
                    if known.get(name, ((), b""))[0] != mark:
                        known[name] = mark, path.read_bytes()
                except FileNotFoundError:  # another thread works there
                    continue
                files[name] = known[name][1]
        return files

    def watch(event: str, name: str) -> None:
        with turn:
            files = look()
            if taken and taken[-1].files == files:
                return
            for grown, content in files.items():
                before = taken[-1].files.get(grown) if taken else None
                if before and content and grown.endswith((".jsonl", ".csv")) and content.startswith(before):
                    half = content[: (len(before) + len(content)) // 2]
                    if half not in (before, content):
                        taken.append(Image(f"half a line of {grown}", {**files, grown: half}))
            taken.append(Image(f"{event} {name}", files))

    with _watched(folder, watch):
        yield taken


@contextmanager
def killed_at(folder: Path, before: str, count: int = 1) -> Iterator[None]:
    """This process is killed, as by kill -9, where ``before`` (as an image says it) comes for the ``count``-th time."""
    left = [count]

    def watch(event: str, name: str) -> None:
        if f"{event} {name}" == before:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    with _watched(folder, watch):
        yield
