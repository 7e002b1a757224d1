"""registration.csv: what became of each picture that was to be brought onto the reference of its view."""

import csv
from collections.abc import Mapping
from pathlib import Path

from ddad_jax.errors import InputError
from ddad_jax.vision.registration import Registration
from experiments.tables import write_csv

COLUMNS = ("name", "accepted", "inliers", "matches", "error_px", "uncertainty_px", "agreement", "reason")
"""Pixels are those of a picture of 256 (``vision.registration.Registration``)."""


def write_registered(workdir: Path, registered: Mapping[str, Registration]) -> None:
    """One row a picture; nothing where none was to be registered."""
    rows = [
        dict(
            zip(
                COLUMNS,
                (name, r.accepted, r.inliers, r.matches, r.error, r.uncertainty, r.agreement, r.reason),
                strict=True,
            )
        )
        for name, r in registered.items()
    ]
    if rows:
        write_csv(workdir / "registration.csv", rows, columns=COLUMNS)


def read_registered(workdir: Path) -> list[dict[str, str]]:
    """Its rows; none where there is no such file.

    Raises:
      InputError: it is not what ``write_registered`` writes.
    """
    path = workdir / "registration.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path}: expected the columns {', '.join(COLUMNS)}. Delete it and run again")
        return list(reader)
