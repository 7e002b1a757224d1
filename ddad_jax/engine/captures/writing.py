"""A capture: frames of a source at a rate, judged by their quality, written with all that is known of their origin.

The folder is as ``ddad_jax/engine/captures/recording.py`` says, and written so that a capture that was killed can be
taken up where it stopped (``ddad_jax/engine/captures/folder.py``).
"""

import math
import platform
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.data.read import expanded
from ddad_jax.engine.captures.folder import DUPLICATE, FLAGGED, UNBEGUN, CaptureFolder, Row
from ddad_jax.engine.captures.recording import NORMAL, means_normal, why_not
from ddad_jax.engine.store import lock
from ddad_jax.engine.store.tables import plain
from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame, Source, SourceLost
from ddad_jax.sources.open import open_source
from ddad_jax.sources.rate import at_rate
from ddad_jax.vision import quality


class CaptureOptions(NamedTuple):
    """What to capture; the flags of ``python -m experiments.capture``."""

    source: str
    out: Path
    fps: float | None = 1.0
    camera_fps: float | None = None
    """Frames a second; None: every frame."""
    max_frames: int = 0
    """Kept ones; 0: no limit."""
    seconds: float = 0.0
    """By the source's clock; 0: to its end."""
    product: str = ""
    state: str = ""
    """normal, hard, or a defect's name. The station knows its product and state itself."""
    angle: str = ""
    recording: str = ""
    """Its name in data sets; empty: the folder's."""
    drop_duplicates: bool = False
    drop_flagged: bool = False
    """Blurred, over- or under-exposed frames."""
    depth: bool = False
    preview: bool = True
    resume: bool = False
    timeout: float = 5.0
    limits: Mapping[str, float] = {}
    """Of ``ddad_jax.vision.quality.flags``, where others than its own."""


def capture(
    asked: CaptureOptions,
    *,
    stop: threading.Event | None = None,
    tell: Callable[[dict[str, int]], None] = lambda counts: None,
    open: Callable[..., Source] = open_source,
) -> dict[str, Any]:
    """Capture until the source ends, a limit is reached or ``stop`` is set; the manifest.

    Args:
      asked: what.
      stop: looked at after each frame.
      tell: called with the counts after each row.
      open: what opens the source.

    Raises:
      InputError: the source cannot be opened, gives no frame, or none that can be read; product or state are not named,
        or differ from what the station films; ``out`` holds something else, another capture, or a finished one;
        another program writes into it.
    """
    if (out := expanded(asked.out, "--out")).is_file():
        _require_place(out, asked.resume)
    with lock.folder_lock(out, flag="--out"):
        return _capture(asked, out, stop or threading.Event(), tell, open)


def _capture(
    asked: CaptureOptions,
    out: Path,
    stop: threading.Event,
    tell: Callable[[dict[str, int]], None],
    open: Callable[..., Source],
) -> dict[str, Any]:
    _require_place(out, asked.resume)
    if not 0 <= asked.seconds < math.inf:
        raise InputError(f"--seconds={asked.seconds}: expected a finite number of at least 0")
    how = {"timeout": asked.timeout, "depth": asked.depth, "camera_fps": asked.camera_fps}
    try:
        source = open(asked.source, fps=asked.fps, **how)
    except KeyboardInterrupt:
        raise InputError(f"{asked.source}: interrupted before it was open; nothing was written") from None
    try:
        about = _about(asked, out, source)
        folder = CaptureFolder(out, about, preview=asked.preview)
        if folder.finished:
            return folder.manifest
        if folder.rows and source.live:
            raise InputError(f"--resume: {asked.source} is live and does not wait; capture into another folder")
        ended = _film(asked, source, folder, stop, tell)
    finally:
        source.close()
    # Whoever films a camera without a limit ends it by hand: that is no accident.
    by_hand = source.live and not asked.seconds and not asked.max_frames and ended == "interrupted"
    unreadable = folder.counts["bad"] == folder.counts["seen"]
    finished = not unreadable and (by_hand or ended in ("end", "max_frames", "seconds"))
    manifest = folder.end(ended, finished=finished)
    if unreadable and ended == "end":
        raise InputError(
            f"{asked.source}: none of its {folder.counts['bad']} frames can be read ({folder.rows[0].reason}); see to "
            f"the source, and remove {out}, which says why of each"
        )
    return manifest


def _film(
    asked: CaptureOptions,
    source: Source,
    folder: CaptureFolder,
    stop: threading.Event,
    tell: Callable[[dict[str, int]], None],
) -> str:
    """Write a row for each frame; why there are no more."""
    done = folder.rows[-1].index if folder.rows else -1
    before = folder.last_picture()
    frames = at_rate(_counted(source.frames(), folder), asked.fps)
    try:
        for frame in frames:
            if stop.is_set():
                return "interrupted"
            if asked.seconds and isinstance(frame, Frame) and frame.seconds >= asked.seconds:
                return "seconds"
            if frame.index <= done:
                continue  # written before this capture was taken up again
            if asked.max_frames and folder.counts["kept"] >= asked.max_frames:
                return "max_frames"
            before = _write(asked, source, folder, frame, before)
            tell(folder.counts)
            if asked.max_frames and folder.counts["kept"] >= asked.max_frames:
                return "max_frames"
    except KeyboardInterrupt:  # a second Ctrl-C, at a camera that gives nothing
        return "interrupted"
    except SourceLost as error:
        if not folder.rows:
            raise InputError(f"{asked.source}: gave no frame ({error}); see to its cable and power") from None
        return "lost"
    if not folder.rows:
        raise InputError(f"{asked.source}: gave no frame at all; nothing was written")
    return "interrupted" if stop.is_set() else "end"


def _write(
    asked: CaptureOptions, source: Source, folder: CaptureFolder, frame: Frame | Bad, before: np.ndarray | None
) -> np.ndarray | None:
    """One row and its files; the last kept picture, which the next is compared with."""
    if isinstance(frame, Frame) and folder.size is not None and frame.color.shape[:2] != folder.size:
        (h, w), (fh, fw) = folder.size, frame.color.shape[:2]
        frame = Bad(frame.index, f"frame {frame.index} is {fh} x {fw} pixels, those before are {h} x {w}")
    if isinstance(frame, Bad):
        folder.write(Row(frame.index, flags=("bad",), dropped=True, reason=frame.reason))
        return before
    seen = quality.measured(frame.color, before)
    flags = quality.flags(seen, **asked.limits)
    bad = {*flags} & {"blurred", "over", "under"}
    reason = FLAGGED if asked.drop_flagged and bad else ""
    reason = reason or (DUPLICATE if asked.drop_duplicates and "duplicate" in flags else "")
    truth = getattr(source, "truth", None)
    mask = None if truth is None else truth(frame.index)
    folder.write(
        Row(frame.index, frame.seconds, seen, flags, dropped=bool(reason), reason=reason),
        frame.color,
        mask,
        frame.depth if asked.depth else None,
    )
    return before if reason else frame.color


def _counted(frames: Iterator[Frame | Bad], folder: CaptureFolder) -> Iterator[Frame | Bad]:
    for frame in frames:
        folder.counts["given"] += 1
        yield frame


def _require_place(out: Path, resume: bool) -> None:
    try:
        there = out.exists() and (
            not out.is_dir() or any(file.name not in (UNBEGUN, lock.NAME) for file in out.iterdir())
        )
    except OSError as error:
        raise InputError(f"--out={out}: cannot be read ({error.strerror}); name another folder") from None
    if there and not (resume and (out / "manifest.json").is_file()):
        raise InputError(
            f"--out={out}: is not empty; name a new folder, or take up a capture that stopped there with --resume"
        )


def _about(asked: CaptureOptions, out: Path, source: Source) -> dict[str, Any]:
    """The part of the manifest that is known before the first frame."""
    known = source.settings
    named = {"product": asked.product, "state": asked.state}
    for key, value in named.items():
        own = str(known.get(key, ""))
        if value and own and value != own:
            raise InputError(f"--{key}={value}: but the source films {own}; leave the flag out, or change the source")
        named[key] = value or own
        if not named[key]:
            example = {"product": "bottle", "state": "normal (or hard, or the name of a defect)"}[key]
            raise InputError(f"--{key} is missing: say what is filmed, such as --{key}={example}")
    named["recording"] = asked.recording or out.resolve().name
    for key, value in named.items():
        if key == "state" and means_normal(value):
            raise InputError(f"--state={value}: cannot be used; say {NORMAL[0]} of what has no defect")
        if why := why_not(value):
            raise InputError(f"--{key}={value}: cannot be used; it names files: {why}")
    if any(not math.isfinite(value) for value in asked.limits.values()):
        raise InputError(f"{dict(asked.limits)}: expected finite limits")
    file = Path(asked.source).expanduser()
    settings = dict(known) | ({"bytes": file.stat().st_size} if file.is_file() else {})
    kept = ("max_frames", "seconds", "drop_duplicates", "drop_flagged", "depth", "limits")
    return {
        **named,
        "angle": asked.angle or str(known.get("video", "")),
        "source": asked.source,
        "kind": str(known["kind"]),
        "settings": plain({**settings, "capture": {key: getattr(asked, key) for key in kept}}),
        "fps": asked.fps,
        "has_masks": hasattr(source, "truth"),
        "software": software(),
    }


def software() -> dict[str, str]:
    """What decides on pixels, and its version."""
    found = {"python": platform.python_version()}
    for package in ("ddad-jax", "numpy", "opencv-python-headless", "pillow", "pyrealsense2"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
