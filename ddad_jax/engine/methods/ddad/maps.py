"""From distances to maps, for test images and synthetic defects alike."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.distance_maps import blurred
from ddad_jax.engine.methods.ddad.sections import DistanceScoreSettings
from ddad_jax.engine.methods.measured import Mapped, MeasuredPictures
from ddad_jax.errors import InputError
from ddad_jax.points import ScorePoint
from ddad_jax.score import batch_ratio, combine, scale_from_normal
from ddad_jax.sweep import Distances
from ddad_jax.vision.tiles import Tiling

log = logging.getLogger(__name__)


class BlurredDistances(NamedTuple):
    """Blurred distances of the held-out normal images and, behind them, the test images; [n, h, w] each, ``Spilled``
    where the distances are. ratio: what brings the pixel term to the feature term's scale, one an image [n]."""

    pixel: np.ndarray
    feature: np.ndarray
    ratio: np.ndarray


def prepare(
    s: DistanceScoreSettings,
    distances: Distances,
    n_held_out: int,
    first_test: int,
    layers: tuple[str, ...],
    sigma: float,
    *,
    upsampling: str = "half_pixel",
    tiling: Tiling | None = None,
) -> BlurredDistances:
    """Everything that v does not touch. ``distances`` holds the held-out normal images first, the test images
    from ``first_test``, and those a point is chosen by, if any, between them; with ``tiling`` the tiles of each.

    The ratio is one number from them, or with normalise = "batch" one for every batch of ``score.batch``
    test images, as published. Distances that give none make it NaN, and the maps with it. Without layers there is no
    feature term whose scale could be met, and it is 1.
    """
    tiles = tiling.count if tiling else 1
    in_batches, n = s.normalise == "batch", len(distances.pixel) // tiles
    # The constants are taken before the blur, as the equation has them; of the others' sharp maps only batches ask.
    asked = slice(None) if in_batches else slice(0, n_held_out)
    how: Any = {"upsampling": upsampling, "tiling": tiling}
    if not layers:
        return BlurredDistances(*blurred(distances, layers, sigma, **how), np.ones(n, np.float32))
    sharp_p, sharp_f = blurred(distances, layers, 0.0, rows=asked, **how)
    try:
        from_normal = scale_from_normal(sharp_p[:n_held_out], sharp_f[:n_held_out]).ratio
    except InputError as error:
        log.warning("%s", error)
        from_normal = float("nan")
    ratio = np.full(n, from_normal, np.float32)
    if in_batches:
        for begin, end in ((n_held_out, first_test), (first_test, len(ratio))):
            for first in range(begin, end, s.batch):
                rows = slice(first, min(first + s.batch, end))
                ratio[rows] = batch_ratio(sharp_p[rows], sharp_f[rows])
    return BlurredDistances(*blurred(distances, layers, sigma, **how), ratio)


def combined(prepared: BlurredDistances, point: ScorePoint) -> np.ndarray:
    """Maps [n, h, w], before spread, mask and crop; one after another, as the distances may not be in memory."""
    # Pixels alone need no scale of another term: with normalise = "batch", too, all are measured alike.
    ratio = prepared.ratio if point.feature_weight else np.full_like(prepared.ratio, prepared.ratio[0])
    v, weight = np.float32(point.v), np.float32(point.feature_weight)
    maps = np.empty(prepared.pixel.shape, np.float32)
    for i in range(len(maps)):
        (d_p,), (d_f,) = prepared.pixel[i : i + 1], prepared.feature[i : i + 1]
        maps[i] = combine(d_p, d_f, v=v, ratio=ratio[i], feature_weight=weight)
    return maps


def mapped(
    s: DistanceScoreSettings, distances: Distances, points: Sequence[ScorePoint], pictures: MeasuredPictures
) -> Iterator[Mapped]:
    """As of ``method.Fitted.maps``: what v does not touch is kept for the points that follow."""
    prepared: dict[tuple, BlurredDistances] = {}
    for point in points:
        side = (point.layers, point.sigma, point.upsampling)
        if side not in prepared:
            sizes = pictures.n_normal, pictures.first_test
            how: Any = {"upsampling": point.upsampling, "tiling": pictures.tiling}
            prepared = {side: prepare(s, distances, *sizes, point.layers, point.sigma, **how)}
        ratio = float(prepared[side].ratio[pictures.first_test :].mean()) if pictures.n_test else float("nan")
        yield Mapped(point, combined(prepared[side], point), {"ratio": ratio})
