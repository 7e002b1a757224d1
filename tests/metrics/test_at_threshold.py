"""Verdicts counted by hand, kinds against the whole, and thresholds that looked at labels named as such."""

import math

import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.metrics import evaluate_maps, iou, label_regions
from ddad_jax.metrics.at_threshold import (
    ALL,
    at_threshold,
    curves,
    iou_at,
    outcomes,
    per_defect,
    thresholds_by_label,
)

SCORES, LABELS = [0.1, 0.2, 0.5, 0.5, 0.6, 0.9], [0, 0, 0, 1, 1, 1]


def test_a_score_that_equals_the_threshold_passes() -> None:
    counts = at_threshold(SCORES, LABELS, 0.5)
    assert (counts.hits, counts.misses, counts.false_alarms, counts.passes) == (2, 1, 0, 3)
    assert counts.accuracy == 5 / 6 and counts.precision == 1 and counts.recall == 2 / 3 and counts.f1 == 0.8
    assert outcomes(SCORES, LABELS, 0.5) == ["passed", "passed", "passed", "missed", "found", "found"]
    assert outcomes(SCORES, LABELS, 0.3)[2] == "false alarm"


def test_float32_scores_are_compared_with_the_threshold_itself() -> None:
    # Between 0.1 in float32 (0.100000001) and 0.1 in float64 there is room for a verdict.
    assert outcomes(np.float32([0.1]), [1], 0.1) == ["found"]
    assert at_threshold(np.float32([0.1]), [1], 0.1).hits == 1
    assert at_threshold(np.float32([0.1]), [1], float(np.float32(0.1))).hits == 0


def made(seed: int = 0) -> tuple:
    """12 pictures: 4 good, 5 scratched (one without a mask), 3 bent."""
    rng = np.random.default_rng(seed)
    labels = np.array([0] * 4 + [1] * 8)
    defects = ("good",) * 4 + ("scratch",) * 5 + ("bent",) * 3
    masks = np.zeros((12, 10, 10), bool)
    for i in range(4, 12):
        masks[i, i - 3 : i, 2:6] = True
    known = np.ones(12, bool)
    known[8], masks[8] = False, False
    maps = (rng.random((12, 10, 10)) + 0.7 * masks).astype(np.float32)
    return maps, maps.max((1, 2)), labels, masks, known, defects


def test_every_kind_is_judged_with_all_good_pictures() -> None:
    maps, scores, labels, masks, known, defects = made()
    rows = per_defect(*made(), threshold=1.4, pixel_threshold=1.0)
    assert [row["defect"] for row in rows][0] == ALL and {row["defect"] for row in rows[1:]} == {"scratch", "bent"}
    assert rows[0]["images"] == 8 == rows[1]["images"] + rows[2]["images"]
    assert rows[1]["missed"] >= rows[2]["missed"]
    for name in ("found", "missed"):
        assert rows[0][name] == rows[1][name] + rows[2][name]
    assert len({row["false_alarms"] for row in rows}) == 1
    bent = next(row for row in rows if row["defect"] == "bent")
    some = np.r_[0:4, 9:12]
    expected = evaluate_maps(maps[some], scores[some], labels[some], masks[some], known[some])
    assert {name: bent[name] for name in expected} == expected
    assert bent["iou"] == iou(maps[some] > 1.0, masks[some])
    counts = at_threshold(scores[some], labels[some], 1.4)
    assert (bent["recall"], bent["accuracy"], bent["f1"]) == (counts.recall, counts.accuracy, counts.f1)


def test_pictures_without_a_mask_count_for_no_pixel() -> None:
    maps, _, _, masks, known, _ = made()
    assert iou_at(maps, masks, known, 1.0) == iou(maps[known] > 1.0, masks[known])
    assert math.isnan(iou_at(maps[:4], masks[:4], known[:4], 1.0))


def test_a_test_set_without_defects_has_no_kinds() -> None:
    maps, scores, labels, masks, known, defects = (part[:4] for part in made())
    assert per_defect(maps, scores, labels, masks, known, defects, threshold=1.0, pixel_threshold=1.0) == []
    assert thresholds_by_label(scores, labels, {"max": 1.0}) == []


def test_kinds_that_are_not_one_a_picture_are_refused() -> None:
    *some, defects = made()
    with pytest.raises(InputError, match="expected 12 kinds"):
        per_defect(*some, defects[:3], threshold=1.0, pixel_threshold=1.0)


def test_thresholds_by_label_are_at_least_as_good_as_any() -> None:
    scores = np.random.default_rng(1).normal(size=80) + np.repeat([0, 1], 40)
    labels = np.repeat([0, 1], 40)
    rules = {"max": 2.2, "sigma": 0.4, "quantile": 0.6, "conformal": 0.5}
    best, f1, youden = thresholds_by_label(scores, labels, rules)
    cuts = [*np.unique(scores), -9.0]
    assert at_threshold(scores, labels, f1.threshold).f1 == max(at_threshold(scores, labels, u).f1 for u in cuts)

    def gain(u: float) -> float:
        return float(np.mean(scores[40:] > u) - np.mean(scores[:40] > u))

    assert gain(youden.threshold) == pytest.approx(max(gain(u) for u in cuts))
    accuracy = {name: at_threshold(scores, labels, rules[name]).accuracy for name in ("max", "sigma", "quantile")}
    assert accuracy[best.criterion.rpartition(" ")[2]] == max(accuracy.values())


def test_ties_of_rules_go_to_max_then_sigma_then_quantile() -> None:
    rules = {"quantile": 0.55, "sigma": 0.56, "max": 0.57}
    assert thresholds_by_label(SCORES, LABELS, rules)[0].threshold == 0.57
    assert thresholds_by_label(SCORES, LABELS, {"quantile": 0.55, "sigma": 0.56})[0].threshold == 0.56


def test_curves_by_brute_force() -> None:
    maps, scores, labels, masks, known, _ = made()
    found = curves(maps, scores, labels, label_regions(masks, known))
    flat, true = maps[known].ravel(), masks[known].ravel()
    for i in range(0, len(found.threshold), 7):
        over = flat >= found.threshold[i]
        assert found.iou[i] == (over & true).sum() / (over | true).sum()
        assert found.pixel_precision[i] == (over & true).sum() / over.sum()
        assert found.pixel_recall[i] == (over & true).sum() / true.sum()
    # At the end everything is called defective: precision is then their share.
    assert found.image_recall[-1] == found.pixel_recall[-1] == 1
    assert found.image_precision[-1] == labels.mean() and found.pixel_precision[-1] == true.mean()
    assert len(curves(maps, scores, labels, label_regions(masks, known), most=5).iou) == 5


def test_curves_without_defects_are_empty() -> None:
    maps, scores, labels, masks, known, _ = (part[:4] for part in made())
    found = curves(maps, scores, labels, label_regions(masks, known))
    assert all(not part.size for part in found)
