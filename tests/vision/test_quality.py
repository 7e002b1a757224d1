"""Frames' quality: independent of resolution, light and contrast where it says so; sees what it is for."""

import math

import cv2
import numpy as np
import pytest

from ddad_jax.sources import Frame
from ddad_jax.sources.open import open_source
from ddad_jax.vision.quality import Quality, difference, flags, measured, over_exposed, sharpness, under_exposed


def film(options: str) -> list[np.ndarray]:
    return [frame.color for frame in open_source(f"station:{options}").frames() if isinstance(frame, Frame)]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return film("coffee?size=256&seconds=1")[0]


def test_sharpness_hardly_depends_on_resolution_light_and_contrast(picture: np.ndarray) -> None:
    whole = sharpness(picture)
    for size in (64, 128, 512):
        assert sharpness(film(f"coffee?size={size}&seconds=1")[0]) == pytest.approx(whole, rel=0.25)
    assert sharpness((picture * 0.4).astype(np.uint8)) == pytest.approx(whole, rel=0.02)
    assert sharpness((60 + picture * 0.3).astype(np.uint8)) == pytest.approx(whole, rel=0.02)


def test_deviation_the_plain_variance_depends_on_contrast_and_resolution(picture: np.ndarray) -> None:
    def plain(rgb: np.ndarray) -> float:
        return sharpness(rgb, side=None, relative=False)

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) / 255
    assert plain(picture) == pytest.approx(cv2.Laplacian(grey, cv2.CV_64F).var())
    dim, large = (picture * 0.4).astype(np.uint8), cv2.resize(picture, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    assert plain(dim) < 0.25 * plain(picture) and plain(large) < 0.25 * plain(picture)
    assert sharpness(dim) == pytest.approx(sharpness(picture), rel=0.05)
    assert sharpness(large) == pytest.approx(sharpness(picture), rel=0.05)


def test_blur_lowers_sharpness_step_by_step_until_it_is_flagged(picture: np.ndarray) -> None:
    blurred = [sharpness(cv2.GaussianBlur(picture, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4, 8)]
    assert blurred == sorted(blurred, reverse=True)
    assert "blurred" in flags(measured(cv2.GaussianBlur(picture, (0, 0), 4), None))


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("product", ["winter_melon", "lemon_soda", "coffee"])
def test_the_station_is_flagged_for_what_is_wrong_with_it(product: str, size: int) -> None:
    def wrong(options: str) -> set[str]:
        return {
            flag for rgb in film(f"{product}?size={size}&seconds=1&{options}") for flag in flags(measured(rgb, None))
        }

    assert wrong("video=1") == set() and wrong("state=hard&video=2") == set()
    assert wrong("blur=5") == {"blurred"}
    assert wrong("light=4") == {"over"}
    assert wrong("light=0.01") == {"under"}


def test_exposure_counts_what_says_nothing() -> None:
    rgb = np.full((10, 10, 3), 128, np.uint8)
    rgb[:2] = 255
    rgb[2] = (255, 20, 20)  # a saturated red is a colour
    rgb[3:7] = 10
    rgb[7] = (0, 0, 90)
    assert over_exposed(rgb) == pytest.approx(0.2) and under_exposed(rgb) == pytest.approx(0.4)


def test_a_disk_that_stands_still_gives_duplicates_and_one_that_turns_none() -> None:
    for product in ("winter_melon", "lemon_soda", "coffee"):
        still, turning = film(f"{product}?size=64&rpm=0&seconds=5"), film(f"{product}?size=64&seconds=5")
        for pictures, expected in ((still, ("duplicate",)), (turning, ())):
            for before, rgb in zip(pictures, pictures[1:], strict=False):
                assert flags(measured(rgb, before)) == expected


def test_a_small_new_thing_is_no_duplicate(picture: np.ndarray) -> None:
    spotted = picture.copy()
    spotted[100:108, 120:128] = 20
    assert difference(spotted, picture) > 0.06 > np.abs(spotted.astype(float) - picture).mean() / 255
    assert difference(picture, picture) == 0
    assert difference(picture, picture[:-1]) == 1
    assert difference(np.full_like(picture, 255), np.zeros_like(picture)) == pytest.approx(1)


def test_the_first_frame_is_no_duplicate_and_limits_are_arguments(picture: np.ndarray) -> None:
    seen = measured(picture, None)
    assert math.isnan(seen.difference) and flags(seen) == ()
    bad = Quality(0.05, 0.04, 0.6, 0.01)
    assert flags(bad) == ("blurred", "over", "under", "duplicate")
    assert flags(bad, least_sharpness=0.01, most_over=0.1, most_under=1.0, least_difference=0.0) == ()


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (17, 16)])
def test_pictures_of_any_shape_have_numbers(shape: tuple[int, int]) -> None:
    for value in (0, 255):
        seen = measured(np.full((*shape, 3), value, np.uint8), np.full((*shape, 3), value, np.uint8))
        assert all(math.isfinite(number) for number in seen) and seen.sharpness == 0
