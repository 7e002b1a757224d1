"""Hand-drawn outlines as masks: a pixel is in when its centre is, by formula and by counting."""

from typing import Any

import numpy as np
import pytest

from ddad_jax.data.outlines import Ellipse, Line, OutlinePoint, Polygon, draw
from ddad_jax.errors import InputError

SIZE = (20, 30)


@pytest.mark.parametrize("seed", range(6))
def test_a_polygon_holds_the_centres_that_it_winds_round(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-4, 24, (rng.integers(3, 9), 2)).round(int(rng.integers(0, 3)))
    mask = draw(Polygon(points), (18, 22), where="here").mask
    for row in range(18):
        for column in range(22):
            place = np.array([column + 0.5, row + 0.5])
            a, b = points - place, np.roll(points, -1, axis=0) - place
            cross, dot = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(1)
            if np.any((np.abs(cross) < 1e-9) & (dot <= 0)):
                continue  # on an edge: either is right
            assert mask[row, column] == (abs(np.arctan2(cross, dot).sum()) > np.pi)


def test_two_halves_of_a_rectangle_share_no_pixel_and_miss_none() -> None:
    corners = np.array([(2.0, 3.0), (19.0, 3.0), (19.0, 16.0), (2.0, 16.0)])
    whole, one_half, other = (
        draw(Polygon(points), SIZE, where="here").mask for points in (corners, corners[[0, 1, 2]], corners[[0, 2, 3]])
    )
    np.testing.assert_array_equal(one_half ^ other, whole)
    np.testing.assert_array_equal(one_half | other, whole)


def test_a_polyline_is_as_wide_as_asked() -> None:
    line = Line(np.array([(10.0, 20.0), (60.0, 20.0), (60.0, 50.0)]))
    for width in (2.0, 6.0):
        mask = draw(line, (80, 80), where="here", line_width=width).mask
        assert mask[:, 30].sum() == mask[40].sum() == width
    assert mask[18, 61] and not mask[17, 62], "corners and ends are round"


def test_what_goes_beyond_the_picture_is_cut_off_and_said() -> None:
    inside, beyond = Ellipse((10.0, 10.0), (5.0, 5.0), 0.0), Ellipse((2.0, 10.0), (5.0, 5.0), 0.0)
    assert not draw(inside, SIZE, where="here").clipped
    cut = draw(beyond, SIZE, where="here")
    wide = draw(Ellipse((12.0, 10.0), (5.0, 5.0), 0.0), (20, 40), where="here").mask
    assert cut.clipped
    np.testing.assert_array_equal(cut.mask, wide[:, 10:])
    edge = np.array([(0.0, 0.0), (30.0, 0.0), (30.0, 20.0), (0.0, 20.0)])
    whole = draw(Polygon(edge), SIZE, where="here")
    assert whole.mask.all() and not whole.clipped


@pytest.mark.parametrize(
    ("outline", "says"),
    [
        (Polygon(np.array([(40.0, 2.0), (50.0, 2.0), (50.0, 9.0)])), r"\(40, 2\) to \(50, 9\).*outside.*30 x 20"),
        (Ellipse((-8.0, 5.0), (3.0, 3.0), 0.0), "outside"),
        (OutlinePoint((3.0, 21.0)), "outside"),
        (Line(np.array([(3.0, 25.0), (9.0, 30.0)])), "outside"),
        (Polygon(np.array([(3.6, 3.6), (4.4, 3.6), (4.0, 4.4)])), "holds no pixel"),
        (Polygon(np.array([(1.0, 1.0), (5.0, 5.0), (9.0, 9.0)])), "holds no pixel"),
    ],
)
def test_a_region_that_marks_nothing_is_refused(outline: Any, says: str) -> None:
    with pytest.raises(InputError, match=rf"labels\.csv, line 7.*{says}"):
        draw(outline, SIZE, where="labels.csv, line 7")
