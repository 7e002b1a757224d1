"""What an inspection is asked for: its flags, and what of them is refused before anything is opened."""

import contextlib
import itertools
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ddad_jax.errors import InputError

_DAY_S = 86_400.0


class InspectOptions(NamedTuple):
    """The flags of ``experiments.inspect``, which says what each is."""

    model: Path
    source: str
    fps: float | None = None
    batch: int = 4
    max_wait: float = 1.0
    queue: int | None = None
    when_full: str | None = None
    retries: int = 60
    retry_wait: float = 1.0
    max_frames: int | None = None
    seconds: float | None = None
    out: Path | None = None
    stdout: bool = False
    summary: Path | None = None
    min_area: float = 0.0
    contours: bool = False
    overlays: Path | None = None
    overlay_every: bool = False
    video: Path | None = None
    window: bool = False
    serve: int | None = None

    @property
    def capacity(self) -> int:
        """Frames that may wait."""
        return 4 * self.batch if self.queue is None else self.queue


_BOUNDS: dict[str, tuple[float, float, str]] = {
    "fps": (1e-6, 1e4, "frames a second"),
    # More pictures in one call are no faster on any device, and fill its memory.
    "batch": (1, 1024, "frames"),
    "max_wait": (0, _DAY_S, "seconds"),
    "retry_wait": (0, _DAY_S, "seconds"),
    "seconds": (0, math.inf, "seconds"),
    "min_area": (0, math.inf, "pixels of the frame"),
}
"""Flag -> least and largest value, and what it counts; no flag may be infinite or NaN."""


def require_usable(asked: InspectOptions) -> None:
    """Look at the numbers, and at the files that are to be written; what is missing of their folders is made.

    Raises:
      InputError: a number that is none or out of bounds; a queue smaller than a batch; two of the source and the files
        to be written are one; a summary that cannot be written.
    """
    for name, (low, high, unit) in _BOUNDS.items():
        value = getattr(asked, name)
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            most = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
            raise InputError(f"--{name}={value}: expected a number {most} ({unit})")
    if asked.capacity < asked.batch:
        raise InputError(f"--queue={asked.capacity}: expected room for a batch at least, --batch={asked.batch}")
    for (one, first), (other, second) in itertools.combinations(_files(asked), 2):
        if _same(first, second):
            raise InputError(f"{other}={second}: the same file as {one}={first}, which would be lost; name another one")
    if asked.summary:
        _require_writable_summary(asked.summary)


def _files(asked: InspectOptions) -> Iterator[tuple[str, Path]]:
    kind, colon, rest = asked.source.partition(":")
    source = rest if kind == "camera" and colon else asked.source
    with contextlib.suppress(RuntimeError):  # nobody's home: no file, and refused when it is to be opened
        yield "--source", Path(source).expanduser()
    for flag, file in (("--out", asked.out), ("--summary", asked.summary), ("--video", asked.video)):
        if file is not None:
            yield flag, file
            if _is_printed_into(file):
                raise InputError(f"{flag}={file}: is where the standard output goes; name another file")


def _same(one: Path, other: Path) -> bool:
    """By name, with all links followed, or by what lies there: a hard link, another case where that is all one."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one is not there yet, or no file at all
        return False


def _is_printed_into(file: Path) -> bool:
    """Whether the standard output is redirected into this file."""
    try:
        printed, found = os.fstat(1), file.stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(printed.st_mode) and os.path.samestat(printed, found)


def _require_writable_summary(file: Path) -> None:
    """The summary takes the place of a file as a whole: a device or a pipe of that name would be gone."""
    try:
        if file.exists() and not file.is_file():
            raise InputError(f"--summary={file}: expected the name of a file; the summary is printed, too")
        target = Path(os.path.realpath(file))
        target.parent.mkdir(parents=True, exist_ok=True)
        new = not target.exists()
        target.open("ab").close()
        if new:
            target.unlink()
    except OSError as error:
        raise InputError(f"--summary={file}: cannot be written ({error.strerror}); name another file") from None
