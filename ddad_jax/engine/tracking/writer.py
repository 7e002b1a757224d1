"""The one function that a program tells its course to, whoever listens."""

import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ddad_jax.engine.tracking.given import Given, Value
from ddad_jax.errors import InputError, first_line

log = logging.getLogger(__name__)

Write = Callable[[int, Mapping[str, Value]], None]
"""(step, values): a number, a text or a picture under a name such as "train/loss".

What stands before the slash says what the step counts: steps of "train" and "distil", epochs of "adapt"; in "sweep" and
"search" it is the number of a row, whose values are settings and what they led to; in "run" it says nothing.
"train/begun" (any number) is said once where the section begins from nothing, so that its steps are not taken for those
of before.
"""

TRACKERS = {"wandb": ("wandb",), "mlflow": ("mlflow", "sqlalchemy")}
"""``--track`` -> the packages that it needs; TensorBoard files are written besides, always."""

BEGUN = "begun"


class Tracker(NamedTuple):
    """One listener. write: (section, step, values); what it raises when it cannot go on is among ``errors``."""

    name: str
    given: Given
    write: Callable[[str, int, Mapping[str, Value]], None]
    close: Callable[[], None]
    errors: tuple[type[Exception], ...]


def silent(step: int, values: Mapping[str, Value]) -> None:
    """The ``Write`` of a program that nobody follows."""


def require_trackers(names: Sequence[str]) -> None:
    """Raises InputError for a name that is no tracker and for one whose package is not installed; imports nothing."""
    for name in names:
        if name not in TRACKERS:
            known = ", ".join(TRACKERS)
            raise InputError(f"--track={name}: expected {known}, or both; TensorBoard files are always written")
        for package in TRACKERS[name]:
            if importlib.util.find_spec(package) is None:
                raise InputError(f"--track={name}: needs the package {package}; pip install '.[tracking]' brings it")


class Writer:
    """A ``Write`` for the trackers of a run; those that fail are left out from then on, with one warning each.

    Values that a tracker has been given by an earlier process of the same run are not given to it again.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = list(trackers)

    def __call__(self, step: int, values: Mapping[str, Value]) -> None:
        sections: dict[str, dict[str, Value]] = {}
        for name, value in values.items():
            sections.setdefault(name.partition("/")[0], {})[name] = value
        for tracker in tuple(self.trackers):
            for section, own in sections.items():
                if not self._written(tracker, section, step, own):
                    break

    def close(self) -> None:
        """Nothing more will be said. The run's trackers end it as finished."""
        for tracker in self.trackers:
            try:
                tracker.close()
            except tracker.errors as error:
                log.warning("%s: %s", tracker.name, first_line(error))
        self.trackers = []

    def _written(self, tracker: Tracker, section: str, step: int, values: dict[str, Value]) -> bool:
        try:
            if f"{section}/{BEGUN}" in values:
                tracker.given.begun(section)
            said = {name: value for name, value in values.items() if name != f"{section}/{BEGUN}"}
            wanting = tracker.given.wanting(section, step, said)
            if wanting:
                tracker.write(section, step, wanting)
                tracker.given.note(section, step, wanting)
        except tracker.errors as error:
            more = "The run goes on without it; the same command tells it later what it missed"
            log.warning("%s failed: %s. %s", tracker.name, first_line(error), more)
            self.trackers.remove(tracker)
            return False
        return True
