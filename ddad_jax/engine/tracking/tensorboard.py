"""Event files for TensorBoard, in WORKDIR/tensorboard: a folder for each section, one for each row of settings.

Written with the parts of tensorboardX that need no thread: an event is on the disk when ``write`` returns, and a full
disk is an OSError here and not a thread that died. A file is begun with the first thing there is to say.
"""

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.engine.tracking.given import ROWS, SERIES, Given, Value
from ddad_jax.engine.tracking.writer import Tracker


def tensorboard_tracker(workdir: Path, settings: Collection[str]) -> Tracker:
    """settings: names of what tells one row from another, as of ``writer_of``."""
    folder, given = workdir / "tensorboard", Given(workdir, "tensorboard")
    if given.calls and not folder.exists():
        given.note_run(str(time.time_ns()))  # what had been given is gone
    files: dict[str, Any] = {}

    def write(section: str, step: int, values: Mapping[str, Value]) -> None:
        if section in ROWS:
            _write_row(folder / section / f"{step:08x}", values, settings)
            return
        if section in SERIES and section not in given.last and section in files:
            files.pop(section).close()  # it begins anew
        if section not in files:
            # A run that was killed may have left events behind the last one it noted.
            purge = given.last.get(section, -1) + 1 if section in SERIES else None
            files[section] = _begun(folder / section, purge)
        for name, value in values.items():
            _add(files[section], _summary(name, value), step)
        files[section].flush()

    def close() -> None:
        while files:
            files.popitem()[1].close()

    return Tracker("TensorBoard", given, write, close, (OSError,))


def _begun(folder: Path, purge: int | None) -> Any:
    """A new event file; purge: readers drop what earlier files of the folder say of this step and later ones."""
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto import event_pb2

    folder.mkdir(parents=True, exist_ok=True)
    # Two files of one second must not be one.
    file = EventsWriter(str(folder / "events"), f".{os.getpid()}.{time.monotonic_ns()}")
    if purge is not None:
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        file.write_event(event_pb2.Event(wall_time=time.time(), step=purge, session_log=start))
    return file


def _write_row(folder: Path, values: Mapping[str, Value], settings: Collection[str]) -> None:
    """A run of its own, for the tab HPARAMS: settings, and the metrics they led to."""
    from tensorboardX import summary

    told = {name.partition("/")[2]: v for name, v in values.items() if name.partition("/")[2] in settings}
    numbers = {k: v for k, v in values.items() if isinstance(v, float) and k.partition("/")[2] not in settings}
    experiment, start, ended = summary.hparams(told, numbers)
    file = _begun(folder, None)
    for one in (experiment, start):
        _add(file, one, 0)
    for name, value in numbers.items():
        _add(file, summary.scalar(name, value), 0)
    _add(file, ended, 0)
    file.close()


def _summary(name: str, value: Value) -> Any:
    from tensorboardX import summary

    if isinstance(value, str):
        return summary.text(name, "\n".join(f"    {line}" for line in value.splitlines()))  # Markdown, as it stands
    if isinstance(value, np.ndarray):
        return summary.image(name, value, dataformats="HWC")
    return summary.scalar(name, value)


def _add(file: Any, summary: Any, step: int) -> None:
    from tensorboardX.proto import event_pb2

    file.write_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))
