"""selected.npz: what the report shows of the selected point, kept so that nothing is reconstructed for it twice."""

import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.engine.methods.method import Constants, Point, settings_of
from ddad_jax.engine.store.archives import read_npz
from ddad_jax.engine.store.tables import write_bytes
from ddad_jax.errors import InputError
from ddad_jax.score import Spread

log = logging.getLogger(__name__)


def load_selected(workdir: Path) -> dict[str, np.ndarray]:
    """Arrays of the selected point: maps, scores and what the method shows beside them (``method.SHOWN``) of the test
    pictures; normal_maps and normal_scores of the held-out normal ones.

    Raises:
      InputError: the point diverged, so that there is nothing to show of it; the file is damaged.
    """
    if not (workdir / "selected.npz").exists():
        raise InputError(
            f"{workdir}: the maps of the selected point (--config.sample, --config.score) are not finite, so there is "
            "no verdict and no report. results.csv holds the other points; lower --config.sample.w, or train longer"
        )
    return read_npz(workdir / "selected.npz")


def _made_of(selected: Point, made_with: dict[str, Any]) -> str:
    return json.dumps([settings_of(*selected), made_with])


def _same(saved: Any, point: Point, made_with: dict[str, Any]) -> bool:
    """Whether [settings, made_with] of a file is of this point, made with this; what did not exist yet when it was
    written was as it is by default."""
    settings, made = saved
    usual = {**point.costly._field_defaults, **point.cheap._field_defaults}
    of_point, now = json.loads(_made_of(point, made_with))
    return {**usual, **settings} == of_point and {"method": "ddad", **made} == {"method": "ddad", **now}


def holds_selected(path: Path, selected: Point, made_with: dict[str, Any]) -> bool:
    """Whether the file is of this point, made with this; a damaged one is not, so that it is made anew."""
    if not path.exists():
        return False
    try:
        # Read as a whole: a file may be damaged in any of its arrays.
        found = read_npz(path)
    except InputError as error:
        log.info("made anew: %s", error)
        return False
    # Without the maps of the normal pictures it is of before there were thresholds of pixels.
    if not {"made_of", "normal_maps"} <= found.keys():
        return False
    return _same(json.loads(str(found["made_of"])), selected, made_with)


def save_selected(
    path: Path,
    selected: Point,
    made_with: dict[str, Any],
    maps: np.ndarray,
    scores: np.ndarray,
    beside: Mapping[str, np.ndarray],
    n_held_out: int,
    first_test: int,
) -> None:
    """maps, scores: of all pictures, tiles put together. beside: ``Fitted.shown``."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "made_of": np.array(_made_of(selected, made_with)),
        "maps": maps[first_test:],
        "scores": scores[first_test:],
        "normal_maps": maps[:n_held_out],
        "normal_scores": scores[:n_held_out],
        **beside,
    }
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


# --- calibration.npz: the arrays a verdict needs besides the networks, beside the numbers of calibration.json.

CONSTANTS_FORMAT = 1
"""Of calibration.npz: another number means arrays that this version cannot read."""

CONSTANTS_FILE = "calibration.npz"


class Kept(NamedTuple):
    """settings: ``settings_of`` the point; made_with: what its rows say of how they were made."""

    constants: Constants
    settings: dict[str, Any]
    made_with: dict[str, Any]


def save_constants(workdir: Path, point: Point, made_with: dict[str, Any], constants: Constants) -> None:
    arrays: dict[str, Any] = {"format": CONSTANTS_FORMAT, "made_of": json.dumps([settings_of(*point), made_with])}
    if constants.spread is not None:
        arrays |= {"spread_mean": constants.spread.mean, "spread_std": constants.spread.std}
    arrays |= constants.own
    for name in ("watched", "reference"):
        if getattr(constants, name) is not None:
            arrays[name] = getattr(constants, name)
    buffer = io.BytesIO()
    as_arrays: Any = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez(buffer, **as_arrays)
    write_bytes(workdir / CONSTANTS_FILE, buffer.getvalue())


def load_constants(workdir: Path) -> Kept:
    """What ``save_constants`` wrote.

    Raises:
      InputError: it is missing, damaged, of another format, or not what that writes.
    """
    path = workdir / CONSTANTS_FILE
    if not path.exists():
        raise InputError(f"{path}: is missing")
    arrays = read_npz(path)
    found = arrays.get("format")
    if found is None or found.shape != () or found.dtype.kind not in "iu" or int(found) != CONSTANTS_FORMAT:
        said = "none" if found is None else repr(found.tolist())[:40]
        raise InputError(
            f"{path}: format {said}, expected {CONSTANTS_FORMAT}: it was written by another version of ddad_jax"
        )
    try:
        settings, made_with = json.loads(str(arrays["made_of"]))
        spread = Spread(arrays["spread_mean"], arrays["spread_std"]) if "spread_mean" in arrays else None
        own = {name: array for name, array in arrays.items() if name not in OURS}
        constants = Constants(spread, own, arrays.get("watched"), arrays.get("reference"))
        _require_arrays(arrays)
        return Kept(constants, dict(settings), dict(made_with))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error!r}); expected what a run wrote there. Delete it") from None


OURS = ("format", "made_of", "spread_mean", "spread_std", "watched", "reference")
"""Names in calibration.npz that every method has; the others are the method's own."""
_ARRAYS = {"spread_mean": ("f", 2), "spread_std": ("f", 2), "watched": ("b", 2)}
"""Name -> kind and number of axes, of arrays that are [h, w] of a map."""


def _require_arrays(arrays: dict[str, np.ndarray]) -> None:
    """ValueError where one is not of the type and the shape that ``Constants`` says."""
    for name, (kind, axes) in _ARRAYS.items():
        found = arrays.get(name)
        if found is not None and (found.dtype.kind != kind or found.ndim != axes or not found.size):
            raise ValueError(f"{name} is {found.dtype} {found.shape}")
    if "spread_mean" in arrays:
        mean, std = arrays["spread_mean"], arrays["spread_std"]
        if mean.shape != std.shape or not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
            raise ValueError(f"spread_mean {mean.shape} and spread_std {std.shape} are no mean and deviation")
    reference = arrays.get("reference")
    if reference is not None and not (reference.dtype == np.uint8 and reference.ndim == 3 and reference.shape[2] == 3):
        raise ValueError(f"reference is {reference.dtype} {reference.shape}")


def forget_constants(workdir: Path) -> None:
    (workdir / CONSTANTS_FILE).unlink(missing_ok=True)


def holds_constants(workdir: Path, point: Point, made_with: dict[str, Any]) -> bool:
    """Whether the file is of this point, made with this; a damaged one is not, so that it is made anew."""
    try:
        found = load_constants(workdir)
    except InputError as error:
        log.info("made anew: %s", error)
        return False
    return _same([found.settings, found.made_with], point, made_with)
