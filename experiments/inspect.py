"""Inspect what a camera sees: ``python -m experiments.inspect --model=WORKDIR --source=camera:0``.

Frames are judged in batches while they arrive. Each leaves one JSON line: verdict, score, threshold, regions, latency,
model; what else happens (a bad or dropped frame, a camera lost and back) is a line of its own, with "event". Ctrl-C or
SIGTERM ends it once all that has arrived is judged; a second one, or one before there are frames, at once with status
130. Sources are those of ``experiments.capture``.
"""

if __name__ == "inspect":  # with this folder itself on the path, where it would stand for the standard library's
    raise ImportError("run it from the repository's root as a module: python -m experiments.inspect")

import signal
import sys
from pathlib import Path

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not one to be ignored
    # Until there is something to leave in order, Ctrl-C ends it as it ends any program, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from absl import flags

from ddad_jax.data.read import expanded
from ddad_jax.engine.live.asked import InspectOptions
from ddad_jax.engine.live.session import run_inspection
from experiments import entry

MODEL = flags.DEFINE_string("model", None, "Workdir of a trained run.")
SOURCE = flags.DEFINE_string("source", None, "camera:0, realsense, a recording, a video, a folder, station:...")
FPS = flags.DEFINE_float("fps", None, "Frames a second to judge; none: every frame.", lower_bound=1e-6)
BATCH = flags.DEFINE_integer("batch", 4, "Frames judged at once.", lower_bound=1)
MAX_WAIT = flags.DEFINE_float("max_wait", 1.0, "Seconds a frame waits for its batch to fill.", lower_bound=0)
QUEUE = flags.DEFINE_integer(
    "queue", None, "Frames that may wait, at least --batch; none: four batches.", lower_bound=1
)
WHEN_FULL = flags.DEFINE_enum(
    "when_full", None, ["drop", "block"],
    "A full queue drops its oldest frame, or lets the source wait; none: drop for live sources, block for recordings.",
)  # fmt: skip
RETRIES = flags.DEFINE_integer("retries", 60, "Attempts to open a lost camera again.", lower_bound=0)
RETRY_WAIT = flags.DEFINE_float("retry_wait", 1.0, "Seconds before each of them.", lower_bound=0)
MAX_FRAMES = flags.DEFINE_integer("max_frames", None, "End after so many frames.", lower_bound=1)
SECONDS = flags.DEFINE_float("seconds", None, "End after so many seconds.", lower_bound=0)
OUT = flags.DEFINE_string("out", None, "File for the lines, appended to; none: MODEL/inspections/START.jsonl.")
STDOUT = flags.DEFINE_boolean("stdout", False, "Also print the lines.")
SUMMARY = flags.DEFINE_string("summary", None, "File for the summary, JSON.")
MIN_AREA = flags.DEFINE_float("min_area", 0.0, "Smaller regions are not told, in pixels of the frame.", lower_bound=0)
CONTOURS = flags.DEFINE_boolean("contours", False, "Lines tell the outlines of regions, not only their boxes.")
OVERLAYS = flags.DEFINE_string("overlays", None, "Folder for pictures of anomalous frames with what was found.")
EVERY = flags.DEFINE_boolean("overlay_every", False, "Overlays of normal frames too.")
VIDEO = flags.DEFINE_string("video", None, "File (.mp4) for all frames with what was found; readable after the end.")
WINDOW = flags.DEFINE_boolean("window", False, "Show frames in a window; needs an OpenCV that has some.")
SERVE = flags.DEFINE_integer(
    "serve", None, "Show frames and counters on a page at this port of 127.0.0.1; 0: any free one.",
    lower_bound=0, upper_bound=65535,
)  # fmt: skip


def main() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def file(flag: flags.FlagHolder) -> Path | None:
        return expanded(flag.value, f"--{flag.name}") if flag.value else None

    run_inspection(
        InspectOptions(
            model=expanded(MODEL.value or "", "--model"),
            source=SOURCE.value or "",
            fps=FPS.value,
            batch=BATCH.value,
            max_wait=MAX_WAIT.value,
            queue=QUEUE.value,
            when_full=WHEN_FULL.value,
            retries=RETRIES.value,
            retry_wait=RETRY_WAIT.value,
            max_frames=MAX_FRAMES.value,
            seconds=SECONDS.value,
            out=file(OUT),
            stdout=STDOUT.value,
            summary=file(SUMMARY),
            min_area=MIN_AREA.value,
            contours=CONTOURS.value,
            overlays=file(OVERLAYS),
            overlay_every=EVERY.value,
            video=file(VIDEO),
            window=WINDOW.value,
            serve=SERVE.value,
        )
    )


if __name__ == "__main__":
    try:
        entry.run_without_config(main, required=["model", "source"])
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell makes of a program that Ctrl-C has ended
