"""Measurements in one run that ends in time: in order of importance, each handed on as soon as it is there."""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from ddad_jax.engine.store.tables import column_cells
from ddad_jax.errors import InputError, first_line

log = logging.getLogger(__name__)

AGAIN_S = 20.0
"""Python drops an exception that is raised within a finaliser or a callback; so long after the limit it is raised once
more."""


class TimeEnded(BaseException):
    """The seconds of a measurement are over. Not an Exception, so that nothing takes it for a failure of its own."""


class Measurement(NamedTuple):
    """name; piece: whose table it is part of; row: (seconds left to it) -> its figures. share: of the whole run's time,
    counted from the run's begin, behind which it is neither begun nor gone on with; what it leaves belongs to those
    behind it. without: what is missing for it, in words, where something is."""

    name: str
    piece: str
    row: Callable[[float], dict[str, Any]]
    share: float = 1.0
    without: str = ""


class Outcome(NamedTuple):
    """Of one measurement. seconds: it took, compilation included. row: its figures; without any, ``why`` says why."""

    name: str
    piece: str
    seconds: float
    row: dict[str, Any]
    why: str = ""


def measured_within(
    seconds: float,
    todo: Sequence[Measurement],
    write: Callable[[list[Outcome]], None],
    done: Mapping[str, Outcome] | None = None,
) -> list[Outcome]:
    """The outcome of each, in their order. A failure of the device (memory, above all), or of a training that diverges,
    costs its own measurement alone.

    A limit is heeded between steps of Python: a compilation that it falls into is ended first.

    Args:
      seconds: of the whole run. write: is handed all outcomes so far, whenever there is one more. done: by name, those
        of an earlier run, which are not measured again and come first where they are none of ``todo``.
    """
    begun, done = time.perf_counter(), done or {}
    found = [outcome for name, outcome in done.items() if name not in {one.name for one in todo}]
    for one in todo:
        started = time.perf_counter()
        left, why = one.share * seconds - (started - begun), one.without
        row: dict[str, Any] = {}
        if one.name in done:
            found.append(done[one.name])
            continue
        if not why and left <= 0:
            why = "no time was left for it"
        if not why:
            log.info("%s: at most %.0f s", one.name, left)
            try:
                with _ending_after(left):
                    row = one.row(left)
            except TimeEnded:
                signal.setitimer(signal.ITIMER_REAL, 0)  # it may have come while the block was left
                why = f"its time, {left:.0f} s, ended before it was measured"
            except (jax.errors.JaxRuntimeError, MemoryError, InputError) as error:
                why = f"failed: {first_line(error)}"
            log.info("%s: %s in %.0f s", one.name, why or "measured", time.perf_counter() - started)
        found.append(Outcome(one.name, one.piece, time.perf_counter() - started, row, why))
        write(list(found))
    return found


@contextlib.contextmanager
def _ending_after(seconds: float) -> Iterator[None]:
    """Raises TimeEnded within the block once they are over; of the main thread alone."""

    def ended(number: int, frame: object) -> None:
        raise TimeEnded

    before = signal.signal(signal.SIGALRM, ended)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), AGAIN_S)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def markdown_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Those of the columns that a row has."""
    there = [name for name in columns if any(name in row for row in rows)]
    cells = [column_cells([row.get(name) for row in rows]) for name in there]
    lines = [there, ["---"] * len(there), *zip(*cells, strict=True)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def outcomes_text(title: str, outcomes: Sequence[Outcome], columns: Mapping[str, Sequence[str]]) -> str:
    """A page of Markdown: a table for each piece, with its columns, and what was left out."""
    parts = [f"# {title}"]
    for piece in columns:
        if rows := [{"name": one.name, **one.row} for one in outcomes if one.piece == piece and one.row]:
            parts.append(f"## {piece}\n\n{markdown_table(rows, ['name', *columns[piece]])}")
    if left_out := [one._asdict() for one in outcomes if one.why]:
        parts.append(f"## left out\n\n{markdown_table(left_out, ['name', 'why'])}")
    return "\n\n".join(parts) + "\n"
