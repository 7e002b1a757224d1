"""What a search is judged by: held-out normal pictures and synthetic defects on them. It is given no test picture."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ddad_jax.data.split import subset
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.evidence import starts_of
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.method import Point
from ddad_jax.engine.sweep.judge import scored, truth_of
from ddad_jax.errors import InputError
from ddad_jax.points import GridKey, ReconPoint, ScorePoint
from ddad_jax.sweep import Distances, PairProgram, sweep_distances
from ddad_jax.timesteps import TimeGrid

Judge = Callable[[Sequence[Point]], list[dict[str, float]]]
"""points -> their metrics on the synthetic defects, each the mean over the seeds; NaN where a point diverged."""


def without_test(data: Data) -> Data:
    """``data`` with no test pictures: what is not there decides nothing.

    Raises:
      InputError: no held-out pictures, or no synthetic defects on them.
    """
    if not len(data.calibration.labels) or data.choice is None or not len(data.choice.defects.labels):
        raise InputError(
            f"{data.name}: no held-out pictures with synthetic defects to search on; raise --config.data.held_out and "
            "--config.synthetic_defects in a new workdir"
        )
    return data._replace(test=subset(data.test, []))


def judge_of(
    c: DDADSettings,
    data: Data,
    program: PairProgram,
    grids: Mapping[GridKey, TimeGrid],
    *,
    heard: bool = True,
) -> Judge:
    """Reconstructs the held-out pictures, those trained on that fill them up, and the defects, at every point.

    Distances of the last reconstructions are kept: a batch that only differs in v or sigma reconstructs nothing.

    Args:
      data: ``without_test``.
      heard: whether this process judges; the others of a run only reconstruct their share.
    """
    images, truth = data.shown, truth_of(c, data)
    kept: dict[ReconPoint, Distances] = {}
    how: dict[str, Any] = {"chunk": c.sample.batch_size, "watched": data.watched, "timer": time.perf_counter}

    def reconstructed(points: Sequence[ReconPoint]) -> None:
        wanted = [point for point in dict.fromkeys(points) if point not in kept]
        for old in kept.keys() - set(points):
            del kept[old]
        starts = starts_of(program, images, wanted, truth.n_held_out, **how)
        for point, found in sweep_distances(program, images, wanted, optimised=grids, starts=starts.times, **how):
            kept[point] = found._replace(seconds=found.seconds + starts.seconds.get(point, 0.0))

    def judge(points: Sequence[Point]) -> list[dict[str, float]]:
        each = [[(seeded, score) for seeded in _seeds(c, recon)] for recon, score in points]
        reconstructed([recon for own in each for recon, _ in own])
        if not heard:
            return [{} for _ in points]
        found = {}
        scores: dict[ReconPoint, list[ScorePoint]] = {}
        for recon, score in (pair for own in each for pair in own):
            scores.setdefault(recon, []).append(score)
        for recon, asked in scores.items():
            # Of one width of the blur together: it is done once for them.
            for one in scored(c, truth, kept[recon], sorted(dict.fromkeys(asked), key=lambda s: s.sigma)):
                assert truth.on_synthetic
                metrics = truth.on_synthetic(one.maps, one.scores)
                metrics["ms_per_image"] = 1e3 * float(kept[recon].seconds.mean())
                found[recon, one.point] = metrics
        return [{name: float(np.mean([found[pair][name] for pair in own])) for name in found[own[0]]} for own in each]

    return judge


def _seeds(c: DDADSettings, point: ReconPoint) -> list[ReconPoint]:
    """The point with every seed of the sweep; once where nothing is random."""
    if point.eta == 0 and point.start_noise == 0:
        return [point]
    return [point._replace(seed=seed) for seed in dict.fromkeys(c.sweep.seed)]


def worth_of(metrics: Mapping[str, float], quantum: float) -> float:
    """Image AUROC, and among equals AUPRO: AUROC + 0.999 quantum AUPRO.

    quantum: the smallest difference of two image AUROCs, so that no AUPRO outweighs one; NaN of what diverged.
    """
    return metrics["synthetic_image_auroc"] + 0.999 * quantum * metrics["synthetic_aupro_30"]


def quantum_of(c: DDADSettings, data: Data) -> float:
    """Of ``worth_of``: with P defects, N normal pictures and S seeds an AUROC is a multiple of 1 / (2 P N S)."""
    labels = np.concatenate([s.labels for s in data.sets[:-1]])
    positive = int(labels.sum())
    return 1.0 / (2 * positive * (len(labels) - positive) * len(set(c.sweep.seed)))
