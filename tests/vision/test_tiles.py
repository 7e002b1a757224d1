"""Tiles cover a picture and give it back; a small defect keeps its size."""

import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.vision.tiles import Tiles, cut, stitch, stitch_one, tile_names, tiles, tiling

CASES = [
    ((32, 32), 32, 8),
    ((33, 50), 16, 4),
    ((64, 96), 32, 0),
    ((40, 100), 16, 15),
    ((17, 16), 16, 3),
    ((5, 7), 1, 0),
]


@pytest.mark.parametrize(("picture", "size", "overlap"), CASES)
def test_tiles_of_a_map_give_it_back(picture: tuple[int, int], size: int, overlap: int) -> None:
    maps = np.random.default_rng(0).normal(size=(2, *picture)).astype(np.float32)
    plan = tiling(picture, size, overlap)
    np.testing.assert_allclose(stitch(cut(maps, plan), plan), maps, atol=1e-5)


@pytest.mark.parametrize(("picture", "size", "overlap"), CASES)
def test_tiles_that_are_cut_when_asked_for_are_the_same(picture: tuple[int, int], size: int, overlap: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *picture, 3), np.uint8)
    plan = tiling(picture, size, overlap)
    whole, lazy = cut(images, plan), Tiles(list(images), plan)
    assert (lazy.shape, lazy.dtype, len(lazy)) == (whole.shape, whole.dtype, len(whole))
    places = np.random.default_rng(1).integers(0, len(whole), 5)
    for at in (slice(None), slice(1, None, 2), places, np.zeros(0, int)):
        np.testing.assert_array_equal(lazy[at], whole[at])
    np.testing.assert_array_equal(np.stack(list(lazy)), whole)


@pytest.mark.parametrize(("side", "size", "overlap"), [(100, 16, 4), (2048, 256, 32), (3072, 256, 32), (31, 16, 1)])
def test_neighbours_overlap_at_least_as_asked_and_both_edges_are_reached(side: int, size: int, overlap: int) -> None:
    rows = tiling((side, size), size, overlap).rows
    steps = np.diff(rows)
    assert rows[0] == 0 and rows[-1] == side - size and steps.max() <= size - overlap
    assert steps.max() - steps.min() <= 1  # evenly spread
    fewer = len(rows) - 1
    assert fewer * size - (fewer - 1) * overlap < side  # one tile less would not reach


def test_a_defect_not_larger_than_the_overlap_lies_whole_in_some_tile() -> None:
    plan, defect = tiling((300, 500), 128, 24), 24
    for y in range(300 - defect + 1):
        assert any(row <= y and y + defect <= row + 128 for row in plan.rows)
    for x in range(500 - defect + 1):
        assert any(column <= x and x + defect <= column + 128 for column in plan.columns)


def test_a_seam_vanishes_where_neighbours_disagree() -> None:
    plan = tiling((16, 28), 16, 4)
    assert plan.origins == ((0, 0), (0, 12))
    whole = stitch(np.stack([np.zeros((16, 16)), np.ones((16, 16))]), plan)[0]
    assert (whole[:, :12] == 0).all() and (whole[:, 16:] == 1).all()
    np.testing.assert_allclose(whole[:, 12:16], np.tile([0.125, 0.375, 0.625, 0.875], (16, 1)))


def test_where_there_is_one_tile_its_value_stands() -> None:
    plan = tiling((40, 40), 24, 8)
    maps = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 24, 24), np.float32) / 3
    whole = stitch(maps, plan)[0]
    assert (whole[:16, :16] == maps[0, 0, 0]).all() and (whole[24:, 24:] == maps[3, 0, 0]).all()


def test_a_tiles_border_has_no_say() -> None:
    """What a network makes of a tile's cut edge must not come through where a neighbour sees further."""
    plan = tiling((32, 56), 32, 8)
    maps = np.zeros((2, 32, 32), np.float32)
    maps[0, :, -1] = maps[1, :, 0] = 1.0
    assert stitch(maps, plan).max() <= 1 / 16 + 1e-6


def test_one_picture_is_stitched_from_a_stream() -> None:
    plan = tiling((40, 70), 32, 8)
    picture = np.random.default_rng(0).normal(size=(40, 70)).astype(np.float32)
    whole = stitch_one((np.array(tile) for tile in tiles(picture, plan)), plan)
    np.testing.assert_array_equal(whole, stitch(cut(picture[None], plan), plan)[0])
    assert whole.dtype == np.float32


def test_tiles_are_views_in_the_order_of_their_names() -> None:
    picture = np.arange(20 * 30 * 3).reshape(20, 30, 3)
    plan = tiling((20, 30), 16, 2)
    expected = [f"test/a.b_y{y:04d}_x{x:04d}.png" for y in (0, 4) for x in (0, 14)]
    assert tile_names("test/a.b.png", plan) == expected == sorted(expected) and plan.count == 4
    for tile, (row, column) in zip(tiles(picture, plan), plan.origins, strict=True):
        assert np.shares_memory(tile, picture) and tile[0, 0, 0] == picture[row, column, 0]


def test_tiles_keep_their_type_and_channels() -> None:
    plan = tiling((20, 30), 16, 2)
    assert cut(np.zeros((3, 20, 30, 3), np.uint8), plan).dtype == np.uint8
    assert cut(np.zeros((0, 20, 30), bool), plan).shape == (0, 16, 16)


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(InputError, match="overlap 16: expected 0 to 15"):
        tiling((32, 32), 16, 16)
    with pytest.raises(InputError, match="overlap -1: expected 0 to 15"):
        tiling((32, 32), 16, -1)
    with pytest.raises(InputError, match="tile size 0: expected at least 1"):
        tiling((32, 32), 0, 0)
    with pytest.raises(InputError, match="tile size 16: the picture is 8 x 32 pixels .* smaller than one tile"):
        tiling((8, 32), 16, 0)
    with pytest.raises(InputError, match="picture of 16 x 16 pixels .* tiling is for 32 x 32"):
        cut(np.zeros((1, 16, 16, 3)), tiling((32, 32), 16, 0))
    with pytest.raises(InputError, match="3 maps of tiles: expected a multiple of 4"):
        stitch(np.zeros((3, 16, 16)), tiling((32, 32), 16, 0))
    with pytest.raises(InputError, match="map of a tile has shape"):
        stitch(np.zeros((4, 8, 8)), tiling((32, 32), 16, 0))
    for count in (3, 5):
        with pytest.raises(InputError, match="expected 4, 2 x 2"):
            stitch_one(iter(np.zeros((count, 16, 16))), tiling((32, 32), 16, 0))
