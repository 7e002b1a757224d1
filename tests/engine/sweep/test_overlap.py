"""What overlaps in a sweep gives the same results in the same order, holds little, and fails where it is waited for."""

import threading
import time
from collections.abc import Iterator

import pytest

from ddad_jax.engine.sweep.overlap import JUDGED_BYTES, judged_in_order, judging_threads, one_ahead


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_and_no_more_items_are_taken_than_there_are_threads(threads: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(9):
            taken.append(i)
            yield i

    def slow_first(i: int) -> int:
        time.sleep(0.02 * (i % 3 == 0))
        return i

    results = judged_in_order(items(), slow_first, lambda i: i * i, threads=threads)
    for i, result in enumerate(results):
        assert result == i * i
        assert len(taken) <= i + threads + 1
    assert taken == list(range(9))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failure_is_raised_in_its_place(threads: int) -> None:
    results = judged_in_order([2, 1, 0, 3], lambda i: 1 / i, threads=threads)
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_large_maps_are_judged_one_at_a_time() -> None:
    assert judging_threads(JUDGED_BYTES) == 1 == judging_threads(10 * JUDGED_BYTES)
    assert judging_threads(1) >= 1


def test_one_item_is_made_while_another_is_looked_at() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for i in range(4):
            begun.append(i)
            yield i

    ahead = one_ahead(items())
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(begun) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert begun == [0, 1, 2], "one waits and one is in the making"
    assert list(ahead) == [1, 2, 3]


def test_what_the_maker_raises_is_raised_after_what_it_made() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="two"):
        next(ahead)


def test_a_caller_that_gives_up_leaves_no_thread_and_an_ended_generator() -> None:
    ended = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            ended.set()

    ahead = one_ahead(items())
    next(ahead)
    ahead.close()  # type: ignore[attr-defined]
    assert ended.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "measure"]
