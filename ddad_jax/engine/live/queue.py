"""A bounded queue between a source and a detector; when it is full, the oldest item goes or the source waits."""

import threading
import time
from collections import deque
from typing import Generic, NamedTuple, TypeVar

from ddad_jax.errors import InputError

T = TypeVar("T")


class Waiting(NamedTuple, Generic[T]):
    """An item and when it arrived, in seconds of ``time.monotonic``."""

    arrived: float
    item: T


class LiveQueue(Generic[T]):
    """One thread puts, one takes, and never more than ``capacity`` items wait.

    Args:
      capacity: items, at least 1.
      drop: what a put does that finds it full. True: the oldest waiting item makes room, so that verdicts stay those
        of the present; for sources that cannot wait. False: it waits for room, and no item is lost.

    Raises:
      InputError: a capacity below 1.
    """

    def __init__(self, capacity: int, *, drop: bool) -> None:
        if capacity < 1:
            raise InputError(f"the queue: expected room for at least 1 frame, got {capacity}")
        self._capacity, self._drop = capacity, drop
        self._items: deque[Waiting[T]] = deque()
        self._changed = threading.Condition()
        self._closed = self._left = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, *, arrived: float | None = None) -> T | None:
        """The item that nobody will take because of this one: the oldest, or ``item`` itself once the taker has left.

        arrived: where the item is older than this call.
        """
        waiting = Waiting(time.monotonic() if arrived is None else arrived, item)
        with self._changed:
            if not self._drop:
                self._changed.wait_for(lambda: self._left or len(self._items) < self._capacity)
            if self._left:
                return item
            lost = self._items.popleft().item if len(self._items) == self._capacity else None
            self._items.append(waiting)
            self._changed.notify_all()
            return lost

    def take(self, most: int, *, max_wait: float, patience: float) -> list[Waiting[T]]:
        """The next batch: ``most`` items, or fewer once the first has waited ``max_wait`` seconds or nothing follows.

        Empty where there is no batch yet after ``patience`` seconds, so that the taker can look after other things.
        """
        until = time.monotonic() + patience
        with self._changed:
            while True:
                now = time.monotonic()
                due = self._items[0].arrived + max_wait if self._items else until
                if len(self._items) >= most or self._closed or (self._items and now >= due):
                    batch = [self._items.popleft() for _ in range(min(most, len(self._items)))]
                    self._changed.notify_all()
                    return batch
                if now >= until:
                    return []
                self._changed.wait(max(min(due, until) - now, 0))

    def close(self) -> None:
        """Nothing follows; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def leave(self) -> list[T]:
        """Nobody takes any more: what waited, and from now on ``put`` gives every item back."""
        with self._changed:
            self._left = True
            rest = [waiting.item for waiting in self._items]
            self._items.clear()
            self._changed.notify_all()
            return rest

    @property
    def ended(self) -> bool:
        """Closed and empty."""
        return self._closed and not self._items
