"""selected.npz: what the report shows of the selected point, kept so that nothing is reconstructed for it twice."""

import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.sweep import Distances
from ddad_jax.vision.tiles import Tiling, stitch
from experiments.archives import read_npz
from experiments.plan import Point, settings_of
from experiments.scoring import whole_maps
from experiments.tables import write_bytes

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


def holds(path: Path, selected: Point, made_with: dict[str, Any]) -> bool:
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
