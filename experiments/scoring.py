"""From distances to maps, scores and metrics, for test images and synthetic defects alike."""

import logging
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from ddad_jax.data.synthetic import painted_on
from ddad_jax.errors import InputError
from ddad_jax.image import centre_crop
from ddad_jax.metrics import evaluate_maps, label_regions, reference_pixel_auroc, reference_pro
from ddad_jax.points import ScorePoint
from ddad_jax.score import batch_ratio, combine, scale_from_normal, standardise, standardise_apart
from ddad_jax.sweep import Distances, blurred
from experiments.model import Data

log = logging.getLogger(__name__)

SYNTHETIC = ("image_auroc", "pixel_auroc", "aupro_30")
"""Metrics that a row also has on the synthetic defects, as ``synthetic_...``."""


class Prepared(NamedTuple):
    """Blurred distances of the held-out normal images and, behind them, the test images; [n, h, w] each.
    ratio: what brings the pixel term to the feature term's scale, one an image [n]."""

    pixel: np.ndarray
    feature: np.ndarray
    ratio: np.ndarray


def prepare(
    c: ConfigDict, distances: Distances, n_held_out: int, first_test: int, layers: tuple[str, ...], sigma: float
) -> Prepared:
    """Everything that v does not touch. ``distances`` holds the held-out normal images first, the test images
    from ``first_test``, and those a point is chosen by, if any, between them.

    The ratio is one number from them, or with normalise = "batch" one for every batch of ``score.batch``
    test images, as published. Distances that give none make it NaN, and the maps with it.
    """
    # The constants are taken before the blur, as the equation has them.
    sharp_p, sharp_f = blurred(distances, layers, 0.0)
    try:
        from_normal = scale_from_normal(sharp_p[:n_held_out], sharp_f[:n_held_out]).ratio
    except InputError as error:
        log.warning("%s", error)
        from_normal = float("nan")
    ratio = np.full(len(sharp_p), from_normal, np.float32)
    if c.score.normalise == "batch":
        for begin, end in ((n_held_out, first_test), (first_test, len(ratio))):
            for first in range(begin, end, c.score.batch):
                rows = slice(first, min(first + c.score.batch, end))
                ratio[rows] = batch_ratio(sharp_p[rows], sharp_f[rows])
    return Prepared(*blurred(distances, layers, sigma), ratio)


def own_normal(data: Data) -> np.ndarray:
    """The calibration image that each image before the test images shows, -1 for none of them; int [n]."""
    n = len(data.calibration.labels)
    if data.choice is None:
        return np.arange(n)
    shown = np.concatenate([np.arange(n + len(data.choice.trained.labels)), painted_on(data.choice.defects)])
    return np.where(shown < n, shown, -1)


def score_maps(
    c: ConfigDict, prepared: Prepared, n_held_out: int, own: np.ndarray, point: ScorePoint
) -> tuple[np.ndarray, np.ndarray]:
    """(maps, scores) of all images of ``prepared``, the held-out normal ones first; maps cropped as configured.

    own: ``own_normal``, of the images before the test images.
    """
    ratio = prepared.ratio[:, None, None]
    maps = combine(prepared.pixel, prepared.feature, v=np.float32(point.v), ratio=ratio)
    normal = maps[:n_held_out]
    if point.standardise and np.isfinite(normal).all():
        known = len(own)
        maps = np.concatenate([standardise_apart(maps[:known], normal, own), standardise(maps[known:], normal)])
    maps = cropped(maps, c.score.crop)
    return maps, maps.max((1, 2))


def synthetic_judge(c: ConfigDict, data: Data) -> Any:
    """(maps, scores) of all images before the test images -> metrics of the synthetic ones, for a row.

    Not numbers where one of these diverged; what test images do is not looked at.
    """
    if data.choice is None:
        return None
    before = data.sets[:-1]
    labels, known = (np.concatenate([getattr(s, name) for s in before]) for name in ("labels", "has_mask"))
    masks = cropped(np.concatenate([s.masks for s in before]), c.score.crop)
    regions = label_regions(masks, known)

    def judge(maps: np.ndarray, scores: np.ndarray) -> dict[str, float]:
        finite = np.isfinite(scores).all()
        found = evaluate_maps(maps, scores, labels, masks, known, regions=regions) if finite else {}
        return {f"synthetic_{name}": found.get(name, float("nan")) for name in SYNTHETIC}

    return judge


def published_metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """The published code's pixel AUROC and PRO beside ours, in the ``reference`` behaviour.

    Deviation: its masks keep grey rims, which our loaders do not: both metrics see binarised masks here.
    """
    return {
        "published_pixel_auroc": reference_pixel_auroc(maps, masks),
        "published_pro": reference_pro(maps, masks).pro,
    }


def cropped(maps: Any, size: int) -> Any:
    return centre_crop(maps, size) if size else maps
