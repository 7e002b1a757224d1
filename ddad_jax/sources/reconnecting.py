"""L1. A source that comes back: a live camera is opened again after it was lost, and counts on."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame, Source, SourceLost


class Event(NamedTuple):
    """A loss or a return."""

    kind: str
    """"lost"; "back" with the first frame after it; "gone" when every attempt to open it again has failed."""
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    """Of the next frame."""
    reason: str
    """Why it was lost, or could not be opened; empty for "back"."""
    seconds: float
    """How long it has been away; 0 for "lost"."""
    attempts: int
    """To open it again since it was lost."""


def reconnecting(
    open: Callable[[int], Source],
    *,
    retries: int = 60,
    wait: float = 1.0,
    on_event: Callable[[Event], None] = lambda event: None,
    sleep: Callable[[float], object] | None = None,
    clock: Callable[[], float] = time.monotonic,
    stop: threading.Event | None = None,
) -> "Reconnecting":
    """A source that opens another one, and opens it again each time it is lost.

    Indices go on without a gap. Its clock goes on too: while the source is away by ``clock``, else by the source's.
    An attempt counts as failed until its first frame arrives, so a camera that opens and stays silent uses them up.

    Args:
      open: called with the number of frames given so far, such as ``lambda n: open_source(spec, start=n)``; InputError
        and SourceLost from it are failed attempts, except the first time, when an InputError is the user's to mend.
      retries: attempts after each loss, at least 0; then SourceLost ends it.
      wait: seconds before each attempt, at least 0.
      on_event: hears of each loss and return, in the thread that iterates.
      sleep: waits so many seconds; by default until ``stop`` at the latest.
      clock: seconds, for how long it was away.
      stop: once set, the frames end at the next frame or attempt, without an exception.

    Raises:
      InputError: the first ``open`` does, or retries or wait is below 0.
    """
    if retries < 0 or wait < 0:
        raise InputError(f"retries is {retries} and wait {wait:g}: expected 0 or more of both")
    ended = stop or threading.Event()
    return Reconnecting(open, retries, wait, on_event, sleep or ended.wait, clock, ended)


class Reconnecting:
    """See ``reconnecting``."""

    def __init__(
        self,
        open: Callable[[int], Source],
        retries: int,
        wait: float,
        on_event: Callable[[Event], None],
        sleep: Callable[[float], object],
        clock: Callable[[], float],
        stop: threading.Event,
    ):
        self._open, self._retries, self._wait = open, retries, wait
        self._on_event, self._sleep, self._clock, self._stop = on_event, sleep, clock, stop
        self._closed = False
        self._lock = threading.Lock()
        self._next = 0
        self._source = open(0)
        self.name, self.live, self.settings = self._source.name, self._source.live, dict(self._source.settings)

    name: str
    live: bool
    settings: Mapping[str, Any]

    def frames(self) -> Iterator[Frame | Bad]:
        seconds, attempts, lost_at = 0.0, 0, None
        while True:
            first, begin = self._next, seconds
            try:
                for frame in self._source.frames():
                    if self._ended():
                        return
                    if lost_at is not None:
                        # Known only now: the time until the first frame belongs to the absence.
                        away = self._clock() - lost_at
                        begin += away
                        self._on_event(Event("back", first + frame.index, "", away, attempts))
                        lost_at, attempts = None, 0
                    index = first + frame.index
                    self._next = index + 1
                    if isinstance(frame, Frame):
                        seconds = begin + frame.seconds
                        yield frame._replace(index=index, seconds=seconds)
                    else:
                        yield frame._replace(index=index)
                return
            except SourceLost as error:
                reason = str(error)
            if lost_at is None and not self._ended():
                lost_at = self._clock()
                self._on_event(Event("lost", self._next, reason, 0.0, 0))
            attempts = self._again(reason, lost_at or 0.0, attempts)
            if self._ended():
                return

    def _again(self, reason: str, lost_at: float, attempts: int) -> int:
        """Open it, or try as often as is left; how many attempts there were since it was lost."""
        self._source.close()
        while attempts < self._retries and not self._ended():
            self._sleep(self._wait)
            if self._ended():
                return attempts
            attempts += 1
            try:
                source = self._open(self._next)
            except (InputError, SourceLost) as error:
                reason = str(error)
                continue
            with self._lock:
                self._source = source
                if self._closed:  # while it was being opened
                    source.close()
            return attempts
        if not self._ended():
            self._on_event(Event("gone", self._next, reason, self._clock() - lost_at, attempts))
            raise SourceLost(f"{self.name}: not back after {attempts} attempts ({reason})")
        return attempts

    def _ended(self) -> bool:
        return self._closed or self._stop.is_set()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._source.close()
        self._stop.set()
