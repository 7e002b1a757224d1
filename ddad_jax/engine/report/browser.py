"""The browser of test pictures: what each went through, as data for the page."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from skimage.measure import find_contours

from ddad_jax.engine.figures.grid import scale_of
from ddad_jax.engine.report.points import digits

MOST_BYTES = 9_000_000
"""Of all pictures before they are written as text, which takes a third more."""
MAPS = ("pixel", "feature", "map")


class BrowserPicture(NamedTuple):
    """A test picture and what was computed of it, all [h, w].

    outcome: of ``verdicts.verdict_rows``. regions, largest: how many exceed the pixel threshold, and the share of the
    picture that the largest takes. steps: (t, x0_hat) of each visited time, uint8, if they were kept. pixel,
    feature, map: float. redrawn, pixel, feature: None of a method without. mask: bool, None where it is not known.
    """

    name: str
    kind: str
    label: int
    score: float
    outcome: str
    regions: int
    largest: float
    image: np.ndarray
    redrawn: np.ndarray | None
    steps: Sequence[tuple[int, np.ndarray]]
    pixel: np.ndarray | None
    feature: np.ndarray | None
    map: np.ndarray
    mask: np.ndarray | None


class Browser(NamedTuple):
    """pictures: those to show, the most telling first if not all fit. of: how many the test set has."""

    pictures: Sequence[BrowserPicture]
    of: int
    threshold: float
    pixel_threshold: float


def pictures_data(browser: Browser, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """What ``pictures.js`` shows: as many of the pictures as fit, and "told", what the page says of the choice.

    Pictures are WebP without loss; where they would take more than ``most_bytes`` reconstructions are compressed with a
    small one, and if that is not enough the last pictures are left out.
    """
    kept = [name for name in MAPS if all(getattr(one, name) is not None for one in browser.pictures)]
    scales = {name: scale_of([getattr(one, name) for one in browser.pictures]) for name in kept}
    for lossless in (True, False):
        told: list[dict[str, Any]] = []
        spent = 0
        for one in browser.pictures:
            entry, size = _entry(one, browser.pixel_threshold, scales, lossless=lossless)
            if spent + size > most_bytes and told:
                break
            told.append(entry)
            spent += size
        if len(told) == len(browser.pictures):
            break
    said = [f"{len(told)} of {browser.of} test pictures."] if len(told) < browser.of else []
    if len(told) < browser.of:
        more = "" if len(told) < len(browser.pictures) else "; --config.output.browser=N shows more"
        said.append(
            "Of each kind half are those nearest to a wrong verdict or beyond it, the others lie evenly over its "
            f"scores. scores.csv has all{more}."
        )
    said.append("Maps have one scale for all pictures, so that a good one looks dark.")
    if not lossless:
        said.append("Reconstructions are compressed with a small loss.")
    return {
        "pictures": told,
        "scales": scales,
        "threshold": browser.threshold,
        "pixelThreshold": browser.pixel_threshold,
        "colours": digits("inferno"),
        "told": " ".join(said),
    }


def _entry(
    one: BrowserPicture, pixel_threshold: float, scales: dict[str, tuple[float, float]], *, lossless: bool
) -> tuple[dict[str, Any], int]:
    """A picture as the page carries it, and its bytes."""
    coded = {
        "image": _webp(one.image, lossless=True),
        **{name: _webp(_levels(getattr(one, name), scale), lossless=True) for name, scale in scales.items()},
    }
    if one.redrawn is not None:
        coded["redrawn"] = _webp(one.redrawn, lossless=lossless)
    if one.mask is not None:
        coded["mask"] = _webp(one.mask.astype(np.uint8) * 255, lossless=True)
    steps = [(int(t), _webp(x0_hat, lossless=lossless)) for t, x0_hat in one.steps]
    entry = {
        "name": one.name, "kind": one.kind, "label": one.label, "score": one.score, "outcome": one.outcome,
        "regions": one.regions, "largest": one.largest, "size": one.image.shape[:2], "mask": None,
        "found": _outline(one.map, pixel_threshold),
        "truth": "" if one.mask is None else _outline(one.mask.astype(float), 0.5),
        **{name: _uri(content) for name, content in coded.items()},
        "steps": [{"t": t, "image": _uri(content)} for t, content in steps],
    }  # fmt: skip
    return entry, sum(map(len, coded.values())) + sum(len(content) for _, content in steps)


def _levels(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    low, high = scale
    share = np.nan_to_num((values.astype(np.float64) - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    return np.round(np.clip(share, 0.0, 1.0) * 255).astype(np.uint8)


def _outline(values: np.ndarray, level: float) -> str:
    """The contour of what lies above ``level`` as the path of an SVG, in pixels; "" for nothing."""
    finite = np.isfinite(values)
    low = min(float(values[finite].min()) if finite.any() else level, level) - 1.0
    # Closed at the border, too.
    padded = np.pad(np.where(finite, values, low).astype(np.float64), 1, constant_values=low)
    lines = find_contours(padded, level, fully_connected="high")
    return "".join("M" + "L".join(f"{x - 0.5:.1f} {y - 0.5:.1f}" for y, x in line[:-1]) + "Z" for line in lines)


def _webp(picture: np.ndarray, *, lossless: bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "webp", lossless=lossless, quality=70 if lossless else 90, method=4)
    return buffer.getvalue()


def _uri(content: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(content).decode()
