"""The published metrics: their quirks are there, and only there."""

import math

import numpy as np
import pytest
from scipy import ndimage
from sklearn import metrics as sk

from ddad_jax.errors import InputError
from ddad_jax.metrics import auroc, binarise, reference_pixel_auroc, reference_pro, youden_threshold


def draw(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Maps, and masks with a grey rim as bilinear resizing leaves it."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, 24, 24), np.float32)
    masks[1, 4:12, 6:15], masks[2, 12:18, 2:8], masks[2, 3:8, 12:20], masks[3, 0:7, 0:7] = 1, 1, 1, 1
    masks = ndimage.uniform_filter(masks, (0, 3, 3))
    masks = np.where(masks > 0.99, np.float32(1), np.where(masks < 0.01, np.float32(0), masks))
    return rng.standard_normal(masks.shape).astype(np.float32) + 2 * masks, masks


def test_pro_threshold_by_threshold():
    maps, masks = draw()
    scaled = (maps - maps.min()) / (maps.max() - maps.min())
    regions = []
    for i, mask in enumerate(masks):
        ids, count = ndimage.label(mask == 1, np.ones((3, 3)))
        regions += [(i, ids == k) for k in range(1, count + 1)]
    assert len(regions) == 4
    fpr, overlap = [], []
    for u in np.arange(scaled.min(), scaled.max(), (scaled.max() - scaled.min()) / 200):
        over = scaled > u
        false = (over & (masks != 1)).sum() / (1 - masks).sum(dtype=np.float64)
        if false < 0.3:
            fpr.append(false)
            overlap.append(np.mean([over[i][r].mean() for i, r in regions]))
    fpr = np.array(fpr) / max(fpr)
    found = reference_pro(maps, masks)
    np.testing.assert_allclose(found.fpr, fpr, atol=1e-12)
    np.testing.assert_allclose(found.overlap, overlap, atol=1e-12)
    assert math.isclose(found.pro, np.trapezoid(overlap[::-1], fpr[::-1]), abs_tol=1e-12)


def test_two_ground_truths_are_kept_apart_from_ours():
    maps, masks = draw(1)
    assert math.isclose(reference_pixel_auroc(maps, masks), auroc(maps, masks > 0), abs_tol=1e-6)
    assert abs(reference_pixel_auroc(maps, masks) - auroc(maps, binarise(masks))) > 1e-3
    eroded = (masks == 1).astype(np.float32)
    assert np.array_equal(reference_pro(maps, masks).overlap[-20:], reference_pro(maps, eroded).overlap[-20:])
    assert abs(reference_pro(maps, masks).pro - reference_pro(maps, eroded).pro) > 1e-3  # the rim's false alarms


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_youden_follows_the_published_curve(decimals):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        labels = rng.random(30) < 0.5
        labels[:2] = False, True
        scores = np.round(rng.standard_normal(30) + labels, decimals)
        fpr, tpr, thresholds = sk.roc_curve(labels, scores)
        assert youden_threshold(scores, labels) == thresholds[np.argmax(tpr - fpr)]


def test_undefined_cases_are_nan():
    maps, masks = draw()
    assert math.isnan(reference_pixel_auroc(np.ones_like(maps), masks))
    assert math.isnan(reference_pixel_auroc(maps, np.zeros_like(masks)))
    assert math.isnan(reference_pro(np.ones_like(maps), masks).pro)
    assert math.isnan(reference_pro(maps, np.zeros_like(masks)).pro)
    assert math.isnan(reference_pro(maps, np.ones_like(masks)).pro)
    assert math.isnan(youden_threshold([1.0, 2.0], [1, 1]))
    assert youden_threshold([2.0, 1.0], [0, 1]) == math.inf  # no threshold beats chance


def test_bad_input_is_refused():
    maps, masks = draw()
    for metric in (reference_pixel_auroc, reference_pro):
        with pytest.raises(InputError, match="share a shape"):
            metric(maps, masks[:2])
        with pytest.raises(InputError, match=r"\[0, 1\]"):
            metric(maps, 255 * masks)
        with pytest.raises(InputError, match="NaN or infinite"):
            metric(np.full_like(maps, np.nan), masks)
