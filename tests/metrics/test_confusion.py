"""Counts at a threshold."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from ddad_jax.errors import InputError
from ddad_jax.metrics import confusion


def test_agrees_with_an_independent_implementation():
    rng = np.random.default_rng(0)
    labels = rng.random(100) < 0.4
    scores = np.round(rng.standard_normal(100) + labels, 1)
    for threshold in (-0.5, 0.0, 0.7, 2.0):
        called, found = scores >= threshold, confusion(scores, labels, threshold)
        assert math.isclose(found.accuracy, sk.accuracy_score(labels, called))
        assert math.isclose(found.precision, sk.precision_score(labels, called))
        assert math.isclose(found.recall, sk.recall_score(labels, called))
        assert math.isclose(found.f1, sk.f1_score(labels, called))
        table = [[found.passes, found.false_alarms], [found.misses, found.hits]]
        assert sk.confusion_matrix(labels, called).tolist() == table


def test_a_score_at_the_threshold_is_anomalous():
    assert confusion([1.0, 2.0], [0, 1], 2.0)[-4:] == (1, 0, 0, 1)


def test_shares_of_nothing_are_nan():
    nothing_called = confusion([1.0, 2.0], [0, 1], math.inf)
    assert math.isnan(nothing_called.precision) and nothing_called.recall == 0 and nothing_called.f1 == 0
    only_good = confusion([1.0, 2.0], [0, 0], 5.0)
    assert math.isnan(only_good.recall) and math.isnan(only_good.f1) and only_good.accuracy == 1


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="threshold"):
        confusion([1.0], [1], math.nan)
    with pytest.raises(InputError, match="NaN or infinite"):
        confusion([math.nan], [1], 0.0)
    with pytest.raises(InputError, match="expected shape"):
        confusion([1.0, 2.0], [1], 0.0)
