"""The queue: bounds, drops, waits, and what happens at the end."""

import threading
import time
from itertools import count

import pytest

from ddad_jax.engine.live.queue import LiveQueue
from ddad_jax.errors import InputError


def taken(queue: LiveQueue[int], most: int = 10, max_wait: float = 0.0, patience: float = 0.0) -> list[int]:
    return [waiting.item for waiting in queue.take(most, max_wait=max_wait, patience=patience)]


def test_a_full_queue_that_drops_loses_the_oldest_and_says_which() -> None:
    queue = LiveQueue[int](3, drop=True)
    assert [queue.put(i) for i in range(5)] == [None, None, None, 0, 1]
    assert len(queue) == 3
    assert taken(queue) == [2, 3, 4]


def test_a_full_queue_that_blocks_waits_for_room_and_loses_nothing() -> None:
    queue, lengths = LiveQueue[int](2, drop=False), []
    producer = threading.Thread(target=lambda: ([queue.put(i) for i in range(50)], queue.close()))
    producer.start()
    found: list[int] = []
    while not queue.ended:
        lengths.append(len(queue))
        found += taken(queue, 2, patience=1.0)
    producer.join()
    assert found == list(range(50)) and max(lengths) <= 2


def test_a_batch_goes_when_it_is_full_when_its_first_has_waited_or_when_nothing_follows() -> None:
    queue = LiveQueue[int](8, drop=False)
    for i in range(5):
        queue.put(i)
    assert taken(queue, 4, max_wait=60) == [0, 1, 2, 3]
    assert taken(queue, 4, max_wait=60, patience=0.01) == []
    started = time.monotonic()
    assert taken(queue, 4, max_wait=0.05, patience=60) == [4]
    assert time.monotonic() - started < 5
    queue.put(5, arrived=time.monotonic() - 100)
    assert taken(queue, 4, max_wait=60) == [5]
    queue.put(6)
    queue.close()
    assert taken(queue, 4, max_wait=60) == [6] and queue.ended
    assert taken(queue, 4, max_wait=60, patience=60) == []


def test_when_the_taker_leaves_nobody_waits_for_it() -> None:
    queue = LiveQueue[int](1, drop=False)
    given_back: list[int | None] = []
    producer = threading.Thread(target=lambda: given_back.extend(queue.put(i) for i in range(3)))
    producer.start()
    while not len(queue):
        time.sleep(0.001)
    assert queue.leave() == [0]
    producer.join(10)
    assert given_back == [None, 1, 2]


@pytest.mark.parametrize("drop", [True, False])
def test_two_threads_in_a_hurry_account_for_every_item(drop: bool) -> None:
    queue, dropped = LiveQueue[int](5, drop=drop), []
    total = 5000

    def produce() -> None:
        for i in range(total):
            if (gone := queue.put(i)) is not None:
                dropped.append(gone)
        queue.close()

    producer = threading.Thread(target=produce)
    producer.start()
    found: list[int] = []
    for turn in count():
        if queue.ended:
            break
        found += taken(queue, 1 + turn % 4, patience=1.0)
    producer.join()
    assert sorted(found + dropped) == list(range(total)) and found == sorted(found)
    assert drop or not dropped


def test_room_for_nobody_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1 frame"):
        LiveQueue(0, drop=True)
