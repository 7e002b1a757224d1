"""What a run says to its trackers: histories, rows, figures, settings."""

import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from experiments.plan import key_of
from experiments.tables import is_number, read_jsonl
from experiments.tracking.given import Value
from experiments.tracking.writer import Write, Writer

HISTORIES = {"train": ("train.jsonl", "step"), "adapt": ("adapt.jsonl", "epoch"), "distil": ("distil.jsonl", "step")}
"""Section -> its history in the workdir, and what it counts."""

KEPT = {"train": "train", "adapt": "adapt", "distil": "student"}
"""Section -> folder of what was learnt. A history without it is of something deleted."""


def course_of(section: str, row: Mapping[str, Any]) -> dict[str, Value]:
    """Numbers of a row of a history, as values of ``section``; what it counts is left out."""
    counted = HISTORIES[section][1]
    return {f"{section}/{name}": float(v) for name, v in row.items() if name != counted and is_number(v)}


def row_of_sweep(row: Mapping[str, Any]) -> tuple[int, dict[str, Value]]:
    """(number, values) of a row of a sweep. The number is drawn from its settings and what it was made with, so that
    a row has the same one whoever computed it when."""
    made = [row.get(name) for name in ("trained_on", "train_steps", "adapt_epoch", "test_set", "student", "times")]
    return zlib.crc32(json.dumps([key_of(dict(row)), made]).encode()), values_of_row("sweep", row)


def values_of_row(section: str, row: Mapping[str, Any]) -> dict[str, Value]:
    """Numbers and words of a row; a switch is 0 or 1, a value that is missing is left out."""
    said = {name: float(v) if isinstance(v, (bool, np.bool_)) else v for name, v in row.items()}
    return {f"{section}/{name}": v if isinstance(v, str) else float(v) for name, v in said.items()
            if isinstance(v, str) or is_number(v)}  # fmt: skip


def begin(write: Write, workdir: Path, config: ConfigDict) -> None:
    """Settings and environment, and what the histories hold already."""
    settings = json.dumps(config.to_dict(), indent=1, sort_keys=True, default=str)
    texts: dict[str, Value] = {"run/config": settings}
    if (workdir / "environment.json").exists():
        found = json.loads((workdir / "environment.json").read_text())
        # The command differs between the stages of one run, and so does nothing else.
        found.pop("command", None)
        texts["run/environment"] = json.dumps(found, indent=1, sort_keys=True)
    write(0, texts)
    for section, (file, counted) in HISTORIES.items():
        if (workdir / KEPT[section]).exists():
            for row in read_jsonl(workdir / file):
                write(int(row[counted]), course_of(section, row))


def end(write: Writer, workdir: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows that were not told when they were computed, and the figures; then the writer is closed."""
    if write.trackers:  # in the other processes of a run there are none
        for row in rows:
            write(*row_of_sweep(row))
        for path in sorted((workdir / "figures").glob("*.png")):
            with Image.open(path) as picture:
                write(0, {f"run/{path.stem}": np.asarray(picture.convert("RGB"))})
    write.close()
