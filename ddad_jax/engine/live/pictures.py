"""What an inspection may show besides its lines: overlay pictures, a video of them, a window."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ddad_jax.engine.live.capture import Wish
from ddad_jax.engine.live.loop import Verdict
from ddad_jax.errors import InputError

_TITLE = "inspection (q: stop)"
_NEEDS = "a file that ends in .mp4, in a folder that can be written to"


class Overlays:
    """A PNG for each anomalous frame, or for every one, named after the inspection and the frame.

    Raises:
      InputError: the folder cannot be written to; at once, or when the disk is full.
    """

    def __init__(self, folder: Path, inspection: str, *, every: bool) -> None:
        self._folder, self._inspection, self._every = folder, inspection, every
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # As long as any that follows, which a long name of the record may make too long for the file system.
            tried = folder / f".{inspection}_{10**9}_anomalous.png.part"
            tried.touch()
            tried.unlink()
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"--overlays={self._folder}: cannot be written to ({error.strerror}); name another folder")

    def __call__(self, verdict: Verdict) -> None:
        if self._every or verdict.judged.anomalous:
            name = f"{self._inspection}_{verdict.frame.index:07d}_{verdict.row['verdict']}.png"
            beside = self._folder / f".{name}.part"
            try:
                # Moved to its place, so that nobody meets half a picture; not forced onto the disk, which takes long.
                beside.write_bytes(cv2.imencode(".png", verdict.drawn[..., ::-1])[1].tobytes())
                beside.replace(self._folder / name)
            except OSError as error:
                raise self._unwritable(error) from None


class VerdictVideo:
    """Every judged frame with what was found, at the size of the first.

    It is written beside ``file`` and takes its name when it is closed, once it has been read again: OpenCV says nothing
    of a disk that is full.

    Raises:
      InputError: the file cannot be written, or there is one that holds something.
    """

    def __init__(self, file: Path, *, fps: float) -> None:
        self._file, self._fps = file, fps
        # OpenCV takes the container from the ending.
        self._beside = file.with_name(f".{file.stem}.{os.getpid()}.part.mp4")
        self._writer: Any = None
        self._size, self._frames = (0, 0), 0
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix.lower() != ".mp4" or (file.exists() and not file.is_file()):
                raise InputError(f"--video={file}: expected {_NEEDS}")
            if self._taken():
                raise InputError(f"--video={file}: is there already and would be lost; name a new file")
            self._beside.touch()
            self._beside.unlink()
        except OSError as error:
            raise InputError(f"--video={file}: cannot be written ({error.strerror}); expected {_NEEDS}") from None

    def __call__(self, verdict: Verdict) -> None:
        picture = verdict.drawn
        if self._writer is None:
            # Both even: what the codec's chroma asks for.
            self._size = (max(picture.shape[1] // 2 * 2, 2), max(picture.shape[0] // 2 * 2, 2))
            self._writer = cv2.VideoWriter(str(self._beside), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, self._size)
            if not self._writer.isOpened():
                raise InputError(f"--video={self._file}: OpenCV cannot write it; expected {_NEEDS}")
        if picture.shape[1::-1] != self._size:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(np.ascontiguousarray(picture[..., ::-1]))
        self._frames += 1

    def close(self) -> None:
        """Give the video its name; once, later calls do nothing.

        Raises:
          InputError: it cannot be read, or its name has been taken meanwhile.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        try:
            if not _readable(self._beside, self._frames):
                self._beside.unlink(missing_ok=True)
                raise InputError(
                    f"--video={self._file}: what was written cannot be read again, so there is no video of the "
                    f"{self._frames} frames (is the disk full?); the verdicts are in the record"
                )
            if self._taken():
                raise InputError(f"--video={self._file}: somebody else has written it; this one is {self._beside}")
            self._beside.replace(self._file)
        except OSError as error:
            raise InputError(f"--video={self._file}: cannot be written ({error.strerror}): {self._beside}") from None

    def _taken(self) -> bool:
        return self._file.exists() and self._file.stat().st_size > 0


def _readable(file: Path, frames: int) -> bool:
    """Whether a video has so many frames, to the last one."""
    video = cv2.VideoCapture(str(file))
    try:
        if not video.isOpened() or video.get(cv2.CAP_PROP_FRAME_COUNT) < frames:
            return False
        video.set(cv2.CAP_PROP_POS_FRAMES, frames - 1)
        return bool(video.read()[0])
    finally:
        video.release()


class Window:
    """Every judged frame on the screen; q or Escape in it wishes the inspection to stop.

    Raises:
      InputError: this OpenCV has no windows, or there is no screen.
    """

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        try:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
        except cv2.error:
            raise InputError(
                "--window: this OpenCV cannot open one (opencv-python-headless has none, or there is no screen). "
                "--serve=PORT shows the same in a browser; else put opencv-python in place of opencv-python-headless"
            ) from None

    def __call__(self, verdict: Verdict) -> None:
        cv2.imshow(_TITLE, verdict.drawn[..., ::-1])
        self.tick()

    def tick(self) -> None:
        """Let the window hear its keys; from the thread that made it."""
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            self._wish.to_stop = self._wish.to_stop or "window"

    def close(self) -> None:
        cv2.destroyAllWindows()
