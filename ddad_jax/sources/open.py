"""L1. A source by its name, as a user writes it."""

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddad_jax.data.can_render import PRODUCTS
from ddad_jax.errors import InputError
from ddad_jax.sources import Source
from ddad_jax.sources.folder import FolderSource
from ddad_jax.sources.opencv import CONTAINERS, Camera, VideoFile
from ddad_jax.sources.realsense import RECORDINGS, RealSense
from ddad_jax.sources.simulated import Station, StationSettings

KINDS: Mapping[str, str] = {
    "camera:0": "a camera by its number, device path or stream address (camera:/dev/video2, camera:rtsp://...)",
    "realsense": "the RealSense camera that is plugged in; realsense:SERIAL where there are several",
    "FILE.db3, FILE.bag": "a RealSense recording",
    "FILE.mp4": f"a video ({', '.join(sorted(CONTAINERS))})",
    "FOLDER": "pictures in the order of their names",
    "station:PRODUCT?state=dent&video=3": f"the simulated station ({', '.join(PRODUCTS)})",
}
"""What a source may be called, and what it is: for messages and ``--help``."""
LONGEST_TIMEOUT = 86400.0
"""Seconds: a day. Who waits longer than the system's clocks can count would not wait at all."""
FASTEST = 10_000.0
"""Frames a second that may be asked of a camera; none has more."""


def open_source(
    spec: str,
    *,
    fps: float | None = None,
    timeout: float = 5.0,
    depth: bool = True,
    start: int = 0,
    camera_fps: float | None = None,
) -> Source:
    """The source that ``spec`` names, opened.

    Args:
      spec: as in ``KINDS``. Options of the station (``ddad_jax.sources.simulated.StationSettings``) follow a question
        mark, separated by &.
      fps: the clock of a folder, without it one picture a second; recordings, videos and the station have their own,
        and a camera's frames are thinned (``rate.at_rate``).
      camera_fps: asked of a camera and a RealSense, which refuse a rate they do not have; None: what they like.
      timeout: seconds without a frame after which a live source is lost, above 0, at most ``LONGEST_TIMEOUT``.
      depth: of a RealSense, too; False: colour only.
      start: frames that were seen before a live source was lost; only the simulated station, which has no disk that
        turns on meanwhile, needs to know.

    Raises:
      InputError: no such kind, file, folder or device; a misspelt option; nothing in it that could be a frame.
    """
    if not 0 < timeout <= LONGEST_TIMEOUT:
        raise InputError(f"timeout is {timeout:g}: expected seconds, above 0 and at most {LONGEST_TIMEOUT:g}")
    if camera_fps is not None and not 0 < camera_fps <= FASTEST:
        raise InputError(f"camera_fps is {camera_fps:g}: expected frames a second, above 0 and at most {FASTEST:g}")
    kind, colon, rest = spec.partition(":")
    if kind == "camera":
        return Camera(_device(rest, spec), fps=camera_fps, timeout=timeout)
    if kind == "realsense":
        if colon and not rest:
            raise InputError("realsense: expected a serial number behind the colon, or no colon")
        return RealSense(serial=rest or None, fps=camera_fps, timeout=timeout, depth=depth)
    if kind == "station":
        return Station(station_settings(rest), start=start)
    if not spec.strip():
        raise InputError(_kinds("the source has no name"))
    try:
        path = Path(spec).expanduser()
        folder = path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, an unknown user, a null byte
        raise InputError(_kinds(f"{spec[:80]!r}: no such file or folder ({error})")) from None
    if folder:
        return FolderSource(path, fps=1.0 if fps is None else fps)
    suffix = path.suffix.lower()
    if suffix in RECORDINGS:
        return RealSense(recording=path, timeout=timeout, depth=depth)
    if suffix in CONTAINERS:
        return VideoFile(path)
    if path.exists():
        raise InputError(_kinds(f"{spec}: neither a video nor a RealSense recording, by its ending {suffix!r}"))
    raise InputError(_kinds(f"{spec}: no such file or folder, nor a kind of source"))


def station_settings(text: str) -> StationSettings:
    """``PRODUCT?name=value&name=value`` as settings of the simulated station.

    Raises:
      InputError: no such option, twice the same, or a value of another type.
    """
    product, _, query = text.partition("?")
    given: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        kind = StationSettings.__annotations__.get(name)
        if kind is None or name == "product":
            known = ", ".join(field for field in StationSettings._fields if field != "product")
            raise InputError(f"station:{text}: no option {name!r}; there are {known}")
        if not equals or name in given:
            raise InputError(
                f"station:{text}: {name} has {'no value' if not equals else 'two values'}; write {name}=..."
            )
        try:
            given[name] = kind(value)
        except ValueError:
            raise InputError(f"station:{text}: {name}={value!r} is no {_SAID[kind]}") from None
    return StationSettings(product, **given)


_SAID = {int: "whole number", float: "number", str: "word"}


def _device(text: str, spec: str) -> int | str:
    if re.fullmatch(r"[0-9]{1,3}", text):
        return int(text)
    if "://" in text:
        return text
    expected = "expected its number (camera:0), its path (/dev/video0) or a stream's address"
    try:
        mode = Path(text).stat().st_mode if text else 0
    except (OSError, ValueError):
        mode = 0
    if not mode:
        raise InputError(f"{spec[:80]}: no such camera; {expected}")
    if not stat.S_ISCHR(mode):  # a pipe keeps whoever opens it waiting, and a file has a kind of its own
        raise InputError(f"{spec}: is no camera but {_what(mode)}; {expected}")
    return text


def _what(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISDIR(mode):
        return "a folder, which is a source without camera: before it"
    return "a file, which is a source without camera: before it" if stat.S_ISREG(mode) else "of another kind"


def _kinds(what: str) -> str:
    return f"{what}. A source is one of: " + "; ".join(f"{name} ({said})" for name, said in KINDS.items())
