"""L1. Where frames come from: cameras, recordings, folders and the simulated station, all read alike.

The modules beside this one open one kind each; ``open_source`` (``ddad_jax.sources.open``) picks it by the
source's name. Nothing here knows of models, data sets or flags.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np


class Frame(NamedTuple):
    """One picture of a source; host arrays."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    """Of all frames the source gave, from 0; bad and skipped ones count."""
    seconds: float
    """The source's own clock since its first frame."""
    color: np.ndarray
    """uint8 [h, w, 3], RGB."""
    depth: np.ndarray | None = None
    """uint16 [h, w], millimetres, 0 = unknown; None where there is no depth."""


class Bad(NamedTuple):
    """In the place of a frame that could not be read; the source goes on."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    reason: str


class SourceLost(Exception):  # noqa: N818 - it says what happened to a camera, which may come back
    """A live source stopped giving frames: unplugged, taken by another program, or silent too long."""


class Source(Protocol):
    """Frames in the order of time. ``frames`` is called once; it ends where a recording ends, and raises SourceLost
    where a live source is lost. ``close`` may be called at any time, from any thread, and again."""

    @property
    def name(self) -> str:
        """As the user named it."""

    @property
    def live(self) -> bool:
        """Whether it can neither wait nor be read twice."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a manifest says of it: kind, size, frames per second, exposure, seed, ... plain values."""

    def frames(self) -> Iterator[Frame | Bad]: ...

    def close(self) -> None: ...
