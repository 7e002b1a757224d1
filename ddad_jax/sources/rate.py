"""L1. Fewer frames: those at a chosen rate, by the source's own clock."""

import math
from collections.abc import Iterable, Iterator

from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame

_SLACK = 1e-4  # seconds; clocks come in milliseconds and as k / fps, which do not meet exactly


def at_rate(frames: Iterable[Frame | Bad], fps: float | None) -> Iterator[Frame | Bad]:
    """Of each interval [k / fps, (k + 1) / fps) since the first frame the first one; an empty interval gives none.

    The intervals stand still, so that a late frame delays none of the next. Bad frames have no time and all pass, so
    that whoever counts them counts all.

    Args:
      frames: in the order of time.
      fps: frames a second, above 0; None: every frame.

    Raises:
      InputError: fps is not above 0.

    Source: one frame a second in Huynh et al. (2025), section 4.1.
    """
    if fps is not None and not (fps > 0 and math.isfinite(fps)):
        raise InputError(f"fps is {fps:g}: expected a number above 0, in frames a second")
    return _at_rate(frames, fps)


def _at_rate(frames: Iterable[Frame | Bad], fps: float | None) -> Iterator[Frame | Bad]:
    begin: float | None = None
    taken = -1
    for frame in frames:
        if isinstance(frame, Bad) or fps is None:
            yield frame
            continue
        begin = frame.seconds if begin is None else begin
        interval = math.floor((frame.seconds - begin + _SLACK) * fps)
        if interval > taken:
            taken = interval
            yield frame
