"""Of the selected point: what the report shows (selected.npz), and the arrays a verdict needs (calibration.npz)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.engine.methods.measured import Constants
from ddad_jax.engine.methods.point import Point, point_settings
from ddad_jax.engine.store import kept
from ddad_jax.errors import InputError
from ddad_jax.score import Spread

SHOWN_FILE = "selected.npz"
"""maps and scores of the test pictures, normal_maps and normal_scores of the calibration ones, and what the method
shows beside them (``measured.SHOWN``): kept so that nothing is measured for a report twice."""

CONSTANTS_FILE = "calibration.npz"
"""Beside the numbers of calibration.json."""

_HELD = ("maps", "scores", "normal_maps", "normal_scores")


def load_selected(workdir: Path) -> dict[str, np.ndarray]:
    """Arrays of ``SHOWN_FILE``.

    Raises:
      InputError: the point diverged, so that there is nothing to show of it; the file is damaged.
    """
    if not (workdir / SHOWN_FILE).exists():
        raise InputError(
            f"{workdir}: the maps of the selected point (--config.sample, --config.score) are not finite, so there is "
            "no verdict and no report. results.csv holds the other points; lower --config.sample.w, or train longer"
        )
    return kept.read_content(workdir / SHOWN_FILE, mend="Delete it")[0]


def holds_selected(workdir: Path, point: Point, made_with: Mapping[str, Any]) -> bool:
    """Whether both files are of this point, made with this."""
    now, usual = _made_of(point, made_with), _usual(point)
    if kept.load_content(workdir / SHOWN_FILE, now, _HELD, usual=usual) is None:
        return False
    constants = kept.load_content(workdir / CONSTANTS_FILE, now, usual=usual)
    return constants is not None and not _wrong(constants)


def save_selected(
    workdir: Path,
    point: Point,
    made_with: Mapping[str, Any],
    maps: np.ndarray,
    scores: np.ndarray,
    beside: Mapping[str, np.ndarray],
    calibrating: slice,
    first_test: int,
) -> None:
    """maps, scores: of all pictures, tiles put together. beside: ``Fitted.shown``. calibrating: which of them give
    thresholds."""
    content = {
        "maps": maps[first_test:],
        "scores": scores[first_test:],
        "normal_maps": maps[calibrating],
        "normal_scores": scores[calibrating],
        **beside,
    }
    kept.save_content(workdir / SHOWN_FILE, content, _made_of(point, made_with))


def remove_selected(workdir: Path) -> None:
    """Both files."""
    kept.remove_paths(workdir / CONSTANTS_FILE, workdir / SHOWN_FILE)


def _made_of(point: Point, made_with: Mapping[str, Any]) -> dict[str, Any]:
    return {**point_settings(*point), **made_with}


def _usual(point: Point) -> dict[str, Any]:
    """What a file from before a setting existed was made with."""
    return {"method": "ddad", **point.costly._field_defaults, **point.cheap._field_defaults}


# --- calibration.npz

FORMAT = 1
"""Of calibration.npz: another number means arrays that this version cannot read."""
_OURS = ("format", "spread_mean", "spread_std", "watched", "reference")
"""Arrays that every method may have; the others are the method's own."""
_AXES = {"spread_mean": ("f", 2), "spread_std": ("f", 2), "watched": ("b", 2)}
"""Name -> kind and number of axes, of arrays that are [h, w] of a map."""


class SelectedConstants(NamedTuple):
    """made_of: settings of the point, and what its rows say of how they were made."""

    constants: Constants
    made_of: dict[str, Any]


def save_constants(workdir: Path, point: Point, made_with: Mapping[str, Any], constants: Constants) -> None:
    spread, more = constants.spread, {name: getattr(constants, name) for name in ("watched", "reference")}
    content = {
        "format": np.int64(FORMAT),
        **({} if spread is None else {"spread_mean": spread.mean, "spread_std": spread.std}),
        **constants.own,
        **{name: array for name, array in more.items() if array is not None},
    }
    kept.save_content(workdir / CONSTANTS_FILE, content, _made_of(point, made_with))


def load_constants(workdir: Path, *, mend: str = "Delete it") -> SelectedConstants:
    """What ``save_constants`` wrote.

    mend: what to do where it cannot be used.

    Raises:
      InputError: it is missing, damaged, or not what that writes.
    """
    path = workdir / CONSTANTS_FILE
    arrays, made_of = kept.read_content(path, mend=mend)
    if (version := arrays.get("format", np.array(None)).tolist()) != FORMAT:
        raise InputError(f"{path}: format {version!r}, expected {FORMAT}: another version of ddad_jax wrote it. {mend}")
    if wrong := _wrong(arrays):
        raise InputError(f"{path}: cannot be read ({wrong}); expected what a run wrote there. {mend}")
    spread = Spread(arrays["spread_mean"], arrays["spread_std"]) if "spread_mean" in arrays else None
    own = {name: array for name, array in arrays.items() if name not in _OURS}
    return SelectedConstants(Constants(spread, own, arrays.get("watched"), arrays.get("reference")), made_of)


def _wrong(arrays: Mapping[str, np.ndarray]) -> str:
    """What is not of the type and the shape that ``Constants`` says; "" where all is."""
    for name, (kind, axes) in _AXES.items():
        array = arrays.get(name)
        if array is not None and (array.dtype.kind != kind or array.ndim != axes or not array.size):
            return f"{name} is {array.dtype} {array.shape}"
    if ("spread_mean" in arrays) != ("spread_std" in arrays):
        return "it has one of spread_mean and spread_std"
    if "spread_mean" in arrays:
        mean, std = arrays["spread_mean"], arrays["spread_std"]
        if mean.shape != std.shape or not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
            return f"spread_mean {mean.shape} and spread_std {std.shape} are no mean and deviation"
    reference = arrays.get("reference")
    if reference is not None and not (reference.dtype == np.uint8 and reference.ndim == 3 and reference.shape[2] == 3):
        return f"reference is {reference.dtype} {reference.shape}"
    return ""
