"""Frames at a rate: one an interval, by the source's clock, bad ones counted all."""

from collections.abc import Iterator

import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame
from ddad_jax.sources.rate import at_rate

PICTURE = np.zeros((2, 2, 3), np.uint8)


def frames(*seconds: float | None) -> Iterator[Frame | Bad]:
    for i, at in enumerate(seconds):
        yield Bad(i, "torn") if at is None else Frame(i, at, PICTURE)


@pytest.mark.parametrize("source_fps", [24.0, 29.97, 30.0, 298.0])
@pytest.mark.parametrize("fps", [0.5, 1.0, 3.0, 10.0])
def test_one_frame_an_interval_without_drift(source_fps: float, fps: float) -> None:
    seconds = [k / source_fps for k in range(int(20 * source_fps))]
    taken = [f.seconds for f in at_rate(frames(*seconds), fps) if isinstance(f, Frame)]
    assert len(taken) == 20 * fps
    late = [at - k / fps for k, at in enumerate(taken)]
    assert min(late) >= -1e-4 and max(late) <= 1 / source_fps


def test_a_late_frame_delays_none_and_a_gap_is_not_filled() -> None:
    taken = [f.index for f in at_rate(frames(0.0, 0.9, 1.4, 2.0, 5.1, 5.9, 6.0), 1.0)]
    assert taken == [0, 2, 3, 4, 6]


def test_the_clock_may_begin_anywhere_and_be_rounded_to_milliseconds() -> None:
    taken = [f.index for f in at_rate(frames(*(round(7.0 + k / 30, 3) for k in range(91))), 1.0)]
    assert taken == [0, 30, 60, 90]


def test_bad_frames_all_pass_and_no_rate_passes_all() -> None:
    assert [f.index for f in at_rate(frames(None, 0.0, None, 0.1, 0.2, None, 1.0), 1.0)] == [0, 1, 2, 5, 6]
    assert [f.index for f in at_rate(frames(0.0, 0.1, None), None)] == [0, 1, 2]


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused_at_once(fps: float) -> None:
    with pytest.raises(InputError, match="fps"):
        at_rate(frames(0.0), fps)
