"""side_by_side/: a few test pictures as each way to sample redraws them, a small file a point, for the report.

A point's file is written before its rows: a sweep that is killed and goes on has the pictures of all that its journal
has finished. Nothing is ever reconstructed for them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.data import ImageSet
from ddad_jax.data.split import spread
from ddad_jax.engine.methods.ddad.evidence import compared_pictures
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.store import kept
from ddad_jax.engine.store.tables import Row
from ddad_jax.points import ReconPoint

FOLDER = "side_by_side"
EACH = 2
"""Pictures with a defect that are shown, and as many without."""
MOST = 6
"""Ways of the frontier beside the selected one."""


class Redrawn(NamedTuple):
    """The shown pictures by one point and by its fine teacher, uint8 [k, h, w, 3]."""

    x0: np.ndarray
    teacher: np.ndarray


def side_by_side_rows(test: ImageSet, among: np.ndarray) -> np.ndarray:
    """Which of the test pictures ``among`` are shown: two with a defect, evenly over the kinds, and two without.

    Labels decide here what a reader looks at, and no number.
    """
    found: list[int] = []
    for label in (1, 0):
        own = sorted((int(i) for i in among if test.labels[i] == label), key=lambda i: (test.defects[i], i))
        found += [own[j] for j in spread(len(own), EACH)] if own else []
    return np.array(found, int)


def keeper(
    workdir: Path, test: ImageSet, selected: Point | None, *, most: int, seed: int
) -> Callable[[ReconPoint, Mapping[str, Any], np.ndarray, np.ndarray], None]:
    """(point, what made it, x0 and its teacher's of the ``compared_pictures`` [n, h, w, 3]) -> their file, where the
    point has this seed and the w and T' of the selected one; any w and T' while none is selected."""
    among = compared_pictures(test, most)
    at = side_by_side_rows(test, among)
    rows = [int(np.flatnonzero(among == i)[0]) for i in at]

    def keep(point: ReconPoint, made_with: Mapping[str, Any], x0: np.ndarray, teacher: np.ndarray) -> None:
        level = selected is None or (point.w, point.t_prime) == (selected[0].w, selected[0].t_prime)
        pictures = x0[rows], teacher[rows]
        # What diverged has no picture.
        if point.seed != seed or not level or not all(np.isfinite(p).all() for p in pictures):
            return
        x0, teacher = (np.round((np.clip(p.astype(np.float32), -1, 1) + 1) * 127.5).astype(np.uint8) for p in pictures)
        content, made_of = {"at": at, "x0": x0, "teacher": teacher}, {**point._asdict(), **made_with}
        kept.save_content(workdir / FOLDER / _name(point), content, made_of, packed=True)

    return keep


def load_side_by_side(workdir: Path, row: Row, at: np.ndarray) -> Redrawn | None:
    """The pictures ``at`` of the row's point; None where no file has them as the row was made."""
    path = workdir / FOLDER / _name(ReconPoint(**{name: row[name] for name in ReconPoint._fields}))
    there = kept.load_content(
        path, row, ("at", "x0", "teacher"), more=True, otherwise="the report leaves its pictures out"
    )
    return Redrawn(there["x0"], there["teacher"]) if there and np.array_equal(there["at"], at) else None


def _name(point: ReconPoint) -> str:
    """Of the point's file: its settings, those that are as published left out."""
    usual = ReconPoint._field_defaults
    said = (f"{name}={value}" for name, value in point._asdict().items() if usual.get(name) != value)
    return ",".join(said) + ".npz"
