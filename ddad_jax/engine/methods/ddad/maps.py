"""From distances to maps, scores and metrics, for test images and synthetic defects alike."""

import logging
from typing import NamedTuple

import jax
import numpy as np

from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.errors import InputError
from ddad_jax.points import ScorePoint
from ddad_jax.score import (
    Spread,
    batch_ratio,
    combine,
    maps_and_scores,
    normal_spread,
    scale_from_normal,
    standardise,
    standardise_apart,
)
from ddad_jax.sweep import Distances, blurred, require_mask
from ddad_jax.vision.tiles import Tiling, stitch

log = logging.getLogger(__name__)


class Prepared(NamedTuple):
    """Blurred distances of the held-out normal images and, behind them, the test images; [n, h, w] each.
    ratio: what brings the pixel term to the feature term's scale, one an image [n]."""

    pixel: np.ndarray
    feature: np.ndarray
    ratio: np.ndarray


def prepare(
    c: DDADSettings,
    distances: Distances,
    n_held_out: int,
    first_test: int,
    layers: tuple[str, ...],
    sigma: float,
    tiling: Tiling | None = None,
) -> Prepared:
    """Everything that v does not touch. ``distances`` holds the held-out normal images first, the test images
    from ``first_test``, and those a point is chosen by, if any, between them; with ``tiling`` the tiles of each.

    The ratio is one number from them, or with normalise = "batch" one for every batch of ``score.batch``
    test images, as published. Distances that give none make it NaN, and the maps with it.
    """
    tiles = tiling.count if tiling else 1
    in_batches, n = c.score.normalise == "batch", len(distances.pixel) // tiles
    # The constants are taken before the blur, as the equation has them; of the others' sharp maps only batches ask.
    asked = distances if in_batches else jax.tree.map(lambda d: d[: n_held_out * tiles], distances)
    sharp_p, sharp_f = whole_maps(asked, layers, 0.0, tiling)
    try:
        from_normal = scale_from_normal(sharp_p[:n_held_out], sharp_f[:n_held_out]).ratio
    except InputError as error:
        log.warning("%s", error)
        from_normal = float("nan")
    ratio = np.full(n, from_normal, np.float32)
    if in_batches:
        for begin, end in ((n_held_out, first_test), (first_test, len(ratio))):
            for first in range(begin, end, c.score.batch):
                rows = slice(first, min(first + c.score.batch, end))
                ratio[rows] = batch_ratio(sharp_p[rows], sharp_f[rows])
    return Prepared(*whole_maps(distances, layers, sigma, tiling), ratio)


def whole_maps(
    distances: Distances, layers: tuple[str, ...], sigma: float, tiling: Tiling | None
) -> tuple[np.ndarray, np.ndarray]:
    """``sweep.blurred`` of whole pictures: tiles are put together again."""
    maps = blurred(distances, layers, sigma)
    return maps if tiling is None else (stitch(maps[0], tiling), stitch(maps[1], tiling))


def spread_of(prepared: Prepared, n_held_out: int, point: ScorePoint) -> Spread | None:
    """What ``score_maps`` measures the maps of test images in, for new pictures of the same point; None where it does
    not standardise, or diverged."""
    if not point.standardise:
        return None
    normal = _combined(Prepared(*(array[:n_held_out] for array in prepared)), point)
    return normal_spread(normal) if np.isfinite(normal).all() else None


def score_maps(
    c: DDADSettings,
    prepared: Prepared,
    n_held_out: int,
    own: np.ndarray,
    point: ScorePoint,
    watched: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(maps, scores) of all images of ``prepared``, the held-out normal ones first; maps cropped as configured.

    own: ``own_normal``, of the images before the test images. watched: bool [h, w], for points that mask after.
    """
    maps = _combined(prepared, point)
    normal = maps[:n_held_out]
    if point.standardise and np.isfinite(normal).all():
        known = len(own)
        maps = np.concatenate([standardise_apart(maps[:known], normal, own), standardise(maps[known:], normal)])
    if point.mask_after:
        require_mask(watched)
    return maps_and_scores(maps, watched=watched if point.mask_after else None, crop=c.score.crop)


def _combined(prepared: Prepared, point: ScorePoint) -> np.ndarray:
    # Pixels alone need no scale of another term: with normalise = "batch", too, all are measured alike.
    ratio = prepared.ratio if point.feature_weight else np.full_like(prepared.ratio, prepared.ratio[0])
    v, weight = np.float32(point.v), np.float32(point.feature_weight)
    return combine(prepared.pixel, prepared.feature, v=v, ratio=ratio[:, None, None], feature_weight=weight)
