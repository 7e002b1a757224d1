"""What a run says to its trackers: histories, rows, figures, settings."""

import json
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ddad_jax.data.json_file import read_object
from ddad_jax.engine.store.tables import is_number, plain, read_jsonl
from ddad_jax.engine.tracking.given import Value
from ddad_jax.engine.tracking.writer import Write, Writer

HISTORIES = {"train": ("train.jsonl", "step"), "adapt": ("adapt.jsonl", "epoch"), "distil": ("distil.jsonl", "step")}
"""Section -> its history in the workdir, and what it counts."""

KEPT = {"train": "train", "adapt": "adapt", "distil": "student"}
"""Section -> folder of what was learnt. A history without it is of something deleted."""


def course_of(section: str, row: Mapping[str, Any]) -> dict[str, Value]:
    """Numbers of a row of a history, as values of ``section``; what it counts is left out."""
    _, counted = HISTORIES.get(section, ("", "step"))
    return {f"{section}/{name}": float(v) for name, v in row.items() if name != counted and is_number(v)}


def row_of_sweep(row: Mapping[str, Any], made_of: Collection[str], weights: str) -> tuple[int, dict[str, Value]]:
    """(number, values) of a row of a sweep. A row has the same number whoever computed it when, and another one where
    anything differs that its metrics depend on, so that what is computed anew is told anew.

    Args:
      made_of: the fields that say what it is of: its settings, and what it was made with. weights: fingerprint
        of the parameters.
    """
    own = {name: row.get(name) for name in (*made_of, "times")}
    return number_of({**own, "weights": weights}), values_of_row("sweep", row)


def row_of_search(row: Mapping[str, Any], identity: Mapping[str, Any]) -> tuple[int, dict[str, Value]]:
    """As ``row_of_sweep``, of a trial. identity: what the answers of its study depend on."""
    return number_of({**identity, "trial": row["trial"]}), values_of_row("search", row)


def number_of(own: Mapping[str, Any]) -> int:
    """A number of 32 bits, drawn from ``own``: equal where these are."""
    return zlib.crc32(json.dumps(plain(own), sort_keys=True).encode())


def values_of_row(section: str, row: Mapping[str, Any]) -> dict[str, Value]:
    """Numbers and words of a row; a switch is 0 or 1, a value that is missing is left out."""
    said = {name: float(v) if isinstance(v, (bool, np.bool_)) else v for name, v in row.items()}
    return {f"{section}/{name}": v if isinstance(v, str) else float(v) for name, v in said.items()
            if isinstance(v, str) or is_number(v)}  # fmt: skip


def begin(write: Write, workdir: Path, config: Mapping[str, Any]) -> None:
    """Settings and environment, and what the histories hold already."""
    settings = json.dumps(config, indent=1, sort_keys=True, default=str)
    texts: dict[str, Value] = {"run/config": settings}
    if (workdir / "environment.json").exists():
        found = read_object(workdir / "environment.json", mend="Delete it and run again", constants=True)
        # The command differs between the stages of one run, and so does nothing else.
        found.pop("command", None)
        texts["run/environment"] = json.dumps(found, indent=1, sort_keys=True)
    write(0, texts)
    for section, (file, counted) in HISTORIES.items():
        if (workdir / KEPT[section]).exists():
            for row in read_jsonl(workdir / file):
                write(int(row[counted]), course_of(section, row))


def end(write: Writer, workdir: Path) -> None:
    """The figures; then the writer is closed."""
    if write.trackers:  # in the other processes of a run there are none
        for path in sorted((workdir / "figures").glob("*.png")):
            with Image.open(path) as picture:
                write(0, {f"run/{path.stem}": np.asarray(picture.convert("RGB"))})
    write.close()
