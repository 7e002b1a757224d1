"""L1. Video files and cameras, as OpenCV reads them."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame, SourceLost

CONTAINERS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts"})
"""Endings taken for video files, in any case."""
ESTIMATED = frozenset({".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts"})
"""Containers that do not count their frames: OpenCV multiplies duration and rate, which may be one too many."""

PATIENCE = 1000
"""Frames in a row that cannot be decoded, after which nothing more is hoped for; a damaged header counts any number."""


class VideoFile:
    """A video file; its clock is the file's own.

    A frame that cannot be decoded is Bad, and reading goes on behind it; so is each of those that the container
    counts and nobody can decode, at its end. Some codecs pass over a damaged frame by themselves; it then misses among
    those before and is counted at the end too; an AVI, which has no times of its frames, is early by it from there.

    Args:
      path: a file that OpenCV's FFmpeg reads.

    Raises:
      InputError: no such file, not a video, or not one frame of it can be decoded.
    """

    live = False

    def __init__(self, path: str | Path):
        file = Path(path)
        if not file.is_file():
            raise InputError(f"{file}: no such file; give a video, a folder of pictures or a camera as the source")
        self.name, self._closed, self._lock = str(path), False, threading.Lock()
        self._capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise InputError(f"{file}: cannot be opened as a video; it may be truncated, empty or of an unknown codec")
        told = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        # A container without a count says -1, or something with 19 digits.
        self._count = int(told) if 0 < told < 1e9 else 0
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._fps = fps if 0 < fps < 1e5 else 1.0
        # The first that decodes; all of them may be damaged, and then there is nothing to look at.
        self._undecodable, self._first = 0, self._read()
        while self._first is None and self._undecodable + 1 < min(self._count, PATIENCE):
            self._undecodable, self._first = self._undecodable + 1, self._read()
        if self._first is None:
            self._capture.release()
            raise InputError(f"{file}: a video without frames (not one can be decoded); record it again")
        h, w = self._first[1].shape[:2]
        self._allowed = 1 if file.suffix.lower() in ESTIMATED else 0
        self.settings: Mapping[str, Any] = {
            "kind": "video", "size": [h, w], "fps": self._fps, "frames": self._count or None,
        }  # fmt: skip

    def frames(self) -> Iterator[Frame | Bad]:
        for k in range(self._undecodable):
            yield Bad(k, f"{self.name}: frame {k} cannot be decoded")
        index, found, begin, last = self._undecodable, self._first, None, -1.0
        while found is not None:
            at, pixels = found
            begin = at if begin is None else begin
            # Some streams have no times: then one frame after the other at the file's rate.
            last = at - begin if at - begin > last else last + 1 / self._fps
            yield Frame(index, last, pixels)
            index, failed, found = index + 1, 0, self._read()
            # Behind a damaged frame may be good ones; at the end is nothing, however often one asks.
            while found is None and failed < min(self._count - index, PATIENCE) and not self._closed:
                failed, found = failed + 1, self._read()
            if self._closed or (found is None and failed <= self._allowed):
                return
            for k in range(index, index + failed):
                yield Bad(k, f"{self.name}: frame {k} of {self._count} cannot be decoded, or the file ends before it")
            index += failed

    def _read(self) -> tuple[float, np.ndarray] | None:
        """Seconds and RGB of the next frame that decodes at the first attempt."""
        with self._lock:
            if self._closed:
                return None
            ok, bgr = self._capture.read()
            seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        return (seconds, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)) if ok else None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._capture.release()


class Camera:
    """A camera or a network stream, read in a thread of its own, since a driver may never return.

    Args:
      device: its number, its path, or the address of a stream (``rtsp://...``).
      fps: frames a second to ask of it; None: as it is set.
      timeout: seconds without a frame after which it counts as lost, above 0; to open it and its first frame may take
        three times as long each, as cameras warm up.
      open: what makes a ``cv2.VideoCapture`` of the device.

    Raises:
      InputError: it cannot be opened, or does not answer.
    """

    live = True

    def __init__(
        self,
        device: int | str,
        *,
        fps: float | None = None,
        timeout: float = 5.0,
        open: Callable[[Any], Any] = cv2.VideoCapture,
    ):
        self.name, self._timeout = f"camera:{device}", timeout
        self._capture = _opened(open, device, 3 * timeout)
        if not self._capture.isOpened():
            self._capture.release()
            raise InputError(
                f"camera {device} cannot be opened: is it plugged in, is another program using it, may you read it? "
                f"Found: {', '.join(devices()) or 'no camera at all'}"
            )
        if fps is not None:
            self._capture.set(cv2.CAP_PROP_FPS, fps)
        get = self._capture.get
        self.settings: Mapping[str, Any] = {
            "kind": "camera", "device": device, "fps": float(get(cv2.CAP_PROP_FPS)),
            "size": [int(get(cv2.CAP_PROP_FRAME_HEIGHT)), int(get(cv2.CAP_PROP_FRAME_WIDTH))],
            "exposure": float(get(cv2.CAP_PROP_EXPOSURE)), "gain": float(get(cv2.CAP_PROP_GAIN)),
        }  # fmt: skip
        self._closed = threading.Event()
        # One place: who is slow gets the frames of then, not those that a buffer kept since long. That there are no
        # more is kept apart, so that neither the last frame nor the end takes the other's place.
        self._news = threading.Condition()
        self._newest: tuple[float, np.ndarray] | None = None
        self._ended = False
        self._reader = threading.Thread(target=self._keep_reading, name=self.name, daemon=True)

    def frames(self) -> Iterator[Frame | Bad]:
        self._reader.start()
        begin, index, wait = None, 0, 3 * self._timeout
        while not self._closed.is_set():
            with self._news:
                told = self._news.wait_for(lambda: self._newest or self._ended or self._closed.is_set(), wait)
                newest, self._newest = self._newest, None
            if self._closed.is_set():
                return
            if newest is None:
                raise SourceLost(f"{self.name}: " + ("stopped giving frames" if told else f"no frame for {wait:g} s"))
            at, bgr = newest
            begin = at if begin is None else begin
            yield Frame(index, at - begin, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
            index, wait = index + 1, self._timeout

    def _keep_reading(self) -> None:
        while not self._closed.is_set():
            ok, bgr = self._capture.read()
            with self._news:
                if ok:
                    self._newest = time.monotonic(), bgr  # in the place of one that nobody has taken
                self._ended = not ok
                self._news.notify_all()
            if not ok:
                break
        # Here, not in ``close``: to release a capture that another thread reads from crashes.
        self._capture.release()

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        if not self._reader.is_alive():
            self._capture.release()
            return
        with self._news:
            self._news.notify_all()  # who waits for a frame need not wait longer


def _opened(open: Callable[[Any], Any], device: int | str, patience: float) -> Any:
    """What ``open`` makes of the device, called in a thread of its own, since it may never return either."""
    made: Future[Any] = Future()

    def call() -> None:
        try:
            made.set_result(open(device))
        except cv2.error as error:
            made.set_exception(error)

    threading.Thread(target=call, name=f"open camera:{device}", daemon=True).start()
    try:
        return made.result(patience)
    except TimeoutError:
        # Opened after all, it is let go, for nobody is left who would use it.
        made.add_done_callback(lambda late: None if late.exception() else late.result().release())
        raise InputError(
            f"camera {device} does not answer: it was not open after {patience:g} s. See to its cable, its address and "
            "its network, or give it more time (--timeout)"
        ) from None
    except cv2.error as error:
        raise InputError(f"camera {device} cannot be opened ({error})") from None


def devices() -> list[str]:
    """What the system says are cameras."""
    return [str(path) for path in sorted(Path("/dev").glob("video*"))]
