"""Regions lie where the map exceeds its threshold, in pixels of the picture, whatever its size."""

import cv2
import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.vision.regions import Region, regions


def filled(found: list[Region], size: tuple[int, int]) -> np.ndarray:
    """bool [h, w]: the polygons filled, holes left out."""
    image = np.zeros(size, np.uint8)
    for region in found:
        lines = [np.rint(16 * line).astype(np.int32) for line in (region.contour, *region.holes)]
        cv2.fillPoly(image, lines, 255, shift=4)
    return image > 0


def blobs(side: int = 48) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    ring = np.exp(-((np.hypot(x - 33, y - 33) - 8) ** 2) / 4)
    return np.exp(-((x - 12) ** 2 + (y - 20) ** 2) / 30) * 0.9 + ring + 0.8 * np.exp(-((x - 47) ** 2 + y**2) / 20)


def test_one_pixel() -> None:
    anomaly = np.zeros((4, 5))
    anomaly[1, 3] = 2.0
    (found,) = regions(anomaly, 1.0)
    assert found.box == (3, 1, 1, 1) and found.area == 1 and found.peak == 2.0 and found.peak_at == (3.0, 1.0)
    assert cv2.pointPolygonTest(found.contour[:, None], (3.0, 1.0), False) > 0
    (large,) = regions(anomaly, 1.0, size=(40, 100))
    assert large.box == (60, 10, 20, 10) and large.area == 200 and large.peak_at == (69.5, 14.5)


def test_polygons_cover_what_exceeds_the_threshold() -> None:
    anomaly, size = blobs(), (480, 480)
    found = regions(anomaly, 0.5, size=size, smooth=0.0)
    assert len(found) == 3 and [len(region.holes) for region in found].count(1) == 1
    assert [region.peak for region in found] == sorted((region.peak for region in found), reverse=True)
    wide = cv2.resize(anomaly.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    covered = filled(found, size)
    assert (covered & wide).sum() / (covered | wide).sum() > 0.97
    assert sum(region.area for region in found) == pytest.approx(100 * (anomaly > 0.5).sum())
    simple = regions(anomaly, 0.5, size=size)
    assert sum(len(region.contour) for region in simple) < sum(len(region.contour) for region in found)
    covered = filled(simple, size)
    assert (covered & wide).sum() / (covered | wide).sum() > 0.93


def test_boxes_and_contours_stay_in_the_picture_and_agree() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        shape = tuple(rng.integers(2, 20, 2))
        height, width = (int(side) for side in rng.integers(1, 200, 2))
        for region in regions(rng.normal(size=shape), 0.5, size=(height, width)):
            x, y, w, h = region.box
            assert x >= 0 and y >= 0 and w >= 1 and h >= 1 and x + w <= width and y + h <= height
            assert (region.contour >= -0.5 - 1e-4).all()
            assert (region.contour <= np.array([width, height]) - 0.5 + 1e-4).all()
            px, py = region.peak_at
            assert x - 0.5 <= px <= x + w and y - 0.5 <= py <= y + h
            assert len(region.contour) >= 3 and region.contour.dtype == np.float32


def test_each_component_has_one_outline_even_where_corners_touch() -> None:
    rng = np.random.default_rng(1)
    for threshold in (-1.0, 0.0, 1.0):
        anomaly = rng.normal(size=(30, 30))
        count = cv2.connectedComponents((anomaly > threshold).astype(np.uint8), connectivity=8)[0] - 1
        assert len(regions(anomaly, threshold)) == count
    checkers = (np.indices((6, 6)).sum(0) % 2).astype(float)
    assert len(regions(checkers, 0.5)) == 1


def test_values_that_equal_the_threshold_are_outside() -> None:
    assert regions(np.full((3, 3), 0.5), 0.5) == []
    flat = np.zeros((5, 5))
    flat[2, 2] = 1.0
    (found,) = regions(flat, 0.0)
    assert found.area == 1


def test_small_regions_are_left_out() -> None:
    anomaly = np.zeros((8, 8))
    anomaly[1, 1], anomaly[4:7, 4:7] = 9.0, 5.0
    assert [region.area for region in regions(anomaly, 1.0)] == [1, 9]
    assert [region.area for region in regions(anomaly, 1.0, min_area=2)] == [9]
    assert len(regions(anomaly, 1.0, min_area=100, size=(80, 80))) == 2


def test_what_was_not_judged_is_no_region() -> None:
    anomaly = np.full((6, 6), -np.inf)
    anomaly[2:4, 2:4] = 3.0
    (found,) = regions(anomaly, 1.0)
    assert found.box == (2, 2, 2, 2)
    (found,) = regions(anomaly, -np.inf)
    assert found.area == 4
    assert regions(anomaly, np.inf) == []


def test_everything_above_is_the_whole_picture() -> None:
    (found,) = regions(np.ones((4, 4)), 0.0, size=(20, 30))
    assert found.box == (0, 0, 30, 20) and found.area == 600
    assert cv2.contourArea(found.contour) > 0.95 * 600


@pytest.mark.parametrize(
    ("anomaly", "threshold", "size", "said"),
    [
        (np.array([[np.nan]]), 0.0, None, "NaN"),
        (np.array([[np.inf]]), 0.0, None, "infinity"),
        (np.ones(3), 0.0, None, r"\[h, w\]"),
        (np.ones((2, 2)), np.nan, None, "decides nothing"),
        (np.ones((2, 2)), 0.0, (0, 3), "at least 1"),
    ],
)
def test_what_cannot_be_used_is_refused(anomaly: np.ndarray, threshold: float, size: tuple | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        regions(anomaly, threshold, size=size)
