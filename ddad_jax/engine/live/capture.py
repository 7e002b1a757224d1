"""The thread of an inspection that takes what a source gives: frames into the queue, all else into the record."""

import sys
import threading
import time
from collections.abc import Iterator

from ddad_jax.engine.live.counts import Counts
from ddad_jax.engine.live.queue import LiveQueue
from ddad_jax.engine.live.record import VerdictLog
from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame, SourceLost


class Wish:
    """Why the inspection shall end, once somebody wants it to. A plain attribute: a signal handler may take no lock."""

    to_stop: str = ""


class CaptureThread(threading.Thread):
    """Runs until the source ends, ``most`` frames have arrived or there is a wish to stop; then closes the queue.

    error: what ended the source, where that was no end of its own. reason: why it ended else.
    """

    def __init__(
        self,
        items: Iterator[Frame | Bad],
        queue: LiveQueue[Frame],
        log: VerdictLog,
        counts: Counts,
        wish: Wish,
        *,
        most: int | None,
    ) -> None:
        # A source that never lets go must not keep the program from ending.
        super().__init__(name="capture", daemon=True)
        self._items, self._queue, self._log, self._counts = items, queue, log, counts
        self._wish, self._most = wish, most
        self.error: BaseException | None = None
        self.reason = "end of source"

    def run(self) -> None:
        try:
            self._take()
        except SourceLost as lost:
            self.error = InputError(f"the source is lost and did not come back: {lost}; see to its cable and power")
        except InputError as error:
            self.error = error
        finally:
            # What else there may be is a defect, told with its traceback here and raised again by the other thread.
            self.error = self.error or sys.exception()
            self._queue.close()

    def unjudged(self, frame: Frame) -> None:
        """Say that a frame which arrived will have no verdict."""
        self._counts.add(unjudged=1)
        self._log.event("unjudged", frame=frame.index, seconds=frame.seconds)

    def _take(self) -> None:
        for item in self._items:
            arrived = time.monotonic()
            if isinstance(item, Bad):
                self._counts.add(bad=1)
                self._log.event("bad frame", frame=item.index, reason=item.reason)
            else:
                self._counts.add(arrived=1)
                gone = self._queue.put(item, arrived=arrived)
                if gone is item:
                    self.unjudged(item)
                elif gone is not None:
                    self._counts.add(dropped=1)
                    self._log.event("dropped", frame=gone.index, seconds=gone.seconds)
            if self._most is not None and self._counts["arrived"] >= self._most:
                self.reason = "max_frames"
                return
            if self._wish.to_stop:
                return
