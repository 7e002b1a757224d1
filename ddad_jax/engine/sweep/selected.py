"""selected.npz: what the report shows of the selected point, kept so that nothing is reconstructed for it twice."""

import io
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.engine.methods.ddad.maps import whole_maps
from ddad_jax.engine.methods.method import UNSAID, Point, settings_of
from ddad_jax.engine.store.archives import read_npz
from ddad_jax.engine.store.tables import write_bytes
from ddad_jax.errors import InputError
from ddad_jax.first_pass import First
from ddad_jax.score import Spread
from ddad_jax.sweep import Distances
from ddad_jax.vision.tiles import Tiling, stitch

log = logging.getLogger(__name__)


def load_selected(workdir: Path) -> dict[str, np.ndarray]:
    """Arrays of the selected point: maps, scores, x0, pixel and feature of the test pictures; normal_maps and
    normal_scores of the held-out normal ones.

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
    return {"made_of", "normal_maps"} <= found.keys() and str(found["made_of"]) == _made_of(selected, made_with)


def save_selected(
    path: Path,
    selected: Point,
    made_with: dict[str, Any],
    maps: np.ndarray,
    scores: np.ndarray,
    distances: Distances,
    n_held_out: int,
    first_test: int,
    tiling: Tiling | None = None,
) -> None:
    """Of ``distances`` with ``tiling`` those of tiles; everything kept is of whole pictures."""
    pixel, feature = whole_maps(distances, selected[1].layers, 0.0, tiling)
    x0 = distances.x0
    assert x0 is not None
    if tiling is not None:
        x0 = np.stack([stitch(x0[..., channel], tiling) for channel in range(x0.shape[-1])], axis=-1)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        made_of=np.array(_made_of(selected, made_with)),
        maps=maps[first_test:],
        scores=scores[first_test:],
        normal_maps=maps[:n_held_out],
        normal_scores=scores[:n_held_out],
        x0=np.round((np.clip(x0[first_test:].astype(np.float32), -1, 1) + 1) * 127.5).astype(np.uint8),
        pixel=pixel[first_test:].astype(np.float16),
        feature=feature[first_test:].astype(np.float16),
    )
    write_bytes(path, buffer.getvalue())


# --- calibration.npz: the arrays a verdict needs besides the networks, beside the numbers of calibration.json.

CONSTANTS_FORMAT = 1
"""Of calibration.npz: another number means arrays that this version cannot read."""

CONSTANTS_FILE = "calibration.npz"


class Constants(NamedTuple):
    """Of the selected point; None for what it does without.

    spread: of the maps of held-out normal images before the crop, where it standardises. first: their first pass, where
    it rises. watched: bool [h, w], where it masks. reference: the picture others are brought onto, uint8 [h, w, 3].
    """

    spread: Spread | None = None
    first: First | None = None
    watched: np.ndarray | None = None
    reference: np.ndarray | None = None


class Kept(NamedTuple):
    """settings: ``settings_of`` the point; made_with: what its rows say of how they were made."""

    constants: Constants
    settings: dict[str, Any]
    made_with: dict[str, Any]


def save_constants(workdir: Path, point: Point, made_with: dict[str, Any], constants: Constants) -> None:
    arrays: dict[str, Any] = {"format": CONSTANTS_FORMAT, "made_of": json.dumps([settings_of(*point), made_with])}
    if constants.spread is not None:
        arrays |= {"spread_mean": constants.spread.mean, "spread_std": constants.spread.std}
    if constants.first is not None:
        arrays |= {"first_ratio": np.float64(constants.first.ratio), "first_scores": constants.first.scores}
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
        first = First(float(arrays["first_ratio"]), arrays["first_scores"]) if "first_ratio" in arrays else None
        constants = Constants(spread, first, arrays.get("watched"), arrays.get("reference"))
        _require_arrays(arrays)
        return Kept(constants, {**UNSAID, **settings}, dict(made_with))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error!r}); expected what a run wrote there. Delete it") from None


_ARRAYS = {"spread_mean": ("f", 2), "spread_std": ("f", 2), "first_scores": ("f", 1), "watched": ("b", 2)}
"""Name -> kind and number of axes, of arrays that are [h, w] of a map or [m]."""


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
    return [found.settings, found.made_with] == json.loads(json.dumps([settings_of(*point), made_with]))
