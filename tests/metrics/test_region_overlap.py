"""AUPRO against its definition, written out slowly; regions; IoU."""

import math

import numpy as np
import pytest
from scipy import ndimage

from ddad_jax.errors import InputError
from ddad_jax.metrics import aupro, auroc, iou, label_regions, region_overlap, time_aupro


def brute_force(maps: np.ndarray, masks: np.ndarray, limit: float) -> tuple[float, float]:
    """The definition: every distinct score of every pixel, one threshold at a time."""
    regions = []
    for i, mask in enumerate(masks):
        ids, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [(i, ids == k) for k in range(1, count + 1)]
    points = [(0.0, 0.0)]
    for u in np.unique(maps)[::-1]:
        above = maps >= u
        points.append(
            (
                (above & ~masks).sum() / (~masks).sum(),
                float(np.mean([above[i][r].mean() for i, r in regions])),
            )
        )
    area, height = 0.0, 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if x1 <= limit:
            area, height = area + (x1 - x0) * (y0 + y1) / 2, y1
        elif x0 <= limit:
            height = y0 + (limit - x0) / (x1 - x0) * (y1 - y0)
            area += (limit - x0) * (y0 + height) / 2
    return area / limit, height


def draw(seed: int, levels: int | None = None, share: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = ndimage.uniform_filter(rng.random((4, 12, 14)), (0, 3, 3)) > 0.5 + (0.5 - share) * 0.35
    masks[0] = False
    masks[1, 0, 0] = True  # at least one region, touching the border
    maps = rng.standard_normal(masks.shape).astype(np.float32) + 1.5 * masks
    return (np.round(maps * levels) / levels if levels else maps).astype(np.float32), masks


@pytest.mark.parametrize("levels", [None, 1, 3])
def test_is_its_definition(levels):
    limits = (0.05, 0.3, 1 / 3, 1.0)
    for seed in range(6):
        maps, masks = draw(seed, levels)
        found = aupro(maps, masks, limits)
        for limit in limits:
            area, height = brute_force(maps, masks, limit)
            assert math.isclose(found.area[limit], area, abs_tol=1e-12)
            assert math.isclose(found.pro_at[limit], height, abs_tol=1e-12)


@pytest.mark.parametrize("at_once", [1, 5, 168, 10**6])
def test_pixels_sorted_in_parts_give_the_same_curve(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    maps, masks = draw(3, levels=7)
    whole = region_overlap.pixel_curve(maps, label_regions(masks))
    monkeypatch.setattr(region_overlap, "_AT_ONCE", at_once)
    for part, same in zip(region_overlap.pixel_curve(maps, label_regions(masks)), whole, strict=True):
        np.testing.assert_array_equal(part, same)


def test_limit_that_falls_on_a_point_of_the_curve():
    masks = np.zeros((1, 1, 11), bool)
    masks[0, 0, 0] = True
    maps = np.arange(11, 0, -1, dtype=np.float32).reshape(masks.shape)  # the defect first, then 10 normal pixels
    assert aupro(maps, masks, (0.3,)) == ({0.3: 1.0}, {0.3: 1.0})
    maps[0, 0, 0] = 8.0  # as the third normal pixel: level at 0 up to FPR 2/10, then a slope to (3/10, 1)
    found = aupro(maps, masks, (0.2, 0.25, 0.3))
    assert found.pro_at[0.2] == found.area[0.2] == 0.0
    assert math.isclose(found.pro_at[0.25], 0.5) and math.isclose(found.area[0.25], 0.05 * 0.5 / 2 / 0.25)
    assert found.pro_at[0.3] == 1.0 and math.isclose(found.area[0.3], 0.1 / 2 / 0.3)


def test_limits_in_one_call_equal_limits_one_by_one():
    maps, masks = draw(3, levels=2)
    both = aupro(maps, masks, (0.3, 0.05))
    for limit in (0.3, 0.05):
        assert aupro(maps, masks, (limit,)).area[limit] == both.area[limit]


def test_monotone_transforms_and_order_of_images_change_nothing():
    maps, masks = draw(4)
    expected = aupro(maps, masks).area
    assert aupro(5 * maps + 2, masks).area == expected
    turned = aupro(maps[::-1], masks[::-1]).area
    assert all(math.isclose(turned[k], expected[k], abs_tol=1e-12) for k in expected)


def test_equal_regions_make_it_the_pixel_auroc():
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 8, 8), bool)
    masks[:, 2:4, 3:6] = True
    maps = np.round(rng.standard_normal(masks.shape) * 4).astype(np.float32) + masks
    assert math.isclose(aupro(maps, masks, (1.0,)).area[1.0], auroc(maps, masks), abs_tol=1e-12)


def test_every_region_has_the_same_say():
    masks = np.zeros((1, 20, 20), bool)
    masks[0, :10, :10] = True  # 100 pixels, missed
    masks[0, 15, 15] = True  # one pixel, found
    maps = np.zeros(masks.shape, np.float32)
    maps[0, 15, 15] = 2.0
    maps[~masks] += np.linspace(0.5, 1.0, (~masks).sum())
    assert math.isclose(aupro(maps, masks, (0.3,)).area[0.3], 0.5, abs_tol=1e-12)


def test_regions_join_diagonally_and_never_across_images():
    masks = np.zeros((3, 6, 6), bool)
    masks[0, 0, 0] = masks[0, 1, 1] = True  # touch at a corner: one region
    masks[1, 0, 0] = True  # same place, next image: its own region
    masks[2, 0, 0] = masks[2, 0, 2] = True
    regions = label_regions(masks)
    assert sorted(regions.size.tolist()) == [1, 1, 1, 2]
    assert np.array_equal(regions.defect, np.flatnonzero(masks))
    assert math.isclose(regions.weight.sum(), 1.0)


def test_labelled_regions_serve_many_maps():
    _, masks = draw(5)
    regions = label_regions(masks)
    for seed in range(3):
        maps = np.random.default_rng(seed).random(masks.shape).astype(np.float32)
        assert aupro(maps, regions) == aupro(maps, masks)


def test_pixels_of_images_with_unknown_masks_do_not_count():
    maps, masks = draw(6)
    known = np.array([True, True, False, True])
    assert aupro(maps, label_regions(masks, known)) == aupro(maps[known], masks[known])


@pytest.mark.parametrize("fill", [False, True])
def test_no_region_or_no_normal_pixel_gives_nan(fill):
    found = aupro(np.zeros((2, 4, 4), np.float32), np.full((2, 4, 4), fill))
    assert all(math.isnan(v) for v in (*found.area.values(), *found.pro_at.values()))


def test_bad_input_is_refused():
    maps, masks = draw(7)
    for limit in (0.0, -0.1, 1.5, math.nan):
        with pytest.raises(InputError, match=r"\(0, 1\]"):
            aupro(maps, masks, (limit,))
    with pytest.raises(InputError, match="binarise"):
        aupro(maps, masks.astype(np.uint8))
    with pytest.raises(InputError, match="expected shape"):
        aupro(maps[:2], masks)
    with pytest.raises(InputError, match="NaN or infinite"):
        aupro(np.where(masks, np.nan, maps), masks)
    with pytest.raises(InputError, match="one flag"):
        label_regions(masks, [True])


def test_iou_counts_pixels_of_all_images_together():
    masks, predicted = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    masks[0, :2], predicted[0, 1:3], predicted[1, 0, 0] = True, True, True
    assert iou(predicted, masks) == 4 / 13
    assert iou(masks, masks) == 1.0
    assert math.isnan(iou(predicted, np.zeros_like(masks)))
    with pytest.raises(InputError, match="two bool arrays"):
        iou(predicted.astype(np.float32), masks)
    with pytest.raises(InputError, match="two bool arrays"):
        iou(predicted[:1], masks)


def test_the_stopwatch_runs():
    times = time_aupro(2, 16, repeats=1)
    assert times.aupro > 0 and times.relabelled > 0
