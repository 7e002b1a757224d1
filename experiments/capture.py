"""Pictures from a camera, a recording or the simulated station, with their origin.

    python -m experiments.capture --source=camera:0 --out=runs/captures/bottle-1 --product=bottle --state=normal

``--source``: ``camera:0``, ``realsense``, a RealSense recording (.db3, .bag), a video, a folder of pictures, or
``station:winter_melon?state=dent&video=3&seconds=30&size=64``. What is written is described in
``ddad_jax/engine/captures/recording.py``; ``python -m experiments.dataset`` makes data sets of such folders. Ctrl-C
ends a capture in good order, and ``--resume`` takes up that of a recording.
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from ddad_jax.engine.captures.recording import how_to_go_on
from ddad_jax.engine.captures.writing import CaptureOptions, capture
from ddad_jax.sources.open import KINDS
from experiments import entry

_OF = CaptureOptions("", Path())
SOURCE = flags.DEFINE_string("source", None, "; ".join(f"{name}: {said}" for name, said in KINDS.items()))
OUT = flags.DEFINE_string("out", None, "A new folder for this capture.")
CAMERA_FPS = flags.DEFINE_float("camera_fps", None, "Asked of the camera; none: what it likes.", lower_bound=1.0)
FPS = flags.DEFINE_float("fps", 1.0, "Frames a second by the source's clock; 0: every frame.", lower_bound=0.0)
MAX_FRAMES = flags.DEFINE_integer("max_frames", _OF.max_frames, "Keep so many at most; 0: no limit.", lower_bound=0)
SECONDS = flags.DEFINE_float("seconds", _OF.seconds, "End after so many seconds; 0: no limit.", lower_bound=0.0)
PRODUCT = flags.DEFINE_string("product", "", "What is filmed; the station knows.")
STATE = flags.DEFINE_string("state", "", "normal, hard (sound, in bad light), or a defect's name; the station knows.")
ANGLE = flags.DEFINE_string("angle", "", "The camera's angle or view, in words or as a number.")
RECORDING = flags.DEFINE_string("recording", "", "Name of this recording in data sets; none: the folder's.")
DROP_DUPLICATES = flags.DEFINE_boolean("drop_duplicates", False, "Write no frame that is the last one once more.")
DROP_FLAGGED = flags.DEFINE_boolean("drop_flagged", False, "Write no blurred, over- or under-exposed frame.")
DEPTH = flags.DEFINE_boolean("depth", False, "Write depth, too, where there is one (16-bit PNG, millimetres).")
PREVIEW = flags.DEFINE_boolean("preview", True, "Write preview.png, a contact sheet.")
RESUME = flags.DEFINE_boolean("resume", False, "Take up the capture of a recording that stopped in --out.")
TIMEOUT = flags.DEFINE_float("timeout", _OF.timeout, "Seconds without a frame until a camera is lost.", lower_bound=0.1)
LIMITS = {
    "least_sharpness": flags.DEFINE_float("least_sharpness", None, "Below is blurred.", lower_bound=0.0),
    "most_over": flags.DEFINE_float("most_over", None, "Share of white pixels above which is over-exposed."),
    "most_under": flags.DEFINE_float("most_under", None, "Share of black pixels above which is under-exposed."),
    "least_difference": flags.DEFINE_float("least_difference", None, "Change below which is a duplicate."),
}
"""Defaults, and how they were measured: ``ddad_jax/vision/quality.py``."""


def main() -> None:
    asked = CaptureOptions(
        source=SOURCE.value or "",
        out=Path(OUT.value or ""),
        fps=FPS.value or None,
        camera_fps=CAMERA_FPS.value,
        max_frames=MAX_FRAMES.value,
        seconds=SECONDS.value,
        product=PRODUCT.value,
        state=STATE.value,
        angle=ANGLE.value,
        recording=RECORDING.value,
        drop_duplicates=DROP_DUPLICATES.value,
        drop_flagged=DROP_FLAGGED.value,
        depth=DEPTH.value,
        preview=PREVIEW.value,
        resume=RESUME.value,
        timeout=TIMEOUT.value,
        limits={name: flag.value for name, flag in LIMITS.items() if flag.value is not None},
    )
    with _stopped_by_signals() as stop:
        progress = CaptureProgress()
        manifest = capture(asked, stop=stop, tell=progress.tell)
        progress.end()
    n = manifest["counts"]
    wrong = ", ".join(
        f"{n[key]} {key.replace('_', ' ')}" for key in n if n[key] and key not in ("given", "seen", "kept")
    )
    print(f"{asked.out}: {n['kept']} of {n['seen']} frames kept, ended by {manifest['ended']}{wrong and '; ' + wrong}")
    if not manifest["finished"]:
        print(f"not finished: {how_to_go_on(asked.out, manifest)}", file=sys.stderr)
    elif not n["kept"]:
        print("no frame was kept: look at preview.png, and see --least_sharpness and its like", file=sys.stderr)


class CaptureProgress:
    """The counts on standard error: a line rewritten on a terminal, a new one every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._every = 0.5 if self._terminal else 10.0
        self._next = time.monotonic() + self._every

    def tell(self, n: dict[str, int]) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every
        said = (
            f"{n['kept']} kept of {n['seen']}, {n['flagged_duplicate']} duplicates, {n['flagged_blurred']} blurred, "
            f"{n['flagged_exposure']} badly exposed, {n['bad']} bad"
        )
        print(f"\r{said}\x1b[K" if self._terminal else said, file=sys.stderr, end="" if self._terminal else "\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._terminal:
            print(file=sys.stderr)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Set by Ctrl-C or a termination; a second one does not wait for the next frame."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    entry.run_without_config(main, required=("source", "out"))
