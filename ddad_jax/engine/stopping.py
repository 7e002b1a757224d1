"""How a program ends at Ctrl-C and SIGTERM: in order, with status 130 or 143 and one line that says how to go on.

The first signal is raised as ``Stopped`` where the program is, or, within ``deferred``, waits until the step at hand is
done and saved, and says so. A second one ends the program at once. Nothing here imports JAX: a program that is stopped
while it still imports ends the same way (``experiments/__init__.py``, ``launch/__init__.py``).
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GO_ON = "The same command goes on from what is done"
AGAIN_S = 0.05
_asked: list[int] = []
"""Signals so far."""
_deferring: list[bool] = []
"""One for each ``deferred`` that lasts."""


class Stopped(KeyboardInterrupt):
    """By signal ``number``. Not an Exception, so that nothing takes it for a failure of its own."""

    def __init__(self, number: int, done: str = "") -> None:
        super().__init__(number)
        self.number, self.done = number, done

    @property
    def status(self) -> int:
        return 128 + self.number

    def __str__(self) -> str:
        how = "Ctrl-C" if self.number == signal.SIGINT else signal.Signals(self.number).name
        return f"stopped by {how}{self.done and ': ' + self.done}. {GO_ON}"


def while_importing() -> None:
    """Until ``watched``: a signal ends the program at once, there is nothing to be lost yet."""
    _install(lambda number, _: _end(number, str(Stopped(number))))


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Signals are raised as ``Stopped`` for as long as the block lasts; those that are ignored stay so."""
    _asked.clear()
    before, hook = _install(_heard), sys.unraisablehook

    def unraisable(what: Any) -> None:
        if isinstance(what.exc_value, Stopped):
            _raise_again(what.exc_value.number)
        else:
            hook(what)

    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


@contextlib.contextmanager
def deferred(active: bool = True) -> Iterator[Callable[[], int]]:
    """Within the block the first signal raises nothing: what is yielded says its number, 0 while there was none."""
    if not active:
        yield lambda: 0
        return
    _deferring.append(True)
    try:
        yield lambda: _asked[0] if _asked else 0
    finally:
        _deferring.pop()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Within the block the first signal raises nothing, at its end it does: for what a library's threads write, which
    go on, and fail with tracebacks of their own, where their caller is torn away."""
    with deferred() as signalled:
        yield
    if not _deferring and (number := signalled()):
        raise Stopped(number)


@contextlib.contextmanager
def saying(done: Callable[[], str]) -> Iterator[None]:
    """A signal within the block says what is done by then, unless it says so already."""
    try:
        yield
    except Stopped as stop:
        raise Stopped(stop.number, stop.done or done()) from None


def _install(handler: Callable[[int, FrameType | None], Any]) -> dict[int, Any]:
    taken = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    return {number: signal.signal(number, handler) for number in taken}


def _heard(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    if len(_asked) > 1:
        _end(number, "stopped at once. " + GO_ON)
    if not _deferring:
        raise Stopped(number)
    _say("stopping after this step; once more ends at once")


def _raise_again(number: int) -> None:
    """In a moment: Python drops what is raised while it collects garbage, and a finaliser or a callback of XLA's may
    have been where the signal came."""

    def handler(_: int, frame: FrameType | None) -> None:
        if not _deferring:  # else the block asks for itself
            raise Stopped(number)

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)


def _end(number: int, line: str) -> None:
    """Of this instant: threads of XLA and of pools are not waited for."""
    _say(line)
    os._exit(128 + number)


def _say(line: str) -> None:
    # Not print: the signal may have come in the middle of one.
    with contextlib.suppress(OSError):  # nobody reads it any more
        os.write(2, f"{line}\n".encode())
