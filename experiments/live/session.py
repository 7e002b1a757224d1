"""One live inspection from its flags to its summary: what is opened, in which order, and how all of it is left."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.sources.open import open_source
from ddad_jax.sources.rate import at_rate
from ddad_jax.sources.reconnecting import Event, Reconnecting, reconnecting
from experiments.detecting import FrameDetector, detector_of
from experiments.live.capture import Wish
from experiments.live.counts import Counts
from experiments.live.loop import Limits, Verdict, inspect
from experiments.live.page import LivePage
from experiments.live.pictures import Overlays, Video, Window
from experiments.live.progress import Progress, told
from experiments.live.record import VerdictLog, new_file
from experiments.tables import plain, write_text

_STOPS = (signal.SIGINT, signal.SIGTERM)


class Asked(NamedTuple):
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


def run(asked: Asked, *, open_detector: Callable[..., FrameDetector] = detector_of) -> dict[str, Any]:
    """Inspect until the source ends, somebody stops it or a limit is reached; the summary, which is also printed.

    Raises:
      InputError: as ``open_source``, ``detector_of``, ``inspect`` and what shows the verdicts; a queue smaller than a
        batch. The record then ends with why.
    """
    capacity = 4 * asked.batch if asked.queue is None else asked.queue
    if capacity < asked.batch:
        raise InputError(f"--queue={capacity}: expected room for a batch at least, --batch={asked.batch}")
    if asked.summary:
        _require_writable(asked.summary)
    wish, counts = Wish(), Counts()
    with contextlib.ExitStack() as leaving:
        source = _opened(asked, lambda event: heard(event))
        leaving.callback(source.close)
        shows, ticks = _shown(asked, source, wish, leaving)
        detector = open_detector(asked.model, batch=asked.batch)
        log = VerdictLog(asked.out or new_file(asked.model / "inspections"), stdout=asked.stdout)
        leaving.callback(log.close)

        def heard(event: Event) -> None:
            """Of the source, in the thread that captures."""
            counts.add(losses=event.kind == "lost")
            said = {"reason": event.reason} if event.reason else {}
            away = {} if event.kind == "lost" else {"away_s": round(event.seconds, 3), "attempts": event.attempts}
            log.event(event.kind, frame=event.index, **said, **away)

        waits: list[int] = [0]
        known = {
            "source": asked.source,
            "model": detector.model_id,
            "workdir": str(asked.model),
            "record": str(log.file),
        }
        if asked.overlays:
            shows.append(Overlays(asked.overlays, log.file.stem, every=asked.overlay_every))
        if asked.serve is not None:
            page = LivePage(
                asked.serve,
                lambda: {**known, "counts": counts.told(), "waiting": waits[0], "events": log.events},
            )
            leaving.callback(page.close)
            shows.append(page.show)
            _say(f"page: {page.url}")
        progress = Progress(counts)

        def tick(waiting: int) -> None:
            waits[0] = waiting
            for one in (*ticks, progress.tick):
                one(waiting)

        drop = asked.when_full == "drop" if asked.when_full else source.live
        limits = Limits(
            asked.max_wait, capacity, drop, asked.max_frames, asked.seconds, asked.min_area, asked.contours
        )  # fmt: skip
        reason, warm_start_s = "error", None
        try:
            with _stopped_by_signals(wish):
                warm_start_s = _warmed(detector)
                _say(f"model {detector.model_id} warm after {warm_start_s:.1f} s; verdicts go to {log.file}")
                log.event(
                    "started", **known, batch=asked.batch, **limits._asdict(), fps=asked.fps, warm_start_s=warm_start_s,
                    threshold=detector.threshold, pixel_threshold=detector.pixel_threshold, settings=source.settings,
                )  # fmt: skip
                items = at_rate(source.frames(), asked.fps)
                reason = inspect(
                    items, source.close, detector, limits, name=asked.source, log=log, counts=counts,
                    shows=shows, tick=tick, wish=wish,
                )  # fmt: skip
        finally:
            progress.end()
            error = sys.exception()
            reason = f"error: {str(error) or type(error).__name__}" if error else reason
            summary = {**known, "batch": asked.batch, "reason": reason, "warm_start_s": warm_start_s, **counts.told()}
            log.event("ended", **summary)
            _say(told(summary))
            if asked.summary:
                write_text(asked.summary, json.dumps(plain(summary), indent=1))
    return summary


def _opened(asked: Asked, on_event: Callable[[Event], None]) -> Reconnecting:
    return reconnecting(
        lambda start: open_source(asked.source, fps=asked.fps, depth=False, start=start),
        retries=asked.retries,
        wait=asked.retry_wait,
        on_event=on_event,
    )


def _shown(
    asked: Asked, source: Reconnecting, wish: Wish, leaving: contextlib.ExitStack
) -> tuple[list[Callable[[Verdict], None]], list[Callable[[int], None]]]:
    """What needs no model: refused before one is loaded."""
    shows: list[Callable[[Verdict], None]] = []
    ticks: list[Callable[[int], None]] = []
    if asked.video:
        video = Video(asked.video, fps=asked.fps or source.settings.get("fps") or 10.0)
        leaving.callback(video.close)
        shows.append(video)
    if asked.window:
        window = Window(wish)
        leaving.callback(window.close)
        shows.append(window)
        ticks.append(lambda waiting: window.tick())
    return shows, ticks


def _warmed(detector: FrameDetector) -> float:
    """Compile, and judge a grey picture: the first call of all takes several times as long as the second. Seconds."""
    started = time.perf_counter()
    detector.warm()
    detector([np.full((detector.size, detector.size, 3), 128, np.uint8)])
    return round(time.perf_counter() - started, 3)


@contextlib.contextmanager
def _stopped_by_signals(wish: Wish) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM is a wish, the second one ends the program as it always does."""
    before = {number: signal.getsignal(number) for number in _STOPS}

    def handle(number: int, frame: FrameType | None) -> None:
        wish.to_stop = signal.Signals(number).name
        # Not ``print``: the signal may have come in the middle of one.
        os.write(2, b"\nstopping once what has arrived is judged; again to stop at once\n")
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in _STOPS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()


def _require_writable(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("ab").close()
    except OSError as error:
        raise InputError(f"--summary={file}: cannot be written ({error.strerror}); name another file") from None


def _say(text: str) -> None:
    """Standard error: standard output belongs to the lines, where they are asked for."""
    print(text, file=sys.stderr, flush=True)
