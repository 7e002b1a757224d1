"""A detector and sources for tests of live inspection: exact, instant, and as slow or broken as a test asks."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.engine.detector.frames import Judged
from ddad_jax.sources import Bad, Frame, SourceLost

THRESHOLD = 0.5


def picture(bright: bool = False, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    """uint8 [h, w, 3], grey; with a white patch at rows 6 to 12, columns 8 to 16 where it is to be anomalous."""
    made = np.full((*size, 3), 40, np.uint8)
    if bright:
        made[6:12, 8:16] = 255
    return made


class FakeDetector:
    """The brightest pixel as score, brightness as map; ``calls`` has the size of each batch.

    broken: calls, counted from 1, that raise. no_number: frames whose map and score are NaN.
    """

    model_id, threshold, pixel_threshold, size = "fake", THRESHOLD, THRESHOLD, 8

    def __init__(
        self,
        batch: int = 4,
        *,
        seconds: float = 0.0,
        broken: Callable[[int], bool] = lambda call: False,
        no_number: Callable[[np.ndarray], bool] = lambda frame: False,
    ) -> None:
        self.batch, self._seconds, self._broken, self._no_number = batch, seconds, broken, no_number
        self.calls: list[int] = []
        self.warmed = False

    def warm(self) -> None:
        self.warmed = True

    def __call__(self, frames: Sequence[np.ndarray]) -> list[Judged]:
        assert self.warmed and 1 <= len(frames) <= self.batch
        self.calls.append(len(frames))
        if self._broken(len(self.calls)):
            raise RuntimeError("the detector broke")
        time.sleep(self._seconds)
        maps = [frame[..., 0].astype(np.float32) / 255 for frame in frames]
        for frame, found in zip(frames, maps, strict=True):
            if self._no_number(frame):
                found[:] = np.nan
        return [Judged(float(m.max()), THRESHOLD, not m.max() <= THRESHOLD, m, THRESHOLD, None, m.shape) for m in maps]


class FakeSource:
    """Gives what ``items`` gives; an exception among them is raised. ``interval``: seconds between two."""

    name = "fake"

    def __init__(self, items: Iterator[Any], *, live: bool = False, interval: float = 0.0) -> None:
        self._items, self.live, self._interval = items, live, interval
        self.settings = {"kind": "fake", "fps": 25.0}
        self.closed = threading.Event()

    def frames(self) -> Iterator[Frame | Bad]:
        for item in self._items:
            if self.closed.wait(self._interval) if self._interval else self.closed.is_set():
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        self.closed.set()


def frames(count: int, *, anomalous: Sequence[int] = (), start: int = 0) -> list[Frame]:
    return [Frame(i, i / 25, picture(i in anomalous)) for i in range(start, start + count)]


class SilentSource(FakeSource):
    """Gives its items, then nothing, until it is closed."""

    def frames(self) -> Iterator[Frame | Bad]:
        yield from super().frames()
        self.closed.wait(60)


class StuckSource(FakeSource):
    """Gives its items, then never answers, not even to ``close``."""

    def frames(self) -> Iterator[Frame | Bad]:
        yield from super().frames()
        threading.Event().wait(60)


def unplugged(after: int) -> list[Any]:
    """``after`` frames, then the camera is pulled out."""
    return [*frames(after), SourceLost("unplugged")]


def endless(anomalous_every: int = 7) -> Iterator[Frame]:
    i = 0
    while True:
        yield Frame(i, i / 25, picture(i % anomalous_every == 0))
        i += 1


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def verdicts(rows: list[dict[str, Any]]) -> list[int]:
    return [row["frame"] for row in rows if "event" not in row]


def events(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("event") == name]
