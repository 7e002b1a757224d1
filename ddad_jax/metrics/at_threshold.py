"""L1. What a threshold lets through and what it stops, over all pictures and for each kind of defect (host NumPy).

A score above the threshold is anomalous, as for the thresholds of ``metrics.thresholds``; ``confusion`` counts a score
that equals its threshold as anomalous, too. Everything here looks at test labels: it measures, it never sets.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.metrics.confusion import Confusion, confusion
from ddad_jax.metrics.curve import Curve, checked_labels, checked_scores, operating_points
from ddad_jax.metrics.evaluation import evaluate_maps
from ddad_jax.metrics.ranking import ranking
from ddad_jax.metrics.reference import youden_threshold
from ddad_jax.metrics.region_overlap import Regions, iou, pixel_curve

ALL = "all defects"
OUTCOMES = ("missed", "false alarm", "found", "passed")
"""What a threshold makes of a picture, the worst first."""


def at_threshold(scores: Any, labels: Any, threshold: float) -> Confusion:
    """``confusion`` where an image is called anomalous at score > threshold.

    Args, Raises: as of ``confusion``.
    """
    scores = checked_scores(scores)
    # In the scores' own precision the next number may round back to the threshold.
    return confusion(scores.astype(np.float64), labels, float(np.nextafter(threshold, np.inf)))


def outcomes(scores: Any, labels: Any, threshold: float) -> list[str]:
    """Of each image one of OUTCOMES.

    Args, Raises: as of ``at_threshold``.
    """
    called = checked_scores(scores).astype(np.float64) > threshold
    positive = checked_labels(labels, called.shape)
    names = {(True, False): "missed", (False, True): "false alarm", (True, True): "found", (False, False): "passed"}
    return [names[bool(p), bool(c)] for p, c in zip(positive, called, strict=True)]


def iou_at(maps: Any, masks: Any, has_mask: Any, threshold: float) -> float:
    """IoU of map > threshold with the masks, over the pixels of all images whose mask is known.

    Args:
        maps: [n, h, w]. masks: bool [n, h, w]. has_mask: bool [n]. threshold: of pixels.

    Returns NaN where no pixel is known to be defective.
    """
    known = np.asarray(has_mask, bool)
    return iou(np.asarray(maps)[known] > threshold, np.asarray(masks)[known])


class Labelled(NamedTuple):
    """A threshold that was chosen by the labels it is judged by. threshold: score > threshold, as everywhere."""

    criterion: str
    threshold: float


def thresholds_by_label(scores: Any, labels: Any, rules: Mapping[str, float]) -> list[Labelled]:
    """Thresholds chosen on the test labels, for comparison with published figures only: none of them may be used.

    The most accurate of the rules max, sigma and quantile, in this order where some tie (the rule by which the line
    clearance study drew its curves); the threshold of the best F1; the published code's, of the best TPR - FPR.

    Args:
        scores: finite, [n]. labels: [n], 1 = anomalous.
        rules: thresholds from normal pictures by name.

    Returns nothing where a class is missing.
    Raises InputError for NaN or infinite scores, other labels or shapes that differ.

    Source: Youden (1950) and the published code, metrics.py, for the last.
    """
    scores = checked_scores(scores).astype(np.float64)
    positive = checked_labels(labels, scores.shape)
    if positive.all() or not positive.any():
        return []
    found = []
    tried = [name for name in ("max", "sigma", "quantile") if name in rules]
    if tried:
        best = max(tried, key=lambda name: at_threshold(scores, labels, rules[name]).accuracy)
        found.append(Labelled(f"most accurate of {', '.join(tried)}: {best}", rules[best]))
    # Both say score >= threshold.
    for name, threshold in (
        ("best F1", ranking(scores, labels).f1_threshold),
        ("largest TPR - FPR (Youden, published code)", youden_threshold(scores, labels)),
    ):
        found.append(Labelled(name, float(np.nextafter(threshold, -np.inf)) if np.isfinite(threshold) else threshold))
    return found


def per_defect(
    maps: Any, scores: Any, labels: Any, masks: Any, has_mask: Any, defects: Sequence[str],
    *, threshold: float, pixel_threshold: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row for each kind of defect, its pictures against all good ones, and first one for all kinds together.

    defect, images, found, missed, recall; accuracy, precision, f1, false_alarms of these and all good pictures; iou at
    the pixel threshold; the figures of ``METRICS``. NaN where undefined. Kinds come with the most missed first.

    Args:
        maps: finite, [n, h, w]. scores: finite, [n]. labels: [n], 1 = anomalous. masks: bool [n, h, w].
        has_mask: bool [n]. defects: n kinds; those of good pictures do not matter.
        threshold: of scores. pixel_threshold: of pixels.

    Raises InputError as ``evaluate_maps``, and for a number of kinds other than n.
    """
    maps, masks, known = np.asarray(maps), np.asarray(masks), np.asarray(has_mask, bool)
    scores = checked_scores(scores)
    positive, kinds = checked_labels(labels, scores.shape), np.asarray(defects, object)
    if kinds.shape != scores.shape:
        raise InputError(f"defects: expected {scores.size} kinds, one a score, got {kinds.size}")

    def row(name: str, of_kind: np.ndarray) -> dict[str, Any]:
        rows = of_kind | ~positive
        some = (scores[rows], positive[rows])
        counts = at_threshold(*some, threshold)
        return {
            "defect": name, "images": int(of_kind.sum()), "found": counts.hits, "missed": counts.misses,
            "recall": counts.recall, "false_alarms": counts.false_alarms, "accuracy": counts.accuracy,
            "precision": counts.precision, "f1": counts.f1,
            "iou": iou_at(maps[rows], masks[rows], known[rows], pixel_threshold),
            **evaluate_maps(maps[rows], *some, masks[rows], known[rows]),
        }  # fmt: skip

    names = sorted({str(kind) for kind in kinds[positive]})
    each = [row(name, positive & (kinds == name)) for name in names]
    each.sort(key=lambda found: (-found["missed"], found["defect"]))
    return [row(ALL, positive), *each] if names else []


class Curves(NamedTuple):
    """Of image scores and of pixels, at rising recall, everything being called anomalous at the end; each may be empty.
    iou: of the pixels at ``threshold``."""

    image_recall: np.ndarray
    image_precision: np.ndarray
    pixel_recall: np.ndarray
    pixel_precision: np.ndarray
    threshold: np.ndarray
    iou: np.ndarray


def curves(maps: Any, scores: Any, labels: Any, regions: Regions, *, most: int = 400) -> Curves:
    """Precision over recall, of images and of pixels, and IoU over the pixel threshold.

    precision = tp / (tp + fp), recall = tp / positives, IoU = tp / (positives + fp)

    Args:
        maps: finite, [n, h, w], of the images ``regions`` was made from. scores: finite, [n]. labels: [n].
        regions: ``label_regions`` of the masks.
        most: points of a curve of pixels at most, evenly over its recall.

    Raises InputError for NaN or infinite maps or scores, other labels or shapes that differ.
    """
    scores = checked_scores(scores)
    positive = checked_labels(labels, scores.shape)
    image, pixel = operating_points(scores[positive], scores[~positive]), pixel_curve(maps, regions)
    if not image.n_pos or not image.n_neg:
        image = operating_points(scores[:0], scores[:0])
    k = pixel.tp.size
    at = np.unique(np.linspace(0, k - 1, min(k, most)).round().astype(int)) if k else np.zeros(0, int)
    tp, fp = pixel.tp[at], pixel.fp[at]

    def ended(shares: np.ndarray, curve: Curve, last: float) -> np.ndarray:
        return np.append(shares, last) if curve.n_pos else shares

    return Curves(
        image_recall=ended(image.tp / max(image.n_pos, 1), image, 1.0),
        image_precision=ended(image.tp / np.maximum(image.tp + image.fp, 1), image, _share(image)),
        pixel_recall=ended(tp / max(pixel.n_pos, 1), pixel, 1.0),
        pixel_precision=ended(tp / np.maximum(tp + fp, 1), pixel, _share(pixel)),
        threshold=pixel.threshold[at].astype(np.float64),
        iou=tp / np.maximum(pixel.n_pos + fp, 1),
    )


def _share(curve: Curve) -> float:
    """Of the positives among all."""
    return curve.n_pos / max(curve.n_pos + curve.n_neg, 1)
