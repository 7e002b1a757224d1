"""Pictures of a camera that was nudged, made of real ones, with the motion that is to be found."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.linalg import expm

from ddad_jax.data.read import read_full
from ddad_jax.engine.store.tables import Row
from ddad_jax.errors import InputError
from ddad_jax.vision.homography import applied, corners
from ddad_jax.vision.registration import Registration, reference_of, register, warped

MARGIN = 0.1
"""Of each side, kept back around the reference so that a moved picture shows something new at its border."""


class RegistrationTrial(NamedTuple):
    kind: str
    name: str
    """Of the reference's file, and of the other picture's where there is one."""
    reference: np.ndarray
    """uint8 [h, w, 3]."""
    picture: np.ndarray
    """uint8 [h, w, 3], the nudged camera's."""
    back: np.ndarray | None
    """float64 [3, 3], the picture's pixels -> the reference's; None where there is no such motion."""


class Nudge(NamedTuple):
    """How a kind of trial is made. turn: degrees, at most; least: at least. focal: of a camera that pans and tilts, in
    longer sides; 0 shifts the picture as it is. other: another picture is shown. after: what is done with it then."""

    turn: float = 5.0
    least: float = 0.0
    focal: float = 0.0
    other: bool = False
    mirrored: bool = False
    after: Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray] | None = None


def trial(kind: str, paths: Sequence[Path], rng: np.random.Generator, side: int = 0) -> RegistrationTrial:
    """One trial: the middle of a picture is the reference, the picture moved and cut alike is what the camera shows.

    Shifted by up to 10 % of each side, turned by up to 5 degrees, scaled by up to 5 %; kinds add to that.

    Args:
      kind: a key of KINDS.
      paths: pictures to draw from.
      side: both pictures are resized to side x side first; 0 leaves them at their own size.
    """
    how = KINDS[kind]
    first, second = (paths[int(i)] for i in rng.integers(len(paths), size=2))
    while second == first and len(paths) > 1:
        second = paths[int(rng.integers(len(paths)))]
    whole, other = read_full(first), read_full(second)
    if side:
        large = round(side / (1 - 2 * MARGIN))
        whole = cv2.resize(whole, (large, large), interpolation=cv2.INTER_AREA)
    size = (whole.shape[0], whole.shape[1])
    other = cv2.resize(other, size[::-1], interpolation=cv2.INTER_AREA)
    top, left = round(MARGIN * size[0]), round(MARGIN * size[1])
    reference = whole[top : size[0] - top, left : size[1] - left]
    forth = _motion(reference.shape[:2], how, rng)
    cut = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    picture = _shown(other if how.other else whole, forth @ cut, reference.shape[:2])
    if how.mirrored:
        picture = np.ascontiguousarray(picture[:, ::-1])
    if how.after:
        picture = how.after(picture, other, rng)
    known = None if how.other or how.mirrored or kind == "flat" else np.linalg.inv(forth)
    return RegistrationTrial(
        kind, f"{first.name}, {second.name}" if how.other else first.name, reference, picture, known
    )


def _motion(size: tuple[int, ...], how: Nudge, rng: np.random.Generator) -> np.ndarray:
    h, w = size[0], size[1]
    middle = np.array([(w - 1) / 2, (h - 1) / 2])
    angle = np.deg2rad(rng.uniform(how.least, how.turn) * rng.choice([-1, 1]))
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * rng.uniform(0.95, 1.05)
    shift = rng.uniform(-0.1, 0.1, 2) * [w, h]
    forth = np.eye(3)
    if how.focal:
        # A camera that pans and tilts: the shift is what its turning makes of the middle.
        focal = how.focal * max(h, w)
        pan, tilt = np.arctan(shift / focal)
        about = np.array([[0, 0, pan], [0, 0, tilt], [-pan, -tilt, 0]])
        lens = np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1.0]])
        forth, shift = lens @ expm(about) @ np.linalg.inv(lens), np.zeros(2)
    roll = np.eye(3)
    roll[:2, :2], roll[:2, 2] = turned, middle + shift - turned @ middle
    return forth @ roll


def _shown(whole: np.ndarray, forth: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    return cv2.warpPerspective(
        whole, forth, (size[1], size[0]), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )


def _blurred(picture: np.ndarray, _: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 2.5) * max(picture.shape) / 256)


def _noisy(picture: np.ndarray, _: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _eight_bits(picture + rng.normal(0, rng.uniform(3, 20), picture.shape))


def _exposed(picture: np.ndarray, _: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _eight_bits(255 * (picture / 255) ** rng.uniform(0.6, 1.6) * rng.uniform(0.5, 1.6))


def _covered(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By a box, plain or with another picture on it, of 9 to 49 % of the area."""
    where = _box(picture, rng, 0.3, 0.7)
    found = picture.copy()
    found[where] = cv2.resize(other, found[where].shape[1::-1]) if rng.random() < 0.5 else rng.integers(256)
    return found


def _damaged(picture: np.ndarray, _: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spots and a scratch."""
    found, (h, w) = picture.copy(), picture.shape[:2]
    for _spot in range(rng.integers(1, 6)):
        at, colour = (int(rng.integers(w)), int(rng.integers(h))), rng.integers(0, 256, 3).tolist()
        cv2.circle(found, at, int(max(h, w) * rng.uniform(0.02, 0.08)), colour, -1)
    a, b = ((int(rng.integers(w)), int(rng.integers(h))) for _end in range(2))
    cv2.line(found, a, b, rng.integers(0, 256, 3).tolist(), max(1, max(h, w) // 100))
    return found


def _slid(picture: np.ndarray, _: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part in the middle, 16 to 49 % of the area, lies elsewhere than its surroundings say."""
    h, w = picture.shape[:2]
    share = rng.uniform(0.4, 0.7)
    y, x, dy, dx = (round(v) for v in (h * (1 - share) / 2, w * (1 - share) / 2, h * share, w * share))
    by = np.array([[1, 0, w * rng.uniform(0.03, 0.08)], [0, 1, -h * rng.uniform(0.03, 0.08)]])
    found = picture.copy()
    away = cv2.warpAffine(picture, by, (w, h), borderMode=cv2.BORDER_REFLECT_101)
    found[y : y + dy, x : x + dx] = away[y : y + dy, x : x + dx]
    return found


def _flat(picture: np.ndarray, _: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _eight_bits(rng.normal(rng.uniform(40, 215), rng.uniform(0, 4), picture.shape))


def _box(picture: np.ndarray, rng: np.random.Generator, least: float, most: float) -> tuple[slice, slice]:
    sides = [(n, max(1, round(n * rng.uniform(least, most)))) for n in picture.shape[:2]]
    (y, dy), (x, dx) = ((int(rng.integers(n - part + 1)), part) for n, part in sides)
    return slice(y, y + dy), slice(x, x + dx)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


KINDS = {
    "moved": Nudge(),
    "panned": Nudge(focal=1.0),
    "blurred": Nudge(after=_blurred),
    "noisy": Nudge(after=_noisy),
    "exposed": Nudge(after=_exposed),
    "covered": Nudge(after=_covered),
    "damaged": Nudge(after=_damaged),
    "slid": Nudge(after=_slid),
    "turned": Nudge(least=8, turn=40),
    "mirrored": Nudge(mirrored=True),
    "other": Nudge(other=True),
    "flat": Nudge(after=_flat),
}
"""Of trials. "turned" goes beyond what a nudge does; "mirrored", "other" (another picture) and "flat" (none) have no
right answer but a refusal."""


# --- What became of a trial of registration, as a row and as a picture.

WRONG = 3.0
"""Pixels at 256 from which an accepted warp is wrong."""


def judged(made: RegistrationTrial) -> tuple[Row, Registration | None]:
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


def registration_strip(made: RegistrationTrial, found: Registration, side: int = 256) -> np.ndarray:
    """Picture, reference, the picture warped, and both in one (reference in red, warped in green); uint8 RGB."""
    onto = warped(made.picture, found, found.reference_size)
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (made.reference, onto)]
    both = np.stack([*grey, np.zeros_like(grey[0])], -1)
    return np.concatenate([cv2.resize(p, (side, side)) for p in (made.picture, made.reference, onto, both)], axis=1)
