"""What each tracker has been given already, in a journal of the workdir: a resumed run tells nothing twice."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.engine.store.tables import append_jsonl, read_jsonl
from ddad_jax.errors import InputError, first_line

log = logging.getLogger(__name__)

Value = float | str | np.ndarray
"""A number, a text, or a picture (uint8 [h, w, 3])."""

SERIES = ("train", "adapt", "distil")
"""Sections whose numbers follow each other: step after step, epoch after epoch."""

ROWS = ("sweep", "search")
"""Sections whose numbers stand for settings: each is a row of settings and of what they led to."""


_DAMAGED = (InputError, KeyError, TypeError, ValueError, OverflowError)
"""What a journal raises that this module did not write."""


class Given:
    """Of one tracker. A section is what stands before the slash of a value's name.

    The line of what was given is written after it was: a run killed between the two tells that one thing twice, and
    never leaves one out.
    """

    def __init__(self, workdir: Path, tracker: str) -> None:
        self.path, self.tracker = workdir / "tracking.jsonl", tracker
        self._begin()
        try:
            for line in read_jsonl(self.path):
                if line.get("to") == tracker:
                    self._take(line)
        except _DAMAGED as error:
            self._set_aside(error)
            self._begin()

    def _begin(self) -> None:
        self.run = ""
        self.calls = 0
        self.forget()

    def _set_aside(self, error: Exception) -> None:
        """No result depends on this file, so a run does not end for it."""
        aside = self.path.with_name("tracking-damaged.jsonl")
        try:
            self.path.replace(aside)
        except OSError as refused:
            raise InputError(f"{self.path}: damaged, and cannot be moved ({refused.strerror}). Delete it") from None
        log.warning(
            "%s: damaged (%s), kept as %s. The trackers are told all of the run again",
            self.path, first_line(error).removeprefix(f"{self.path}, ").partition(";")[0], aside.name,
        )  # fmt: skip

    def forget(self) -> None:
        """As if nothing had been given: what had been is gone."""
        self.last: dict[str, int] = {}
        self.rows: set[tuple[str, int]] = set()
        self.digests: set[str] = set()

    def wanting(self, section: str, step: int, values: dict[str, Value]) -> dict[str, Value]:
        """What of the values the tracker does not have yet."""
        if section in SERIES:
            return values if step > self.last.get(section, -1) else {}
        if section in ROWS:
            return values if (section, step) not in self.rows else {}
        return {name: value for name, value in values.items() if digest(name, value) not in self.digests}

    def begun(self, section: str) -> None:
        """The section begins anew, so its steps are not those that were given."""
        if section in self.last:
            self._note({"of": section, "begun": True})

    def note(self, section: str, step: int, values: dict[str, Value]) -> None:
        """These have been given."""
        if section in (*SERIES, *ROWS):
            self._note({"of": section, "step": step})
            return
        for name, value in values.items():
            self._note({"of": section, "digest": digest(name, value)})

    def note_run(self, run: str) -> None:
        """The tracker's own name for the run, under which it goes on after a stop."""
        if run != self.run:
            self._note({"run": run})

    def _note(self, line: dict[str, Any]) -> None:
        append_jsonl(self.path, {"to": self.tracker, **line})
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        section = line.get("of", "")
        if "run" in line:
            self.forget()
            self.run = str(line["run"])
        elif line.get("begun"):
            self.last.pop(section, None)
        elif section in SERIES:
            self.last[section] = int(line["step"])
        elif section in ROWS:
            self.rows.add((section, int(line["step"])))
        else:
            self.digests.add(str(line["digest"]))
        self.calls += 1


def digest(name: str, value: Value) -> str:
    content = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
    return hashlib.sha256(name.encode() + b"\0" + content).hexdigest()[:16]
