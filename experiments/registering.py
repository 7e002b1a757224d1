"""L6. What became of a trial of registration, as a row and as a picture."""

import re
import time

import cv2
import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.vision.homography import applied, corners
from ddad_jax.vision.registration import Registration, reference_of, register, warped
from experiments.nudges import Trial
from experiments.tables import Row

WRONG = 3.0
"""Pixels at 256 from which an accepted warp is wrong."""


def judged(made: Trial) -> tuple[Row, Registration | None]:
    """What became of one trial, as a row; the registration, None where the reference itself was refused."""
    said: dict[str, object] = {
        "kind": made.kind,
        "name": made.name,
        "accepted": False,
        "wrong": False,
        "error_px": None,
    }
    try:
        reference = reference_of(made.reference)
    except InputError as error:
        return {**said, "why": "reference without texture", "reason": str(error), "seconds": None}, None
    start = time.perf_counter()
    found = register(made.picture, reference)
    said["seconds"] = time.perf_counter() - start
    if found.homography is not None and made.back is not None:
        said["error_px"] = corner_error(found.homography, made.back, found.reference_size)
    error_px = said["error_px"]
    wrong = found.accepted and not (isinstance(error_px, float) and error_px <= WRONG)
    why = re.sub(r"[\d.]*\d%?", "N", found.reason)
    said |= {"accepted": found.accepted, "wrong": wrong, "why": why, "reason": found.reason}
    kept = ("inliers", "matches", "error", "uncertainty", "agreement")
    return {**said, **{name: getattr(found, name) for name in kept}}, found


def corner_error(found: np.ndarray, known: np.ndarray, size: tuple[int, int]) -> float:
    """How far apart two homographies put what belongs into the reference's corners, at worst, in pixels at 256."""
    at = corners(size)
    apart = applied(found, applied(np.linalg.inv(known), at)) - at
    return float(np.linalg.norm(apart * [256 / size[1], 256 / size[0]], axis=1).max())


def summed(kind: str, rows: list[Row]) -> Row:
    """The row of the table for some trials."""
    errors = [row["error_px"] for row in rows if row["error_px"] is not None] or [np.nan]
    accepted, wrong = (sum(row[name] for row in rows) for name in ("accepted", "wrong"))
    counts = {"trials": len(rows), "accepted": accepted, "refused": len(rows) - accepted, "wrong": wrong}
    median, p95, most = (float(np.quantile(errors, q)) for q in (0.5, 0.95, 1))
    return {"kind": kind, **counts, "median_px": median, "p95_px": p95, "max_px": most}


def overlay(made: Trial, found: Registration, side: int = 256) -> np.ndarray:
    """Picture, reference, the picture warped, and both in one (reference in red, warped in green); uint8 RGB."""
    onto = warped(made.picture, found, found.reference_size)
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (made.reference, onto)]
    both = np.stack([*grey, np.zeros_like(grey[0])], -1)
    return np.concatenate([cv2.resize(p, (side, side)) for p in (made.picture, made.reference, onto, both)], axis=1)
