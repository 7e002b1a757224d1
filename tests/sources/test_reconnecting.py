"""A lost camera is opened again; indices and clock go on, each loss and return is told, nothing hangs."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame, SourceLost
from ddad_jax.sources.open import open_source
from ddad_jax.sources.reconnecting import Event, reconnecting

PICTURE = np.zeros((2, 2, 3), np.uint8)


class Camera:
    """Gives ``n`` frames, a bad one among them, and is lost then, or ends."""

    name, live = "camera:9", True
    settings: Mapping[str, Any] = {"kind": "camera"}

    def __init__(self, n: int, *, lost: bool = True):
        self._n, self._lost, self.closed = n, lost, 0

    def frames(self) -> Iterator[Frame | Bad]:
        for i in range(self._n):
            yield Bad(i, "torn") if i == 1 else Frame(i, i * 0.5, PICTURE)
        if self._lost:
            raise SourceLost("unplugged")

    def close(self) -> None:
        self.closed += 1


def opening(*sources: Camera | Exception) -> tuple[Callable[[int], Camera], list[int]]:
    left, asked = list(sources), list[int]()

    def open(given: int) -> Camera:
        asked.append(given)
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    return open, asked


def test_counts_on_over_losses_and_failed_attempts() -> None:
    first, second, last = Camera(3), Camera(2), Camera(2, lost=False)
    open, asked = opening(first, InputError("no such device"), second, SourceLost("busy"), last)
    now = [100.0]
    heard, slept = list[Event](), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    source = reconnecting(open, retries=5, wait=2.0, on_event=heard.append, sleep=sleep, clock=lambda: now[0])
    got = list(source.frames())
    assert [frame.index for frame in got] == list(range(7))
    assert [frame.seconds for frame in got if isinstance(frame, Frame)] == [0.0, 1.0, 5.0, 9.0]
    assert asked == [0, 3, 3, 5, 5] and slept == [2.0] * 4
    assert [(event.kind, event.index, event.attempts, event.seconds) for event in heard] == [
        ("lost", 3, 0, 0.0), ("back", 3, 2, 4.0), ("lost", 5, 0, 0.0), ("back", 5, 2, 4.0),
    ]  # fmt: skip
    assert heard[0].reason == "unplugged"
    assert first.closed and second.closed


def test_gives_up_after_so_many_attempts() -> None:
    heard = list[Event]()
    open, asked = opening(Camera(1), InputError("none"), InputError("still none"))
    source = reconnecting(open, retries=2, wait=0.0, on_event=heard.append)
    frames = source.frames()
    assert next(frames).index == 0
    with pytest.raises(SourceLost, match=r"2 attempts.*still none"):
        next(frames)
    assert [event.kind for event in heard] == ["lost", "gone"] and asked == [0, 1, 1]


def test_a_camera_that_opens_and_stays_silent_uses_up_its_attempts() -> None:
    open, asked = opening(Camera(2), Camera(0), Camera(0), Camera(0))
    source = reconnecting(open, retries=3, wait=0.0)
    with pytest.raises(SourceLost, match="3 attempts"):
        list(source.frames())
    assert asked == [0, 2, 2, 2]


def test_the_first_opening_is_the_user_s_to_mend() -> None:
    with pytest.raises(InputError, match="no such camera"):
        reconnecting(opening(InputError("no such camera"))[0], retries=9)
    with pytest.raises(InputError, match="retries"):
        reconnecting(opening()[0], retries=-1)


@pytest.mark.parametrize("by", ["close", "stop"])
def test_ends_while_it_waits_for_a_lost_camera(by: str) -> None:
    stop, lost = threading.Event(), threading.Event()
    open, _ = opening(Camera(1), *[InputError("none")] * 99)
    source = reconnecting(open, retries=99, wait=60.0, stop=stop, on_event=lambda event: lost.set())
    got = list[Frame | Bad]()
    thread = threading.Thread(target=lambda: got.extend(source.frames()), daemon=True)
    thread.start()
    assert lost.wait(5)
    source.close() if by == "close" else stop.set()
    thread.join(5)
    assert not thread.is_alive() and len(got) == 1


def test_a_source_closed_while_it_is_opened_again_is_closed() -> None:
    late = Camera(5)

    def open(given: int) -> Camera:
        if given:
            source.close()
            return late
        return Camera(1)

    source = reconnecting(open, retries=1, wait=0.0)
    assert len(list(source.frames())) == 1 and late.closed


def test_the_station_unplugged_three_times_shows_what_it_shows_unbroken() -> None:
    spec = "station:coffee?size=32&seconds=16&state=dent"
    heard = list[Event]()
    source = reconnecting(lambda n: open_source(spec + "&unplug=4", start=n), wait=0.0, on_event=heard.append)
    whole = open_source(spec)
    got, expected = list(source.frames()), list(whole.frames())
    assert [frame.index for frame in got] == list(range(16))
    assert [event.kind for event in heard] == ["lost", "back"] * 3
    for a, b in zip(got, expected, strict=True):
        assert isinstance(a, Frame) and isinstance(b, Frame)
        np.testing.assert_array_equal(a.color, b.color)
