"""Is the false-alarm rate that a threshold promises kept once a point was chosen? The chain drawn thousands of times.

A draw: n held-out normal pictures and synthetic defects, scored at P points; the point is chosen by
``choice.best_on_synthetic``, its threshold is ``image_threshold`` of held-out scores, and what it does to new normal
pictures is known exactly, as scores are normal. Point p scores picture i

    s_pi = sqrt(rho) g_i + sqrt(1 - rho) e_pi          normal pictures
    s_pi = m_p + sqrt(rho) g_i + sqrt(1 - rho) e_pi    defects, m_p ~ N(shift, differ^2)

with g, e ~ N(0, 1): rho is how much points agree about a picture, ``differ`` how much they differ in what they find.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from ddad_jax.data import ImageSet
from ddad_jax.data.split import split_held_out
from ddad_jax.engine.methods.method import Apart
from ddad_jax.engine.methods.point import Plan, point_settings
from ddad_jax.engine.sweep.choice import best_on_synthetic
from ddad_jax.errors import InputError
from ddad_jax.metrics import auroc
from ddad_jax.metrics.thresholds import conformal_rank, image_threshold

MOST_DRAWN = 10**10
"""Scores that all draws together may have: about a quarter of an hour."""


class Chain(NamedTuple):
    """held_out: n. points: P. correlation: rho. defects: synthetic ones, as many on each picture that chooses as on
    every other. normals: pictures that choose, filled up with those trained on where fewer are held out, which score
    lower by ``trained``. shift, differ: of the defects. level: alpha. tuning: share of the held-out that chooses where
    those that give the threshold do not."""

    held_out: int = 32
    points: int = 100
    correlation: float = 0.7
    defects: int = 84
    normals: int = 60
    trained: float = 0.5
    shift: float = 1.5
    differ: float = 0.2
    level: float = 0.05
    tuning: float = 0.4


class _Costly(NamedTuple):
    point: int
    seed: int = 0


class _Cheap(NamedTuple):
    sigma: float = 0.0


def chains(each: Sequence[Chain], *, draws: int, seed: int) -> list[dict[str, Any]]:
    """A row for each of ``each`` and each way to use the held-out pictures.

    way: "fixed" (no point is chosen, all give the threshold), "same" (all choose and give it) or "disjoint" (as a run
    splits them, some choose and others give it). chose, calibrate: pictures that do. at_most: what the rank promises.
    rate: share of new normal pictures above the threshold, mean of the draws; error: standard error of that mean.
    keeps: rate <= at_most + 3.29 error. auroc: of the chosen point, on new pictures; best: of the best point. detected:
    share of new defects above the threshold.

    Raises:
      InputError: too many scores in all, or a setting out of range.
    """
    rows = []
    for place, chain in enumerate(each):
        _check(chain, draws)
        rng = np.random.default_rng([seed, place])
        outcomes = [_draw(chain, rng, seed=draw) for draw in range(draws)]
        for way in outcomes[0]:
            rate, own, best, power = (np.array([getattr(draw[way], name) for draw in outcomes]) for name in _MEANS)
            one, error = outcomes[0][way], float(rate.std(ddof=1) / np.sqrt(draws))
            k = conformal_rank(one.calibrate, chain.level) or one.calibrate
            at_most = 1 - k / (one.calibrate + 1)
            rows.append(
                {
                    "way": way, **chain._asdict(), "chose": one.chose, "calibrate": one.calibrate, "at_most": at_most,
                    "rate": float(rate.mean()), "error": error, "keeps": bool(rate.mean() <= at_most + 3.29 * error),
                    "auroc": float(own.mean()), "best": float(best.mean()), "detected": float(power.mean()),
                }
            )  # fmt: skip
    return rows


class _Drawn(NamedTuple):
    chose: int
    calibrate: int
    rate: float
    auroc: float
    best: float
    detected: float


_MEANS = ("rate", "auroc", "best", "detected")


def _draw(chain: Chain, rng: np.random.Generator, seed: int) -> dict[str, _Drawn]:
    """One draw of pictures and points, and what each way makes of it."""

    def scores(n: int) -> np.ndarray:
        shared, own = rng.standard_normal((1, n)), rng.standard_normal((chain.points, n))
        return np.sqrt(chain.correlation) * shared + np.sqrt(1 - chain.correlation) * own

    shift = rng.normal(chain.shift, chain.differ, chain.points)
    normal, trained = scores(chain.held_out), scores(chain.normals) - chain.trained
    defects = scores(chain.defects) + shift[:, None]
    chose, calibrate = _parts(rng, chain, seed)
    every = np.arange(chain.held_out)

    def used(choosing: np.ndarray, calibrating: np.ndarray) -> _Drawn:
        wanting = max(chain.normals - len(choosing), 0)
        sound = np.concatenate([normal[:, choosing], trained[:, :wanting]], axis=1)
        point = _chosen(sound, defects) if len(choosing) else 0
        value = image_threshold(normal[point, calibrating], "conformal", level=chain.level).value
        true = norm.cdf(shift / np.sqrt(2))
        rates = norm.sf(value), norm.sf(value - shift[point])
        return _Drawn(len(choosing), len(calibrating), float(rates[0]), true[point], true.max(), float(rates[1]))

    return {"fixed": used(every[:0], every), "same": used(every, every), "disjoint": used(chose, calibrate)}


def _parts(rng: np.random.Generator, chain: Chain, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the pictures that choose and of the others, as a run parts them."""
    n = chain.held_out
    images, known = rng.integers(0, 256, (n, 4, 4, 3), np.uint8), np.ones(n, bool)
    named = ImageSet(images, np.zeros(n, np.int32), images[..., 0] < 0, known, ("good",) * n, tuple(map(str, range(n))))
    parts = split_held_out(named, share=chain.tuning, seed=seed)
    if parts is None:
        return np.arange(n), np.arange(n)
    tuning, calibration = (np.array([int(name) for name in part.names]) for part in parts)
    return tuning, calibration


def _chosen(normal: np.ndarray, defects: np.ndarray) -> int:
    """The point that a run chooses by these scores, [P, n] and [P, m]."""
    plan = Plan([_Costly(p) for p in range(len(normal))], [_Cheap()], None)
    labels = np.repeat([0, 1], [normal.shape[1], defects.shape[1]])
    rows = [
        {
            **point_settings(point, plan.cheap[0]),
            "synthetic_image_auroc": auroc(np.concatenate([normal[point.point], defects[point.point]]), labels),
            "synthetic_aupro_30": 0.0,
        }
        for point in plan.costly
    ]
    best, _ = best_on_synthetic(plan, rows, Apart(1))
    return int(best.costly.point)


def _check(chain: Chain, draws: int) -> None:
    drawn = draws * chain.points * (chain.held_out + chain.normals + chain.defects)
    if drawn > MOST_DRAWN:
        raise InputError(
            f"{draws} draws of {chain.points} points: {drawn} scores; expected at most {MOST_DRAWN} in all"
        )
    whole = {"held_out": chain.held_out, "points": chain.points, "defects": chain.defects}
    for name, value in whole.items():
        if value < 1:
            raise InputError(f"{name} = {value}: expected 1 or more")
    for name, share in {"correlation": chain.correlation, "level": chain.level, "tuning": chain.tuning}.items():
        if not 0 < share < 1:
            raise InputError(f"{name} = {share}: expected a number between 0 and 1")
