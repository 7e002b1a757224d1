"""The folder of a capture while it is written; ``ddad_jax/engine/captures/recording.py`` says what is in it."""

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ddad_jax.data.read import read_full
from ddad_jax.engine.captures.contact_sheet import Thumbs, sheet, thumb
from ddad_jax.engine.captures.recording import (
    COLUMNS,
    COUNTS,
    FORMAT,
    MANIFEST,
    ROWS,
    Captured,
    checked_manifest,
    read_rows,
)
from ddad_jax.engine.store.tables import plain
from ddad_jax.errors import InputError
from ddad_jax.vision.quality import Quality

PREVIEW = "preview.png"
UNBEGUN = f".{MANIFEST}.part"
"""All that is there of a capture that was killed while it wrote its first file."""
FLAGGED, DUPLICATE = "dropped as flagged", "dropped as a duplicate"
"""Why a frame that could be read is not among the kept ones."""
_SAME = ("recording", "product", "state", "angle", "source", "settings", "fps", "has_masks")
"""What a capture that is taken up again must have in common with its beginning."""


class Row(NamedTuple):
    """What is known of a frame before it is written."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    seconds: float = math.nan
    quality: Quality = Quality(math.nan, math.nan, math.nan, math.nan)
    flags: tuple[str, ...] = ()
    dropped: bool = False
    reason: str = ""


class CaptureFolder:
    """Made at the first row, so that a source without frames leaves nothing behind; or taken up again.

    rows: those written, also before. counts: of ``captures.recording``; ``given`` is the caller's. size: (h, w) of the
    pictures, None before the first. finished: there is nothing left to do.

    Raises:
      InputError: the folder holds another capture, or one that was changed.
    """

    def __init__(self, path: Path, about: dict[str, Any], *, preview: bool = True):
        self.path, self.rows, self.counts = path, list[Captured](), dict.fromkeys(COUNTS, 0)
        self.size: tuple[int, int] | None = None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.manifest: dict[str, Any] = {"format": FORMAT, **about, "started": now, "wall_seconds": 0.0}
        self._begun, self._preview = time.monotonic(), preview
        self._thumbs = {False: Thumbs(40), True: Thumbs(20)}
        self._rows: Any = None
        self.finished = False
        if (path / MANIFEST).is_file():
            self._take_up()

    def _take_up(self) -> None:
        old = checked_manifest(self.path)
        differs = [key for key in _SAME if old[key] != json.loads(json.dumps(self.manifest[key]))]
        if differs:
            told = "; ".join(f"{key} {old[key]!r}, now {self.manifest[key]!r}" for key in differs)
            raise InputError(f"{self.path}: holds a capture of something else ({told}); name another --out")
        self.finished, self.manifest = bool(old["finished"]), old | {"software": self.manifest["software"]}
        if self.finished:
            return
        self._begun -= float(old.get("wall_seconds", 0))
        for row in read_rows(self.path, old):
            self._count(row)
            if row.file is not None:
                self._keep_thumb(
                    row, read_full(row.file), None if row.mask is None else read_full(row.mask)[..., 0] > 0
                )
        self.size = None if old["size"] is None else (old["size"][0], old["size"][1])

    def last_picture(self) -> np.ndarray | None:
        """uint8 [h, w, 3], the last that was kept, from its file."""
        kept = [row.file for row in self.rows if row.file is not None]
        picture = read_full(kept[-1]) if kept else None
        self.size = self.size if picture is None else (picture.shape[0], picture.shape[1])
        return picture

    def write(
        self,
        row: Row,
        color: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        depth: np.ndarray | None = None,
    ) -> None:
        """A row, and the files of a frame that was not dropped.

        Args:
          color: uint8 [h, w, 3]; None for a bad frame. mask: bool [h, w], None where nothing is known. depth: uint16.

        Raises:
          InputError: the folder cannot be written to.
        """
        name, digest = f"{row.index:06d}.png", ""
        shown = mask is not None and bool(mask.any())
        keep = color is not None and not row.dropped
        with _writable(self.path):
            if color is not None:
                self.size = self.size or (color.shape[0], color.shape[1])
            self._begin()
            if keep and color is not None:
                digest = _replace(self.path / "frames" / name, _png(color[..., ::-1]))
            if keep and shown and mask is not None:
                _replace(self.path / "masks" / name, _png(mask.astype(np.uint8) * 255))
            if keep and depth is not None:
                _replace(self.path / "depth" / name, _png(depth))
            captured = Captured(
                Path("frames", name) if keep else None, row.index, row.seconds, *row.quality, row.flags, row.dropped,
                Path("masks", name) if keep and shown else None, 0 if mask is None else int(np.count_nonzero(mask)),
                Path("depth", name) if keep and depth is not None else None, digest, " ".join(row.reason.split()),
            )  # fmt: skip
            self._rows.write(_csv([_cell(value) for value in captured]))
        # As those read back: with the folder they lie in.
        paths = {key: getattr(captured, key) for key in ("file", "mask", "depth")}
        self._count(captured._replace(**{key: self.path / path for key, path in paths.items() if path is not None}))
        if color is not None:
            self._keep_thumb(captured, color, mask)

    def end(self, ended: str, *, finished: bool) -> dict[str, Any]:
        """Close the table, write preview and manifest; the manifest."""
        with _writable(self.path):
            self._begin()
            self._rows.close()
            content = (self.path / ROWS).read_bytes()
            if self._preview:
                thumbs = sorted(self._thumbs[False].kept + self._thumbs[True].kept, key=lambda one: one[0])
                _replace(self.path / PREVIEW, _png(sheet([one for _, one in thumbs])[..., ::-1]))
            self._write_manifest(ended, finished, hashlib.sha256(content).hexdigest())
        return self.manifest

    def _begin(self) -> None:
        if self._rows is not None:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        rows = self.path / ROWS
        whole = rows.read_bytes() if rows.exists() else b""
        whole = whole[: whole.rfind(b"\n") + 1]  # the last row of one that was killed may be torn
        # From here on the digest of an earlier, orderly end is no longer that of the table.
        self._write_manifest("running", False, "")
        _replace(rows, whole or _csv(COLUMNS))
        self._rows = rows.open("ab", buffering=0)  # a row is on its way or not, never in a buffer

    def _write_manifest(self, ended: str, finished: bool, digest: str) -> None:
        self.manifest |= {
            "wall_seconds": round(time.monotonic() - self._begun, 3), "size": self.size and list(self.size),
            "frames": self.counts["kept"], "counts": dict(self.counts), "finished": finished, "ended": ended,
            "sha256": digest,
        }  # fmt: skip
        _replace(self.path / MANIFEST, json.dumps(plain(self.manifest), indent=1).encode())

    def _count(self, row: Captured) -> None:
        self.rows.append(row)
        bad, duplicate = "bad" in row.flags, "duplicate" in row.flags
        exposure, blurred = bool({"over", "under"} & {*row.flags}), "blurred" in row.flags
        self.counts["seen"] += 1
        self.counts["kept"] += not row.dropped
        self.counts["dropped_flagged"] += row.dropped and row.reason == FLAGGED
        self.counts["dropped_duplicates"] += row.dropped and row.reason == DUPLICATE
        self.counts["flagged_duplicate"] += duplicate
        self.counts["flagged_blurred"] += blurred
        self.counts["flagged_exposure"] += exposure
        self.counts["bad"] += bad

    def _keep_thumb(self, row: Captured, color: np.ndarray, mask: np.ndarray | None) -> None:
        thumbs = self._thumbs[bool(row.flags)]
        if self._preview and thumbs.wants():
            said = " ".join((f"#{row.index}  {row.seconds:.1f}s", *row.flags))
            thumbs.add(row.index, thumb(color, mask, said, flagged=bool(row.flags), dropped=row.dropped))


def _cell(value: Any) -> str:
    """A field of ``Captured`` as text; ``ddad_jax.engine.captures.recording`` reads it back."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return repr(round(value, 6))
    if isinstance(value, tuple):
        return " ".join(value)
    return value.as_posix() if isinstance(value, Path) else str(int(value) if isinstance(value, bool) else value)


def _csv(cells: Sequence[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode(errors="backslashreplace")


@contextlib.contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"--out={out}: cannot be written ({error.strerror}); make room, or name another folder. What is there "
            "can be taken up with --resume"
        ) from None


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes()


def _replace(path: Path, content: bytes) -> str:
    """Write beside, flush, rename; the digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return hashlib.sha256(content).hexdigest()
