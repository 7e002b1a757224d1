"""An overlay changes the picture where something was found or is known to be, and nowhere else."""

import numpy as np
import pytest

from ddad_jax.engine.verdicts.overlay import overlay
from ddad_jax.errors import InputError
from ddad_jax.vision.regions import regions

PICTURE = np.full((200, 300, 3), 90, np.uint8)
MAP = np.zeros((20, 20), np.float32)
MAP[5:9, 4:10] = 2.0
MAP[14, 14] = 0.9
MASK = np.zeros((20, 20), bool)
MASK[4:9, 12:18] = True


def blue(image: np.ndarray) -> np.ndarray:
    """Where a line around something found is, softened at its edges."""
    red, _, blue = np.moveaxis(image.astype(int), -1, 0)
    return blue > red + 60


def yellow(image: np.ndarray) -> np.ndarray:
    """Where a line around a true defect is; the colours of the heat have less green."""
    red, green, blue = np.moveaxis(image.astype(int), -1, 0)
    return (np.minimum(red, green) > blue + 60) & (green > 180)


def test_heat_lies_above_the_threshold_only_and_contours_around_it() -> None:
    before = PICTURE.copy()
    drawn = overlay(PICTURE, MAP, 1.0, regions(MAP, 1.0, size=(200, 300)))
    assert (before == PICTURE).all() and drawn.shape == PICTURE.shape and drawn.dtype == np.uint8
    rows, columns = np.nonzero((drawn != PICTURE).any(-1))
    # One map pixel and the width of a line around rows 5 to 8 and columns 4 to 9, ten and fifteen times as large.
    assert rows.min() >= 40 and rows.max() <= 100 and columns.min() >= 45 and columns.max() <= 165
    assert blue(drawn).sum() > 100 and not yellow(drawn).any()
    middle = drawn[70, 105].astype(int)
    assert (middle != 90).any() and not blue(drawn)[70, 105]


def test_the_true_mask_has_another_colour() -> None:
    drawn = overlay(PICTURE, MAP, 1.0, regions(MAP, 1.0, size=(200, 300)), MASK)
    rows, columns = np.nonzero(yellow(drawn))
    assert rows.size > 100 and columns.min() >= 170 and columns.max() <= 275
    assert blue(drawn).sum() > 100


def test_nothing_found_leaves_the_picture_as_it_is() -> None:
    for threshold in (2.0, np.inf):
        assert (overlay(PICTURE, MAP, threshold, regions(MAP, threshold), np.zeros_like(MASK)) == PICTURE).all()


def test_what_was_not_judged_is_not_coloured() -> None:
    cropped = np.full((20, 20), -np.inf, np.float32)
    cropped[5:15, 5:15] = 1.0
    drawn = overlay(PICTURE, cropped, 0.5, regions(cropped, 0.5, size=(200, 300)))
    assert (drawn[:40] == 90).all() and (drawn[100, 150] != 90).any()


def test_pictures_of_another_type_are_refused() -> None:
    for wrong in (PICTURE[..., 0], PICTURE.astype(float)):
        with pytest.raises(InputError, match="expected uint8"):
            overlay(wrong, MAP, 1.0, [])
