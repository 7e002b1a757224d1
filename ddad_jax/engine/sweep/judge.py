"""One costly point, judged: from its evidence to the rows of its cheap points, and what the report shows."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.data.read import read_full
from ddad_jax.engine.data.splits import Data, own_normal
from ddad_jax.engine.data.view import View
from ddad_jax.engine.methods.measured import Constants, Mapped, Measured, MeasuredPictures
from ddad_jax.engine.methods.method import Fitted
from ddad_jax.engine.methods.point import Cheap, Costly, Point, point_settings
from ddad_jax.engine.methods.scored import Scored, judged_maps
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.sweep import selected
from ddad_jax.engine.verdicts.thresholds import Normal, thresholds_of
from ddad_jax.image import centre_crop
from ddad_jax.metrics import METRICS, evaluate_maps, label_regions, reference_pixel_auroc, reference_pro
from ddad_jax.metrics.at_threshold import at_threshold, iou_at

log = logging.getLogger(__name__)


class Truth(NamedTuple):
    """What is known of the n pictures of a run, in the order of ``Data.sets``.

    The first ``n_scale`` are the held-out normal ones that constants rest on, those of ``calibrating`` give thresholds,
    those from ``first_test`` on are test pictures. own: ``own_normal`` of all before these. labels: int [m] of the m
    test pictures; masks: [m, h, w], cropped as configured; known: bool [m], which of them have one; regions:
    ``label_regions`` of them. on_synthetic: ``synthetic_judge``, or None. view: mask and tiles of the pictures.
    recordings: of those of ``calibrating``, as of ``Data``.
    """

    n_scale: int
    calibrating: slice
    first_test: int
    own: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    known: np.ndarray
    regions: Any
    on_synthetic: Callable[[np.ndarray, np.ndarray], dict[str, float]] | None
    view: View
    recordings: Sequence[str] = ()

    def watched(self, masked: bool, crop: int) -> np.ndarray | None:
        """bool [h, w] of what a masked point can see of a map, cropped alike; None: everything."""
        seen = self.view.watched if masked else None
        return None if seen is None else centre_crop(seen[None], crop)[0]


class Shown(NamedTuple):
    """What the report shows of the selected point: its workdir, the point, and what made it."""

    workdir: Path
    point: Point
    made_with: dict[str, Any]

    def is_there(self) -> bool:
        return selected.holds_selected(*self)


def truth_of(c: Settings, data: Data) -> Truth:
    masks, known = centre_crop(data.test.masks, c.score.crop), data.test.has_mask
    return Truth(
        n_scale=len(data.scale.labels),
        calibrating=data.calibrating,
        first_test=sum(len(s.labels) for s in data.sets[:-1]),
        own=own_normal(data),
        labels=data.test.labels,
        masks=masks,
        known=known,
        regions=label_regions(masks, known),
        on_synthetic=synthetic_judge(c, data),
        view=data.view,
        recordings=data.calibration_recordings,
    )


def scored_maps(c: Settings, truth: Truth, mapped: Mapped) -> Scored:
    """The pictures at a point, from its maps."""
    return judged_maps(mapped, truth.n_scale, truth.own, truth.view.watched, c.score.crop)


def scored(
    c: Settings, truth: Truth, fitted: Fitted, pictures: MeasuredPictures, evidence: Any, points: Sequence[Cheap]
) -> Iterator[Scored]:
    """The pictures at each of the points, one after another."""
    # Not a loop, whose variable would keep the maps as they came while those that are judged are looked at.
    return map(partial(scored_maps, c, truth), fitted.maps(evidence, points, pictures))


def metrics_of(c: Settings, truth: Truth, scored: Scored, *, before: bool = False) -> dict[str, float]:
    """Of the test pictures and, where a point is chosen by them, of the synthetic defects; NaN of what diverged.

    before: whether the distances were masked.
    """
    first = truth.first_test
    maps, scores, known = scored.maps[first:], scored.scores[first:], truth.known
    metrics = dict.fromkeys(METRICS, float("nan"))
    if scored.finite:
        metrics = evaluate_maps(maps, scores, truth.labels, truth.masks, known, regions=truth.regions)
        if method_of(c).published(c):
            metrics |= published_metrics(maps[known], truth.masks[known])
    if c.at_threshold:
        metrics |= _at_threshold(c, truth, scored, before)
    if truth.on_synthetic:
        metrics |= truth.on_synthetic(scored.maps, scored.scores)
    return metrics


AT_THRESHOLD = (
    "threshold",
    "pixel_threshold",
    "missed",
    "false_alarms",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "iou",
)
"""What a row says besides where ``at_threshold`` asks for it; the thresholds rest on held-out normal pictures alone."""


def _at_threshold(c: Settings, truth: Truth, scored: Scored, before: bool) -> dict[str, float]:
    """``AT_THRESHOLD`` of the test pictures; NaN of what diverged. before: whether distances were masked."""
    if not scored.finite:
        return dict.fromkeys(AT_THRESHOLD, float("nan"))
    at, first = truth.calibrating, truth.first_test
    watched = truth.watched(before or scored.point.mask_after, c.score.crop)
    normal = Normal(scored.scores[at], scored.maps[at], len(scored.scores[at]), watched, 0.0, truth.recordings)
    set_by_normal = thresholds_of(c.threshold, normal)
    image, pixel = set_by_normal.score, set_by_normal.of_pixels
    shares = at_threshold(scored.scores[first:], truth.labels, image.value)
    overlap = iou_at(scored.maps[first:], truth.masks, truth.known, pixel.value)
    counted = (image.value, pixel.value, float(shares.misses), float(shares.false_alarms))
    values = (*counted, shares.accuracy, shares.precision, shares.recall, shares.f1, overlap)
    return dict(zip(AT_THRESHOLD, values, strict=True))


def row_of(
    c: Settings, truth: Truth, measured: Measured, scored: Scored, tiles: int, made: Mapping[str, Any]
) -> dict[str, Any]:
    """The row of one point.

    Args:
      tiles: of a picture. made: what it says of how it was made (``journal.made_with``).
    """
    point = Point(measured.costly, scored.point)
    settings = point_settings(*point)
    if not scored.finite:
        log.warning("%s: maps are not finite, so its metrics are left empty", settings)
    metrics = metrics_of(c, truth, scored, before=point.masks_before)
    cost = {"ms_per_image": 1e3 * tiles * float(measured.seconds.mean())}
    return {**settings, **metrics, **cost, **measured.columns, **scored.columns, **made}


def shown_of(
    workdir: Path, point: Point | None, fitted: Fitted, made: Mapping[Costly, Mapping[str, Any]]
) -> Shown | None:
    """Of the selected point; None while none is."""
    if point is None:
        return None
    # The settings say what times it visits, but those of grids that were found.
    columns = {name: value for name, value in made[point.costly].items() if name != "times"}
    times = {"times": made[point.costly]["times"]} if "times" in fitted.asks(point.costly) else {}
    return Shown(workdir, point, {**columns, **times})


def show(
    shown: Shown, truth: Truth, fitted: Fitted, pictures: MeasuredPictures, measured: Measured, scored: Scored
) -> None:
    """Keep what the report shows of the selected point and what its verdicts need; nothing of one that diverged."""
    if not scored.finite:
        selected.remove_selected(shown.workdir)
        return
    view = truth.view
    watched = view.watched if shown.point.masks else None
    reference = read_full(view.reference) if view.reference else None
    selected.save_constants(*shown, Constants(scored.spread, measured.constants, watched, reference))
    beside = fitted.shown(measured.evidence, shown.point, pictures)
    selected.save_selected(*shown, scored.maps, scored.scores, beside, truth.calibrating, truth.first_test)


SYNTHETIC = ("image_auroc", "pixel_auroc", "aupro_30")
"""Metrics that a row also has on the synthetic defects, as ``synthetic_...``."""


def synthetic_judge(c: Settings, data: Data) -> Any:
    """(maps, scores) of all images -> metrics of the synthetic ones, for a row.

    Not numbers where one of those that choose diverged; what calibration and test images do is not looked at.
    """
    if data.choice is None:
        return None
    labels, known = (np.concatenate([getattr(s, name) for s in data.choosing]) for name in ("labels", "has_mask"))
    masks = centre_crop(np.concatenate([s.masks for s in data.choosing]), c.score.crop)
    regions = label_regions(masks, known)

    def judge(maps: np.ndarray, scores: np.ndarray) -> dict[str, float]:
        maps, scores = maps[: len(labels)], scores[: len(labels)]
        finite = np.isfinite(scores).all()
        metrics = evaluate_maps(maps, scores, labels, masks, known, regions=regions) if finite else {}
        return {f"synthetic_{name}": metrics.get(name, float("nan")) for name in SYNTHETIC}

    return judge


def published_metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """The published code's pixel AUROC and PRO beside ours, in the ``reference`` behaviour.

    Deviation: its masks keep grey rims, which our loaders do not: both metrics see binarised masks here.
    """
    return {
        "published_pixel_auroc": reference_pixel_auroc(maps, masks),
        "published_pro": reference_pro(maps, masks).pro,
    }
