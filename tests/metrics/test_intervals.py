"""The bootstrap interval: seeded, centred, as wide as it says."""

import math

import numpy as np
import pytest
import scipy

from ddad_jax.errors import InputError
from ddad_jax.metrics import auroc, auroc_interval
from ddad_jax.metrics.intervals import share_interval


def draw(rng: np.random.Generator, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(2 * n) < n
    return rng.standard_normal(2 * n) + labels, labels


def test_is_what_resampling_one_by_one_gives():
    scores, labels = draw(np.random.default_rng(0), 20)
    scores = np.round(scores, 1)  # with ties
    rng = np.random.default_rng(1)
    p, q = scores[labels], scores[~labels]
    slow = [
        auroc(np.r_[rng.choice(p, p.size), rng.choice(q, q.size)], np.arange(p.size + q.size) < p.size)
        for _ in range(3000)
    ]
    found = auroc_interval(scores, labels, seed=2, resamples=20000)
    np.testing.assert_allclose(found, np.quantile(slow, [0.025, 0.975]), atol=0.015)


def test_covers_the_truth_about_as_often_as_it_says():
    truth = 0.5 * (1 + math.erf(0.5))  # Phi(1 / sqrt 2) for unit normals one apart
    rng = np.random.default_rng(3)
    runs = [auroc_interval(*draw(rng), seed=i, level=0.9, resamples=400) for i in range(200)]
    assert 0.82 < np.mean([low <= truth <= high for low, high in runs]) < 0.96


@pytest.mark.parametrize(("truth", "n"), [(0.03, 30), (0.2, 30), (0.5, 9)])
def test_a_share_is_covered_at_least_as_often_as_it_says(truth: float, n: int):
    """Exactly, by the binomial distribution: no draw."""
    covered = [low <= truth <= high for low, high in (share_interval(k, n, level=0.9) for k in range(n + 1))]
    assert scipy.stats.binom.pmf(np.flatnonzero(covered), n, truth).sum() >= 0.9


def test_a_share_at_its_ends_and_bad_counts():
    assert share_interval(0, 20) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert share_interval(20, 20) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    for k, n, level in ((-1, 3, 0.95), (4, 3, 0.95), (0, 0, 0.95), (1, 3, 1.0)):
        with pytest.raises(InputError, match="expected 0 <= k <= n"):
            share_interval(k, n, level=level)


def test_same_seed_same_interval_and_wider_level_wider_interval():
    scores, labels = draw(np.random.default_rng(4))
    narrow, wide = (auroc_interval(scores, labels, seed=0, level=level) for level in (0.5, 0.99))
    assert narrow == auroc_interval(scores, labels, seed=0, level=0.5)
    assert wide[0] < narrow[0] < auroc(scores, labels) < narrow[1] < wide[1]


def test_edges_and_bad_input():
    assert auroc_interval([0.0, 0.1, 1.0, 1.1], [0, 0, 1, 1], seed=0) == (1.0, 1.0)
    assert all(math.isnan(v) for v in auroc_interval([0.0, 1.0], [1, 1], seed=0))
    for options in ({"level": 1.0}, {"level": 0.0}, {"resamples": 0}):
        with pytest.raises(InputError, match="level"):
            auroc_interval([0.0, 1.0], [0, 1], seed=0, **options)
    with pytest.raises(InputError, match="NaN or infinite"):
        auroc_interval([0.0, math.inf], [0, 1], seed=0)
