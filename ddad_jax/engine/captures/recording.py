"""What a capture leaves behind, and how it is read: one folder = one capture = one recording.

::

    OUT/manifest.json         where the pictures come from (below); its last writing ends the capture
    OUT/frames.csv            one row for each frame taken at the asked rate: kept, dropped and bad ones
    OUT/frames/000012.png     RGB; the number is the frame's index in its source
    OUT/masks/000012.png      255 = defect; only where the truth is known and something of a defect is in view
    OUT/depth/000012.png      16 bits, millimetres, 0 = unknown; only with --depth
    OUT/preview.png           contact sheet, flagged frames framed; nothing reads it

``manifest.json``: ``format`` (1), ``recording`` (its name, unique in a data set), ``product``, ``state`` ("normal",
"hard" or the name of a defect), ``angle`` (words or a number, as the user gave it), ``source`` (the spec), ``kind``
(station, video, folder, camera, realsense, recording), ``started`` (ISO time, UTC), ``wall_seconds``, ``settings``
(the source's and the capture's), ``fps``, ``size`` [h, w] (null before the first frame), ``frames`` (kept), ``counts``,
``has_masks``, ``finished``, ``ended`` (why: end, max_frames, seconds, interrupted, lost, running), ``software``,
``sha256`` (of frames.csv, whose rows hold the digest of each picture).

``counts``: ``given`` (by the source), ``seen`` (taken at the rate = rows), ``kept``, ``dropped_duplicates``,
``dropped_flagged``, ``flagged_duplicate``, ``flagged_blurred``, ``flagged_exposure``, ``bad`` (unreadable);
seen = kept + dropped_duplicates + dropped_flagged + bad.

``has_masks`` true says that the truth is known: a kept frame without a mask then shows no defect, although the
product may have one on its far side. False: nothing is known of the pixels, only the recording's ``state``.
"""

import csv
import hashlib
import io
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.data.json_file import parsed
from ddad_jax.data.names import fault_of, folded, is_normal_name
from ddad_jax.data.read import image_size
from ddad_jax.errors import InputError

LONGEST_SIDE = 2**16
"""Of a frame in pixels."""
NORMAL = ("normal", "hard")
"""States of a recording without a defect."""
LIVE = ("camera", "realsense")
"""Kinds of sources that never show a moment twice."""
_NAME = re.compile(r"[\w(][\w .+()@=-]*(?<![ .])")
FORMAT = 1
MANIFEST, ROWS = "manifest.json", "frames.csv"
COLUMNS = ("file", "index", "seconds", "sharpness", "over", "under", "difference", "flags", "dropped",
           "mask", "mask_pixels", "depth", "sha256", "reason")  # fmt: skip
COUNTS = ("given", "seen", "kept", "dropped_duplicates", "dropped_flagged", "flagged_duplicate", "flagged_blurred",
          "flagged_exposure", "bad")  # fmt: skip
_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "format": int, "recording": str, "product": str, "state": str, "angle": str, "source": str, "kind": str,
    "started": str, "settings": dict, "fps": (int, float, type(None)), "size": (list, type(None)), "frames": int,
    "counts": dict, "has_masks": bool, "finished": bool, "ended": str,
}  # fmt: skip


class Captured(NamedTuple):
    """One row of frames.csv."""

    file: Path | None
    """The picture; None where the frame was dropped or bad."""
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    seconds: float
    """By the source's clock; NaN for a bad frame."""
    sharpness: float
    """Of ``ddad_jax.vision.quality``, as are the next three; NaN for a bad frame."""
    over: float
    under: float
    difference: float
    """To the last kept frame; NaN for the first."""
    flags: tuple[str, ...]
    """Of blurred, over, under, duplicate, bad."""
    dropped: bool
    mask: Path | None
    """255 = defect; None where none is in view, or nothing is known (``Capture.has_masks``)."""
    mask_pixels: int
    """Of a defect in this frame; 0 where none is in view or nothing is known."""
    depth: Path | None
    sha256: str
    """Of the picture's file; empty where there is none."""
    reason: str
    """Why a bad frame could not be read, or a good one was dropped; empty of a kept one."""


class Capture(NamedTuple):
    """A capture's folder, read and checked."""

    folder: Path
    recording: str
    product: str
    state: str
    """"normal", "hard", or the name of a defect."""
    angle: str
    source: str
    kind: str
    fps: float | None
    size: tuple[int, int]
    """(height, width) of every kept picture."""
    has_masks: bool
    """Whether the truth is known: a kept frame without a mask then shows no defect."""
    finished: bool
    manifest: dict[str, Any]
    """All of manifest.json."""
    frames: tuple[Captured, ...]
    """The kept ones, in the order of time."""
    left_out: tuple[Captured, ...]
    """The dropped and the bad ones."""


def why_not(name: str) -> str:
    """Why no recording, product or state may be called so; empty where it may.

    They are also written in lists with commas and in the names of labels, so they have fewer characters than
    `ddad_jax.data.names.fault_of` allows: letters, digits, spaces and _ . + - = @ ( ).
    """
    if not _NAME.fullmatch(name):
        return "expected letters, digits, spaces and _ . + - = @ ( ) only, no sign first, no blank or dot last"
    return fault_of(name)


def means_normal(state: str) -> bool:
    """Whether a state says otherwise than `NORMAL` that there is no defect, so that it would be taken for a defect."""
    return state not in NORMAL and (is_normal_name(state) or folded(state) in NORMAL)


def how_to_go_on(folder: Path, manifest: Mapping[str, Any]) -> str:
    """What may be done with a capture that did not finish."""
    if manifest["kind"] in LIVE or manifest["settings"].get("live"):
        return (
            "its source was live and cannot be taken up: capture again into another folder, or use what there is "
            "(python -m experiments.dataset ... --unfinished)"
        )
    return (
        f"take it up with python -m experiments.capture ... --out={folder} --resume, or capture it again into another "
        "folder"
    )


def read_capture(folder: str | Path, *, unfinished: bool = False, verify: bool = False) -> Capture:
    """What a capture left in ``folder``.

    Args:
      folder: the capture's --out.
      unfinished: take one that was interrupted, or is still running, too: what it has so far.
      verify: also compare the digest of every picture; reads all files.

    Raises:
      InputError: no capture there, of another format, not finished, without a kept frame, a manifest or a table that
        is not as written, a picture that is missing or (``verify``) changed.
    """
    folder = Path(folder)
    manifest = checked_manifest(folder)
    if not (manifest["finished"] or unfinished):
        raise InputError(
            f"{folder}: this capture did not finish ({manifest['ended']}); {how_to_go_on(folder, manifest)}"
        )
    rows = read_rows(folder, manifest, verify=verify)
    rows_with_file = tuple(row for row in rows if row.file is not None)
    if manifest["finished"] and len(rows_with_file) != manifest["frames"]:
        raise InputError(
            f"{folder / ROWS}: {len(rows_with_file)} kept frames, "
            f"but {MANIFEST} says {manifest['frames']}; capture it again"
        )
    if not rows_with_file:
        raise InputError(f"{folder}: this capture kept no frame; capture again, perhaps without --drop_flagged")
    # A capture that was killed had no time to say.
    h, w = manifest["size"] or image_size(rows_with_file[0].file or "")
    fields = {name: manifest[name] for name in Capture._fields if name in _KEYS and name not in ("size", "frames")}
    left_out = tuple(row for row in rows if row.file is None)
    return Capture(folder=folder, size=(h, w), manifest=manifest, frames=rows_with_file, left_out=left_out, **fields)


def checked_manifest(folder: Path) -> dict[str, Any]:
    """The checked manifest.json of a capture.

    Raises:
      InputError: there is none, or it is not one of this format.
    """
    file = folder / MANIFEST
    try:
        manifest = parsed(file.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{folder}: no capture (there is no {MANIFEST}); name the --out of python -m experiments.capture"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read ({error}); capture again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        of = manifest.get("format") if isinstance(manifest, dict) else None
        raise InputError(f"{file}: format {of!r}, expected {FORMAT}; capture again with this version")
    for key, kind in _KEYS.items():
        if key not in manifest or not isinstance(manifest[key], kind):
            raise InputError(f"{file}: {key!r} is {manifest.get(key, 'not there')!r}; capture again")
    sides = manifest["size"]
    if sides is not None and not (len(sides) == 2 and all(type(n) is int and 0 < n <= LONGEST_SIDE for n in sides)):
        raise InputError(f"{file}: 'size' is {manifest['size']!r}, expected [height, width]; capture again")
    return manifest


def read_rows(folder: Path, manifest: Mapping[str, Any], *, verify: bool = False) -> list[Captured]:
    """The rows of frames.csv, each file found to be there; of a running or killed capture the whole rows.

    Raises:
      InputError: the table was changed or is not one; a file is missing or (``verify``) changed.
    """
    file = folder / ROWS
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        if manifest["ended"] == "running":
            return []  # killed before its first row
        raise InputError(f"{file}: not there; capture again") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    if manifest["ended"] == "running":
        content = content[: content.rfind(b"\n") + 1]  # its last row may be torn
    elif hashlib.sha256(content).hexdigest() != manifest.get("sha256"):
        raise InputError(f"{file}: was changed after the capture (its digest is not the one in {MANIFEST})")
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig", errors="replace"), newline=""))
    if content and tuple(reader.fieldnames or ()) != COLUMNS:
        raise InputError(f"{file}: its columns are {reader.fieldnames}, expected {list(COLUMNS)}; capture again")
    rows = [_row(folder, line, file, number) for number, line in enumerate(reader, start=2)]
    for row in rows:
        _require_files(row, verify)
    files_of = Counter(row.index for row in rows if row.file is not None)
    if twice := [index for index, count in files_of.items() if count > 1]:
        raise InputError(f"{file}: frame {twice[0]} has more than one row with a picture; capture it again")
    return rows


def _row(folder: Path, line: Mapping[str, str], file: Path, number: int) -> Captured:
    def real(name: str) -> float:
        return float(line[name]) if line[name] else math.nan

    def inside(name: str) -> Path | None:
        # A table is plain text that anyone may write: it names files of its own folder only, each frame its own.
        if not line[name]:
            return None
        if line[name] != (expected_name := f"{name_of[name]}/{int(line['index']):06d}.png"):
            raise ValueError(f"{name} is {line[name]!r}, expected {expected_name}")
        return folder / expected_name

    name_of = {"file": "frames", "mask": "masks", "depth": "depth"}
    try:
        return Captured(
            inside("file"), int(line["index"]), real("seconds"), real("sharpness"), real("over"), real("under"),
            real("difference"), tuple(line["flags"].split()), line["dropped"] == "1", inside("mask"),
            int(line["mask_pixels"]), inside("depth"), line["sha256"], line["reason"],
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        raise InputError(f"{file}, line {number}: not a row of a capture ({error}); capture again") from None


def _require_files(row: Captured, verify: bool) -> None:
    for path in (row.file, row.mask, row.depth):
        if path is not None and not path.is_file():
            raise InputError(f"{path}: not there, although the capture's {ROWS} names it; capture again")
    if verify and row.file is not None and hashlib.sha256(row.file.read_bytes()).hexdigest() != row.sha256:
        raise InputError(f"{row.file}: was changed after the capture (its digest differs); capture again")
