"""What a search is judged by: held-out normal pictures and synthetic defects on them. It is given no test picture."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ddad_jax.data.split import subset
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.measured import Measured
from ddad_jax.engine.methods.method import Fitted
from ddad_jax.engine.methods.point import Cheap, Costly, Point
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.sweep.judge import scored, truth_of
from ddad_jax.engine.sweep.rows import measured_pictures
from ddad_jax.errors import InputError

Judge = Callable[[Sequence[Point]], list[dict[str, float]]]
"""points -> their metrics on the synthetic defects, each the mean over the seeds; NaN where a point diverged."""


def without_test(data: Data) -> Data:
    """``data`` with no test pictures: what is not there decides nothing.

    Raises:
      InputError: no held-out pictures, or no synthetic defects on them.
    """
    if not len(data.scale.labels) or data.choice is None or not len(data.choice.defects.labels):
        raise InputError(
            f"{data.name}: no held-out pictures with synthetic defects to search on; raise --config.data.held_out and "
            "--config.synthetic_defects in a new workdir"
        )
    return data._replace(test=subset(data.test, []))


def judge_of(c: Settings, data: Data, fitted: Fitted, *, heard: bool = True) -> Judge:
    """Measures the held-out pictures that choose, those trained on that fill them up, and the defects, at every point.

    What was measured last is kept: a batch that only differs in cheap settings measures nothing.

    Args:
      data: ``without_test``.
      heard: whether this process judges; the others of a run only measure their share.
    """
    if data.tuning is not None:
        # What gives the threshold of the point chosen decides nothing either.
        data = data._replace(calibration=subset(data.calibration, []))
    pictures, truth = measured_pictures(data), truth_of(c, data)
    kept: dict[Costly, Measured] = {}

    def measure(points: Sequence[Costly]) -> None:
        wanted = [point for point in dict.fromkeys(points) if point not in kept]
        for old in kept.keys() - set(points):
            del kept[old]
        for measured in fitted.measure(pictures, wanted):
            kept[measured.costly] = measured

    def judge(points: Sequence[Point]) -> list[dict[str, float]]:
        each = [[Point(seeded, cheap) for seeded in seeds_of(c, costly)] for costly, cheap in points]
        measure([costly for own in each for costly, _ in own])
        if not heard:
            return [{} for _ in points]
        found = {}
        cheap_of: dict[Costly, list[Cheap]] = {}
        for costly, cheap in (pair for own in each for pair in own):
            cheap_of.setdefault(costly, []).append(cheap)
        for costly, asked in cheap_of.items():
            # Of one width of the blur together: it is done once for them.
            points_ = sorted(dict.fromkeys(asked), key=lambda cheap: cheap.sigma)
            for one in scored(c, truth, fitted, pictures, kept[costly].evidence, points_):
                assert truth.on_synthetic
                metrics = truth.on_synthetic(one.maps, one.scores)
                metrics["ms_per_image"] = 1e3 * float(kept[costly].seconds.mean())
                found[Point(costly, one.point)] = metrics
        return [{name: float(np.mean([found[pair][name] for pair in own])) for name in found[own[0]]} for own in each]

    return judge


def seeds_of(c: Settings, point: Costly) -> list[Costly]:
    """The point with every seed of the sweep; once where nothing is random."""
    if not method_of(c).random(point):
        return [point]
    return [point._replace(seed=seed) for seed in dict.fromkeys(c.sweep.seed)]


def worth_of(metrics: Mapping[str, float], quantum: float) -> float:
    """Image AUROC, and among equals AUPRO: AUROC + 0.999 quantum AUPRO.

    quantum: the smallest difference of two image AUROCs, so that no AUPRO outweighs one; NaN of what diverged.
    """
    return metrics["synthetic_image_auroc"] + 0.999 * quantum * metrics["synthetic_aupro_30"]


def quantum_of(c: Settings, data: Data) -> float:
    """Of ``worth_of``: with P defects, N normal pictures and S seeds an AUROC is a multiple of 1 / (2 P N S)."""
    labels = np.concatenate([s.labels for s in data.choosing])
    positive = int(labels.sum())
    return 1.0 / (2 * positive * (len(labels) - positive) * len(set(c.sweep.seed)))
