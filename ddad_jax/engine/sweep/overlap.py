"""What goes on at the same time in a sweep: points are judged on threads while devices measure the next; *host*."""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

JUDGED_BYTES = 2**28
"""Of maps that are judged at a time, about: all of a sweep's points at once would be the largest arrays of a run."""


def judging_threads(bytes_each: int) -> int:
    """How many points are judged at a time: one a core, fewer where their maps are large.

    Args:
      bytes_each: of the maps of one point.
    """
    return max(1, min(os.cpu_count() or 1, JUDGED_BYTES // max(bytes_each, 1)))


def judged_in_order(items: Iterable[Any], *steps: Callable[[Any], Any], threads: int) -> Iterator[Any]:
    """What becomes of each item in the steps, of as many items at a time as there are threads, in the order of the
    items. No item is taken before there is a thread for it; one thread is the caller's own.

    Args:
      steps: each is given what the one before it returned, and lets go of it.
    """
    if threads == 1:
        for step in steps:
            items = map(step, items)
        yield from items
        return

    def judge(holder: list[Any]) -> Any:
        for step in steps:
            holder.append(step(holder.pop()))
        return holder.pop()

    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            # Not a loop over items, whose variable would keep one.
            submitted = (pool.submit(judge, [item]) for item in items)
            for future in submitted:
                waiting.append(future)
                if len(waiting) == threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def one_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items, each made on a thread while the caller looks at the one before; what that raises, this does.

    At most two are there at a time that the caller has not asked for: one that waits, one in the making.
    """
    end = object()
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(1)
    given_up = threading.Event()

    def hand_over(item: Any, error: BaseException | None = None) -> bool:
        while not given_up.is_set():
            try:
                ready.put((item, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not hand_over(item):
                    break
            else:
                hand_over(end)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            hand_over(end, error)
        finally:
            if isinstance(items, Generator):
                items.close()

    maker = threading.Thread(target=make, name="measure", daemon=True)
    maker.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
            del item
    finally:
        given_up.set()
        maker.join()
