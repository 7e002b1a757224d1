"""One reconstruction point, judged: from its distances to the rows of its score points, and what the report shows."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from ddad_jax.metrics import METRICS, evaluate_maps, label_regions
from ddad_jax.points import OPTIMISED, ReconPoint, ScorePoint
from ddad_jax.sweep import Distances
from experiments import selected
from experiments.first_passes import Starts
from experiments.journal import MadeWith
from experiments.model import Data
from experiments.plan import Point, settings_of
from experiments.scoring import Prepared, cropped, own_normal, prepare, published_metrics, score_maps, synthetic_judge

log = logging.getLogger(__name__)


class Truth(NamedTuple):
    """What is known of the n pictures of a run, in the order of ``Data.sets``.

    The first ``n_held_out`` are held-out normal ones, those from ``first_test`` on test pictures. own: ``own_normal``
    of all before these. labels: int [m] of the m test pictures; masks: [m, h, w], cropped as configured; known: bool
    [m], which of them have one; regions: ``label_regions`` of them. on_synthetic: ``synthetic_judge``, or None.
    """

    n_held_out: int
    first_test: int
    own: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    known: np.ndarray
    regions: Any
    on_synthetic: Callable[[np.ndarray, np.ndarray], dict[str, float]] | None


class Scored(NamedTuple):
    """All pictures at one score point. maps: [n, h, w], cropped as configured; scores: [n]; ratio: [n], of
    ``scoring.Prepared``."""

    point: ScorePoint
    maps: np.ndarray
    scores: np.ndarray
    ratio: np.ndarray

    @property
    def finite(self) -> bool:
        """False where the reconstruction diverged."""
        return bool(np.isfinite(self.scores).all())


class Shown(NamedTuple):
    """What the report shows of the selected point: the file, the point, and what made it."""

    path: Path
    point: Point
    made_with: dict[str, Any]

    def is_there(self) -> bool:
        return selected.holds(self.path, self.point, self.made_with)


def truth_of(c: ConfigDict, data: Data) -> Truth:
    masks, known = cropped(data.test.masks, c.score.crop), data.test.has_mask
    return Truth(
        n_held_out=len(data.calibration.labels),
        first_test=sum(len(s.labels) for s in data.sets[:-1]),
        own=own_normal(data),
        labels=data.test.labels,
        masks=masks,
        known=known,
        regions=label_regions(masks, known),
        on_synthetic=synthetic_judge(c, data),
    )


def scored(c: ConfigDict, truth: Truth, distances: Distances, points: Sequence[ScorePoint]) -> Iterator[Scored]:
    """The pictures at each of the points, one after another: what v does not touch is kept for those that follow."""
    prepared: dict[tuple, Prepared] = {}
    for point in points:
        side = (point.layers, point.sigma)
        if side not in prepared:
            prepared = {side: prepare(c, distances, truth.n_held_out, truth.first_test, *side)}
        maps, scores = score_maps(c, prepared[side], truth.n_held_out, truth.own, point)
        yield Scored(point, maps, scores, prepared[side].ratio)


def metrics_of(c: ConfigDict, truth: Truth, found: Scored) -> dict[str, float]:
    """Of the test pictures and, where a point is chosen by them, of the synthetic defects; NaN of what diverged."""
    first = truth.first_test
    maps, scores, known = found.maps[first:], found.scores[first:], truth.known
    metrics = dict.fromkeys(METRICS, float("nan"))
    if found.finite:
        metrics = evaluate_maps(maps, scores, truth.labels, truth.masks, known, regions=truth.regions)
        if c.score.normalise == "batch":
            metrics |= published_metrics(maps[known], truth.masks[known])
    if truth.on_synthetic:
        metrics |= truth.on_synthetic(found.maps[:first], found.scores[:first])
    return metrics


def sampling_of(point: ReconPoint, distances: Distances, starts: Starts, times: str, first_test: int) -> dict[str, Any]:
    """What every row of a reconstruction point says of how it was come by: cost, first pass included, and times."""
    risen = {"t_prime_mean": float(starts.times[point][first_test:].mean())} if point in starts.times else {}
    return {
        "ms_per_image": 1e3 * float((distances.seconds + starts.seconds.get(point, 0.0)).mean()),
        "unet_calls": point.calls,
        "whole_calls": point.whole_calls,
        "times": times,
        **risen,
    }


def row_of(
    c: ConfigDict, truth: Truth, point: ReconPoint, found: Scored, sampling: Mapping[str, Any], made: Mapping[str, Any]
) -> dict[str, Any]:
    """The row of one point of both grids.

    Args:
      sampling: ``sampling_of``, and how far its reconstructions are from a teacher's; made: ``MadeWith.of`` its model.
    """
    settings = settings_of(point, found.point)
    if not found.finite:
        log.warning("%s: maps are not finite, so its metrics are left empty", settings)
    ratio = float(found.ratio[truth.first_test :].mean())
    return {**settings, **metrics_of(c, truth, found), **sampling, "ratio": ratio, **made}


def shown_of(workdir: Path, point: Point | None, made: MadeWith) -> Shown | None:
    """Of the selected point; None while none is."""
    if point is None:
        return None
    recon = point[0]
    # Of other grids the settings say what times they visit.
    times = {"times": made.times[recon]} if recon.grid == OPTIMISED else {}
    return Shown(workdir / "selected.npz", point, {**made.of(recon.model), **times})


def show(shown: Shown, truth: Truth, found: Scored, distances: Distances) -> None:
    """Keep what the report shows of the selected point; nothing of one that diverged."""
    if not found.finite:
        shown.path.unlink(missing_ok=True)
        return
    selected.save_selected(*shown, found.maps, found.scores, distances, truth.n_held_out, truth.first_test)
