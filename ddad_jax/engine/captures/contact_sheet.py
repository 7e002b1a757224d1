"""A capture at a glance: small pictures in rows, with number, time and what is wrong with them."""

from typing import NamedTuple

import cv2
import numpy as np

CLEAN, FLAGGED, DROPPED = (70, 70, 70), (230, 40, 40), (240, 150, 20)
DEFECT = (60, 255, 60)
CAPTION = 16  # pixels below each picture


class Thumb(NamedTuple):
    picture: np.ndarray
    """uint8 [h, w, 3]."""
    caption: str
    flagged: bool
    dropped: bool


def thumb(
    rgb: np.ndarray, mask: np.ndarray | None, caption: str, *, flagged: bool, dropped: bool, side: int = 128
) -> Thumb:
    """A small copy; the outline of a known defect is drawn into it. rgb: uint8 [h, w, 3]; mask: bool [h, w]."""
    scale = side / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if mask is not None and mask.any():
        wide = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        outline, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outline, -1, DEFECT, 1)
    return Thumb(small, caption, flagged, dropped)


class Thumbs:
    """At most so many of any number, spread over all: each time there are too many, every second goes."""

    def __init__(self, most: int):
        self._most, self._every, self._seen = most, 1, 0
        self.kept: list[tuple[int, Thumb]] = []

    def wants(self) -> bool:
        """Whether the next one is of use; to be asked once for each."""
        self._seen += 1
        return (self._seen - 1) % self._every == 0

    def add(self, index: int, one: Thumb) -> None:
        self.kept.append((index, one))
        if len(self.kept) > self._most:
            self.kept, self._every = self.kept[::2], 2 * self._every


def sheet(thumbs: list[Thumb], *, columns: int = 10) -> np.ndarray:
    """uint8 [H, W, 3]: red frames are flagged, orange ones with a cross were dropped for it."""
    if not thumbs:
        return np.full((CAPTION, CAPTION, 3), 255, np.uint8)
    h, w = (max(one.picture.shape[axis] for one in thumbs) + 6 for axis in (0, 1))
    columns = min(columns, len(thumbs))
    out = np.full((-(-len(thumbs) // columns) * (h + CAPTION), columns * w, 3), 255, np.uint8)
    for i, one in enumerate(thumbs):
        y, x = i // columns * (h + CAPTION), i % columns * w
        ph, pw = one.picture.shape[:2]
        colour = DROPPED if one.dropped else FLAGGED if one.flagged else CLEAN
        wide = 1 if colour == CLEAN else 3
        out[y + 3 - wide : y + 3 + ph + wide, x + 3 - wide : x + 3 + pw + wide] = colour
        out[y + 3 : y + 3 + ph, x + 3 : x + 3 + pw] = one.picture
        if one.dropped:
            cv2.line(out, (x + 3, y + 3), (x + 2 + pw, y + 2 + ph), DROPPED, 1, cv2.LINE_AA)
        at = (x + 3, y + h + CAPTION - 6)
        # The letters end where the next picture begins, however long the caption is.
        own = out[y : y + h + CAPTION, x : x + w]
        cv2.putText(own, one.caption, (at[0] - x, at[1] - y), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return out
