"""One live inspection from its flags to its summary: what is opened, in which order, and how all of it is left."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np

from ddad_jax.engine.detector.frames import FrameDetector, detector_of
from ddad_jax.engine.live.asked import InspectOptions, require_usable
from ddad_jax.engine.live.capture import Wish
from ddad_jax.engine.live.counts import Counts
from ddad_jax.engine.live.loop import Limits, Verdict, inspect
from ddad_jax.engine.live.page import LivePage
from ddad_jax.engine.live.pictures import Overlays, VerdictVideo, Window
from ddad_jax.engine.live.progress import InspectProgress, summary_text
from ddad_jax.engine.live.record import VerdictLog, new_file
from ddad_jax.engine.store import lock
from ddad_jax.engine.store.tables import plain, write_text
from ddad_jax.errors import InputError
from ddad_jax.sources.open import open_source
from ddad_jax.sources.rate import at_rate
from ddad_jax.sources.reconnecting import Event, Reconnecting, reconnecting

_STOPS = (signal.SIGINT, signal.SIGTERM)


def run_inspection(
    asked: InspectOptions, *, open_detector: Callable[..., FrameDetector] = detector_of
) -> dict[str, Any]:
    """Inspect until the source ends, somebody stops it or a limit is reached; the summary, which is also printed.

    Raises:
      InputError: as ``require_usable``, ``open_source``, ``detector_of``, ``inspect`` and what shows the verdicts. The
        record then ends with why.
    """
    require_usable(asked)
    wish, counts = Wish(), Counts()
    with contextlib.ExitStack() as leaving:
        source = _opened(asked, lambda event: heard(event))
        leaving.callback(source.close)
        shows, ticks, finishing = _shown(asked, source, wish, leaving)
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
            "inspection": log.inspection,
        }
        if asked.overlays:
            shows.append(Overlays(asked.overlays, f"{log.file.stem}_{log.inspection}", every=asked.overlay_every))
        if asked.serve is not None:
            page = LivePage(
                asked.serve,
                lambda: {**known, "counts": counts.told(), "waiting": waits[0], "events": log.events},
            )
            leaving.callback(page.close)
            shows.append(page.show)
            _say(f"page: {page.url}")
        progress = InspectProgress(counts)

        def tick(waiting: int) -> None:
            waits[0] = waiting
            for one in (*ticks, progress.tick):
                one(waiting)

        drop = asked.when_full == "drop" if asked.when_full else source.live
        limits = Limits(
            asked.max_wait, asked.capacity, drop, asked.max_frames, asked.seconds, asked.min_area, asked.contours
        )  # fmt: skip
        reason, warm_start_s = "error", None
        try:
            with _stopped_by_signals(wish):
                log.event(
                    "started", **known, batch=asked.batch, **limits._asdict(), fps=asked.fps,
                    threshold=detector.threshold, pixel_threshold=detector.pixel_threshold, settings=source.settings,
                )  # fmt: skip
                warm_start_s = _warmed(detector)
                _say(f"model {detector.model_id} warm after {warm_start_s:.1f} s; verdicts go to {log.file}")
                items = at_rate(source.frames(), asked.fps)
                reason = inspect(
                    items, source.close, detector, limits, name=asked.source, log=log, counts=counts,
                    shows=shows, tick=tick, wish=wish,
                )  # fmt: skip
                for finish in finishing:
                    finish()
        finally:
            progress.end()
            error = sys.exception()
            reason = f"error: {str(error) or type(error).__name__}" if error else reason
            summary = {**known, "batch": asked.batch, "reason": reason, "warm_start_s": warm_start_s, **counts.told()}
            log.event("ended", **summary)
            _say(summary_text(summary))
            if asked.summary:
                # Through a link, which stays one.
                write_text(os.path.realpath(asked.summary), json.dumps(plain(summary), indent=1))
    return summary


def _opened(asked: InspectOptions, on_event: Callable[[Event], None]) -> Reconnecting:
    return reconnecting(
        lambda start: open_source(asked.source, fps=asked.fps, depth=False, start=start),
        retries=asked.retries,
        wait=asked.retry_wait,
        on_event=on_event,
    )


def _shown(
    asked: InspectOptions, source: Reconnecting, wish: Wish, leaving: contextlib.ExitStack
) -> tuple[list[Callable[[Verdict], None]], list[Callable[[int], None]], list[Callable[[], None]]]:
    """What needs no model, refused before one is loaded: what to call with verdicts, in between, after the last."""
    shows: list[Callable[[Verdict], None]] = []
    ticks: list[Callable[[int], None]] = []
    finishing: list[Callable[[], None]] = []
    if asked.video:
        held = lock.folder_lock(asked.video.parent, flag="--video", of=asked.video.name)
        leaving.enter_context(held)
        video = VerdictVideo(asked.video, fps=asked.fps or source.settings.get("fps") or 10.0)
        leaving.callback(_closed_in_passing, video)
        shows.append(video)
        finishing.append(video.close)
    if asked.window:
        window = Window(wish)
        leaving.callback(window.close)
        shows.append(window)
        ticks.append(lambda waiting: window.tick())
    return shows, ticks, finishing


def _closed_in_passing(video: VerdictVideo) -> None:
    """Where something else went wrong first, which is what the user should hear as the error."""
    try:
        video.close()
    except InputError as error:
        _say(str(error))


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


def _say(text: str) -> None:
    """Standard error: standard output belongs to the lines, where they are asked for."""
    print(text, file=sys.stderr, flush=True)
