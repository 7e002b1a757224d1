"""What tests of the trackers tell them of a run, and how TensorBoard reads it back."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tiny_runs

from ddad_jax.engine import tracking
from ddad_jax.engine.methods.ddad.points import SETTINGS, config_point
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.point import point_settings
from ddad_jax.engine.tracking import Value

CONFIG = DDADSettings().to_dict()
MADE_WITH, WEIGHTS = ("test_set",), "0123"
ROW = {**point_settings(*config_point(tiny_runs.config(Path("x")))), "image_auroc": 0.75, "test_set": "ab"}


def row_of_sweep(row: Mapping[str, Any]) -> tuple[int, dict[str, Value]]:
    return tracking.row_of_sweep(row, (*SETTINGS, *MADE_WITH), WEIGHTS)


# --- Reading event files: length, its checksum, an Event, its checksum ------------------------------------------


def events(folder: Path) -> Iterator[Any]:
    from tensorboardX.proto import event_pb2

    for path in sorted(folder.glob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            yield event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """(step, value) as TensorBoard shows them: a start drops what came before it at its step and later."""
    found: list[tuple[int, float]] = []
    for event in events(folder):
        if event.HasField("session_log"):
            found = [(step, value) for step, value in found if step < event.step]
        for value in event.summary.value:
            if value.tag == name:
                found.append((event.step, round(value.simple_value, 5)))
    return found


def tags(folder: Path) -> set[str]:
    return {value.tag for event in events(folder) for value in event.summary.value}
