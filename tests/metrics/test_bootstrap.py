"""Redrawn test sets: one that is the set itself has its own metrics, and the AUROC's interval is the one we have."""

import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.metrics import auroc_interval, ranking
from ddad_jax.metrics.at_threshold import at_threshold
from ddad_jax.metrics.bootstrap import REDRAWN, _metrics, redrawn_metrics


def pictures(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = (rng.random(n) < 0.4).astype(int)
    return np.round(rng.normal(labels, 1.0), 1), labels  # rounded, so that some tie


def test_the_set_itself_has_its_own_metrics() -> None:
    scores, labels = pictures()
    once = np.stack([labels, 1 - labels])[:, None].astype(float)
    found, counts = _metrics(scores, once, 0.4), at_threshold(scores, labels, 0.4)
    own = ranking(scores, labels)
    expected = (own.auroc, own.ap, counts.recall, counts.precision, counts.f1, counts.accuracy)
    np.testing.assert_allclose([found[name][0] for name in REDRAWN], expected, rtol=1e-12)


def test_the_interval_of_the_auroc_is_that_of_auroc_interval() -> None:
    scores, labels = pictures()
    draws = redrawn_metrics(scores, labels, 0.0, seed=0, resamples=4000)["image_auroc"]
    expected = auroc_interval(scores, labels, seed=1, resamples=4000)
    np.testing.assert_allclose(np.quantile(draws, [0.025, 0.975]), expected, atol=0.01)


def test_draws_of_two_methods_count_the_same_pictures() -> None:
    scores, labels = pictures()
    first, second = (redrawn_metrics(s, labels, 0.0, seed=3) for s in (scores, 2.0 * scores))
    np.testing.assert_array_equal(first["image_auroc"], second["image_auroc"])


def test_a_missing_class_is_refused() -> None:
    with pytest.raises(InputError, match="0 anomalous and 2 good"):
        redrawn_metrics([0.0, 1.0], [0, 0], 0.5, seed=0)
