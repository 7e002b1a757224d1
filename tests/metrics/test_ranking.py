"""AUROC, AP and best F1: what they are, what leaves them alone, what they refuse."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from ddad_jax.errors import InputError
from ddad_jax.metrics import auroc, average_precision, max_f1, ranking


def draw(seed: int, n: int = 200, levels: int | None = None, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < share
    labels[:2] = False, True
    scores = (rng.standard_normal(n) + labels).astype(np.float32)
    return (np.round(scores * levels) / levels if levels else scores), labels


@pytest.mark.parametrize("levels", [None, 1, 4])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_agrees_with_an_independent_implementation(levels, share):
    for seed in range(5):
        scores, labels = draw(seed, levels=levels, share=share)
        found = ranking(scores, labels)
        np.testing.assert_allclose(found.auroc, sk.roc_auc_score(labels, scores), rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.ap, sk.average_precision_score(labels, scores), rtol=0, atol=1e-12)
        f1 = {t: sk.f1_score(labels, scores >= t) for t in np.unique(scores)}
        best = max(f1.values())
        assert math.isclose(found.max_f1, best, abs_tol=1e-12)
        assert found.f1_threshold == max(t for t, f in f1.items() if math.isclose(f, best, abs_tol=1e-12))


@pytest.mark.parametrize("transform", [lambda s: 3 * s - 7, lambda s: np.exp2(s.astype(np.float64)), np.cbrt])
def test_monotone_transforms_of_the_score_change_nothing_but_the_threshold(transform):
    scores, labels = draw(0, levels=8)
    assert ranking(transform(scores), labels)[:3] == ranking(scores, labels)[:3]


def test_order_and_shape_of_the_samples_do_not_matter():
    scores, labels = draw(1, levels=3)
    order = np.random.default_rng(0).permutation(scores.size)
    assert ranking(scores[order], labels[order]) == ranking(scores, labels)
    assert ranking(scores.reshape(5, 8, 5), labels.reshape(5, 8, 5)) == ranking(scores, labels)


def test_reversing_the_score_mirrors_auroc():
    scores, labels = draw(2, levels=4)
    assert math.isclose(auroc(-scores, labels), 1 - auroc(scores, labels), abs_tol=1e-15)


def test_simple_truths():
    assert ranking([1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1]) == (1.0, 1.0, 1.0, 3.0)
    assert ranking([5.0, 5.0, 5.0, 5.0], [0, 1, 0, 1]) == (0.5, 0.5, 2 / 3, 5.0)
    assert auroc([0.0, -0.0], [0, 1]) == 0.5  # minus zero is zero
    assert average_precision([3.0, 2.0, 1.0], [1, 0, 1]) == (1 + 2 / 3) / 2
    # One of two found without a false alarm (at 4), or both with two (at 1): F1 = 2/3 either way.
    assert max_f1([4.0, 3.0, 2.0, 1.0], [1, 0, 0, 1]) == (2 / 3, 4.0)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8])
def test_any_real_dtype_ranks_alike(dtype):
    scores = np.array([3, 1, 2, 2, 7, 0]).astype(dtype)
    assert ranking(scores, [1, 0, 1, 0, 1, 0]) == ranking(scores.astype(np.float32), [1, 0, 1, 0, 1, 0])


@pytest.mark.parametrize("labels", [np.zeros(5), np.ones(5), np.zeros(0)])
def test_a_missing_class_gives_nan(labels):
    assert all(math.isnan(value) for value in ranking(np.arange(labels.size, dtype=np.float32), labels))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_cannot_be_ranked_are_refused(bad):
    with pytest.raises(InputError, match=r"1 of 3 values.*\(1,\)"):
        ranking([0.0, bad, 1.0], [0, 1, 1])


def test_shapes_labels_and_types_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"expected shape \(3,\)"):
        ranking([0.0, 1.0, 2.0], [0, 1])
    with pytest.raises(InputError, match="expected 0"):
        ranking([0.0, 1.0, 2.0], [0, 1, 2])
    with pytest.raises(InputError, match="real numbers"):
        ranking(["a", "b"], [0, 1])
