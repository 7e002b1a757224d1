"""A source of given pictures for tests of captures, what a capture of it is asked to be, and the name of a station."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.engine.captures.writing import CaptureOptions
from ddad_jax.sources import Bad, Frame, SourceLost

STATION = "station:coffee?state=paint&video=2&size=32&seconds=8&rpm=7"


class Given:
    """A source of what it is given: pictures, Bad in their places, an exception at the end."""

    name = "camera:0"

    def __init__(self, pictures: list[np.ndarray | str], *, lost: str = "", live: bool = False, depth: bool = False):
        self._pictures, self._lost, self.live, self._depth = pictures, lost, live, depth
        self.settings: Mapping[str, Any] = {"kind": "camera", "exposure": 12.5}
        self.closed = False

    def frames(self) -> Iterator[Frame | Bad]:
        for i, picture in enumerate(self._pictures):
            if isinstance(picture, str):
                yield Bad(i, picture)
            else:
                depth = np.full(picture.shape[:2], 300 * i, np.uint16) if self._depth else None
                yield Frame(i, float(i), picture, depth)
        if self._lost:
            raise SourceLost(self._lost)

    def close(self) -> None:
        self.closed = True


def asked(out: Path, **more: Any) -> CaptureOptions:
    return CaptureOptions(**{"source": "camera:0", "out": out, "product": "bottle", "state": "normal"} | more)


def sharp(k: int, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 200, (*shape, 3), np.uint8)
