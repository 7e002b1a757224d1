"""The loop of a live inspection: frames arrive in a thread of their own, are judged in batches here, and leave a line.

Every frame that arrives has exactly one line in the record: its verdict, or an event that says why there is none
(dropped, bad, unjudged because of an error).
"""

import dataclasses
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.engine.detector.frames import FrameDetector, Judged
from ddad_jax.engine.live.capture import CaptureThread, Wish
from ddad_jax.engine.live.counts import Counts
from ddad_jax.engine.live.queue import LiveQueue, Waiting
from ddad_jax.engine.live.record import VerdictLog, now
from ddad_jax.engine.verdicts.overlay import overlay
from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame
from ddad_jax.vision.regions import Region

_PATIENCE_S = 0.1
"""How long a wish to stop may go unnoticed."""
_GRACE_S = 10.0
"""How long a closed source may take to let go before it is left behind."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What there is to show of a frame. row: its line in the record."""

    frame: Frame
    judged: Judged
    regions: list[Region]
    row: dict[str, Any]

    @functools.cached_property
    def drawn(self) -> np.ndarray:
        """The frame with what was found in it, uint8 [h, w, 3] RGB; made when somebody asks."""
        return overlay(self.frame.color, self.judged.map, self.judged.pixel_threshold, self.regions)


class Limits(NamedTuple):
    """max_wait: seconds that a frame waits for its batch to fill. capacity: frames that wait at most. drop: whether a
    full queue loses its oldest frame or makes the source wait. max_frames, seconds: end after so many, None never.
    min_area: of a region, in pixels of the frame. contours: whether the lines tell the outlines of regions too."""

    max_wait: float
    capacity: int
    drop: bool
    max_frames: int | None = None
    seconds: float | None = None
    min_area: float = 0.0
    contours: bool = False


def inspect(
    items: Iterator[Frame | Bad],
    close: Callable[[], None],
    detector: FrameDetector,
    limits: Limits,
    *,
    name: str,
    log: VerdictLog,
    counts: Counts,
    shows: Sequence[Callable[[Verdict], None]] = (),
    tick: Callable[[int], None] = lambda waiting: None,
    wish: Wish | None = None,
) -> str:
    """Judge what ``items`` gives until it ends, ``wish`` says so or a limit is reached; then what still waits.

    A batch that is not full is the detector's to pad, so that nothing is compiled anew.

    Args:
      close: of the source: makes ``items`` end soon; called from this thread.
      detector: already warm.
      name: of the source, as the lines have it.
      shows: called with every verdict once its line is written.
      tick: called about ten times a second, with the number of frames that wait.

    Returns:
      Why it ended.

    Raises:
      InputError: the source gave no frame or cannot be read on (what arrived before is judged), or the record cannot
        be written. What the detector raises comes through; frames without a verdict are then ``unjudged`` events.
    """
    wish = Wish() if wish is None else wish
    queue = LiveQueue[Frame](limits.capacity, drop=limits.drop)
    capture = CaptureThread(items, queue, log, counts, wish, most=limits.max_frames)
    pending: deque[Waiting[Frame]] = deque()
    started, closed = time.monotonic(), 0.0
    capture.start()
    try:
        while not queue.ended:
            tick(len(queue))
            time_is_up = limits.seconds is not None and time.monotonic() - started >= limits.seconds
            if time_is_up and not wish.to_stop:
                wish.to_stop = "seconds"
            if wish.to_stop and not closed:
                closed = time.monotonic()
                close()
            max_wait = 0.0 if closed else limits.max_wait
            pending.extend(queue.take(detector.batch, max_wait=max_wait, patience=_PATIENCE_S))
            if pending:
                _judge(pending, detector, limits, name, log, counts, shows)
            elif closed and time.monotonic() - closed > _GRACE_S:
                logging.getLogger(__name__).warning(
                    "%s: does not let go of the last frame asked for; left behind", name
                )
                break
        tick(0)
    finally:
        close()
        unjudged = [waiting.item for waiting in pending] + queue.leave()
        capture.join(_GRACE_S)
        for frame in unjudged:
            capture.unjudged(frame)
    if capture.error is not None:
        raise capture.error
    if not counts["arrived"] and wish.to_stop in ("", "seconds"):
        bad = f" that could be read ({counts['bad']} could not)" if counts["bad"] else ""
        raise InputError(f"--source={name}: gave no frame{bad}; look at it with another program first")
    return wish.to_stop or capture.reason


def _judge(
    pending: deque[Waiting[Frame]],
    detector: FrameDetector,
    limits: Limits,
    name: str,
    log: VerdictLog,
    counts: Counts,
    shows: Sequence[Callable[[Verdict], None]],
) -> None:
    """Lines for all that is pending, which empties it one by one; then the rest is shown."""
    frames = [waiting.item.color for waiting in pending]
    started = time.perf_counter()
    found = detector(frames)
    counts.batch(1e3 * (time.perf_counter() - started))
    verdicts = []
    for judged, (arrived, frame) in zip(found, tuple(pending), strict=True):
        judged = judged.shown
        places = judged.regions(min_area=limits.min_area)
        latency_ms = 1e3 * (time.monotonic() - arrived)
        row = {
            "frame": frame.index,
            "seconds": frame.seconds,
            "at": now(),
            "source": name,
            "verdict": "anomaly" if judged.anomalous else "normal",
            "score": judged.score,
            "threshold": judged.threshold,
            "regions": [_told(one, limits.contours) for one in places],
            "registered": judged.registered,
            "latency_ms": round(latency_ms, 3),
            "model": detector.model_id,
        }
        log.write(row)
        pending.popleft()
        counts.verdict(latency_ms, anomalous=judged.anomalous, registered=judged.registered)
        verdicts.append(Verdict(frame, judged, places, row))
    for verdict in verdicts:
        for show in shows:
            show(verdict)


def _told(region: Region, contours: bool) -> dict[str, Any]:
    told = {
        "box": region.box,
        "area": round(region.area, 1),
        "peak": region.peak,
        "peak_at": np.round(region.peak_at, 1),
    }
    return told | ({"contour": np.round(region.contour.astype(float), 1)} if contours else {})
