"""What of a view is watched, and that nothing else reaches distances or maps."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ddad_jax.errors import InputError
from ddad_jax.vision.view_mask import masked, read_view_mask, silenced

SQUARE = [[2, 2], [6, 2], [6, 6], [2, 6]]


def written(folder: Path, views: Any, **changes: Any) -> Path:
    path = folder / "masks.json"
    path.write_text(json.dumps({"format": 1, "size": [8, 16], "views": views, **changes}))
    return path


def test_ignored_polygons_are_masked_out(tmp_path: Path) -> None:
    found = read_view_mask(written(tmp_path, {"A": {"ignore": [SQUARE]}}), "A", (8, 16))
    expected = np.ones((8, 16), bool)
    expected[2:6, 2:6] = False
    np.testing.assert_array_equal(found, expected)


def test_only_watched_polygons_are_watched_less_what_is_ignored(tmp_path: Path) -> None:
    half = [[0, 0], [16, 0], [16, 4], [0, 4]]
    found = read_view_mask(written(tmp_path, {"A": {"watch": [half], "ignore": [SQUARE]}}), "A", (8, 16))
    expected = np.zeros((8, 16), bool)
    expected[:4] = True
    expected[2:4, 2:6] = False
    np.testing.assert_array_equal(found, expected)


def test_polygons_scale_with_the_picture(tmp_path: Path) -> None:
    path = written(tmp_path, {"A": {"ignore": [SQUARE]}})
    large = read_view_mask(path, "A", (32, 64))
    assert not large[9:23, 9:23].any() and abs(int((~large).sum()) - 16 * 16) <= 4  # its corners are rounded
    np.testing.assert_array_equal(read_view_mask(path, "A", (4, 8)), read_view_mask(path, "A", (8, 16))[::2, ::2])


def test_a_star_is_any_view_without_an_entry(tmp_path: Path) -> None:
    path = written(tmp_path, {"A": {"ignore": [SQUARE]}, "*": {}})
    assert read_view_mask(path, "B", (8, 16)).all() and not read_view_mask(path, "A", (8, 16)).all()


def test_an_image_serves_every_view(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, 4:] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    found = read_view_mask(tmp_path / "mask.png", "any", (8, 16))
    np.testing.assert_array_equal(found, pixels > 0)
    with pytest.raises(InputError, match="is for pictures of 8 x 16 px.*are 480 x 640"):
        read_view_mask(tmp_path / "mask.png", "any", (8, 16), picture_size=(480, 640))


@pytest.mark.parametrize(
    ("views", "says"),
    [
        ({"A": {"ignore": [[[0, 0], [4, 4]]]}}, "ignore, polygon 0: .*at least three points"),
        ({"A": {"ignore": [[[0, 0], [4, 4], [8, 8]]]}}, "enclose no area"),
        ({"A": {"ignore": [[[20, 20], [30, 20], [30, 30]]]}}, "lies outside its picture"),
        ({"A": {"ignore": [[["a", 0], [4, 4], [8, 8]]]}}, "at least three points"),
        ({"A": {"ignore": [[[0, 0], [16, 0], [16, 8], [0, 8]]]}}, "nothing of the view 'A' is watched"),
        ({"B": {}, "C": {}}, "holds no view 'A', only B, C; add it, or name one of them"),
        ({"A": {"ignored": []}}, "expected lists of polygons named ignore and watch"),
        ({"A": {"ignore": 3}}, "expected a list of polygons"),
        ([], "expected .*another layout"),
    ],
)
def test_bad_polygons_are_named(tmp_path: Path, views: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_view_mask(written(tmp_path, views), "A", (8, 16))


def test_an_outline_that_crosses_itself_is_drawn(tmp_path: Path) -> None:
    bow_tie = [[0, 0], [8, 8], [8, 0], [0, 8]]  # its signed area is 0
    masked_out = ~read_view_mask(written(tmp_path, {"A": {"ignore": [bow_tie]}}), "A", (8, 16))
    assert masked_out[4, 1] and masked_out[4, 6] and not masked_out[1, 4] and 24 <= masked_out.sum() <= 40


def test_a_polygon_may_reach_beyond_the_picture(tmp_path: Path) -> None:
    beyond = [[-9, -9], [4, -9], [4, 99], [-9, 99]]
    watched = read_view_mask(written(tmp_path, {"A": {"ignore": [beyond]}}), "A", (8, 16))
    np.testing.assert_array_equal(watched, np.tile(np.arange(16) >= 4, (8, 1)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "another layout or format"),
        ({"size": [8]}, r"size \[8\]"),
        ({"size": [8, True]}, r"size \[8, True\]"),
        ({"veiws": {}}, "'veiws' is not known here"),
    ],
)
def test_another_format_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_view_mask(written(tmp_path, {"A": {}}, **changes), "A", (8, 16))


def test_a_file_that_is_no_mask_is_refused(tmp_path: Path) -> None:
    (tmp_path / "masks.json").write_text("{")
    with pytest.raises(InputError, match=r"masks.json \(mask of the view\): cannot be read"):
        read_view_mask(tmp_path / "masks.json", "A", (8, 16))
    with pytest.raises(InputError, match=r"masks.txt .*expected a .json file of polygons or an image"):
        read_view_mask(tmp_path / "masks.txt", "A", (8, 16))


WATCHED = np.array([[True, False], [True, True]])


@pytest.mark.parametrize("of", [np.asarray, jnp.asarray])
def test_masked_pictures_are_grey_outside_and_themselves_inside(of: Any) -> None:
    pictures = of(np.random.default_rng(0).uniform(-1, 1, (3, 2, 2, 3)).astype(np.float32))
    found = np.asarray(masked(pictures, WATCHED))
    assert (found[:, ~WATCHED] == 0).all() and found.dtype == np.float32
    np.testing.assert_array_equal(found[:, WATCHED], np.asarray(pictures)[:, WATCHED])


@pytest.mark.parametrize("of", [np.asarray, jnp.asarray])
def test_silenced_maps_are_zero_outside_or_their_least_where_that_is_below(of: Any) -> None:
    maps = of(np.array([[[1.0, 9.0], [2.0, 3.0]], [[-1.0, 9.0], [-4.0, -2.0]]], np.float32))
    found = np.asarray(silenced(maps, WATCHED))
    np.testing.assert_array_equal(found[:, 0, 1], [0.0, -4.0])
    np.testing.assert_array_equal(found.max((1, 2)), [3.0, -1.0])
    assert found.dtype == np.float32


def test_a_mask_for_each_picture_is_its_own() -> None:
    maps = np.random.default_rng(1).normal(size=(2, 2, 2)).astype(np.float32)
    each = np.stack([WATCHED, ~WATCHED])
    for i in range(2):
        np.testing.assert_array_equal(silenced(maps, each)[i], silenced(maps[i : i + 1], each[i])[0])
    pictures = maps[..., None]
    for i in range(2):
        np.testing.assert_array_equal(masked(pictures, each)[i], masked(pictures[i : i + 1], each[i])[0])


def test_the_score_of_a_silenced_map_is_that_of_what_is_watched() -> None:
    random = np.random.default_rng(2)
    watched = random.random((9, 7)) < 0.5
    for shift in (-3.0, 0.0, 3.0):
        maps = (random.normal(size=(5, 9, 7)) + shift).astype(np.float32)
        np.testing.assert_array_equal(silenced(maps, watched).max((1, 2)), maps[:, watched].max(1))


def test_a_file_that_would_take_all_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(InputError, match=r"deep.json \(mask of the view\): cannot be read"):
        read_view_mask(tmp_path / "deep.json", "A", (8, 16))
    for size in ([10**6, 10**6], [20_000, 20_000], [1, 10**6]):
        with pytest.raises(InputError, match="at most 32768 a side and 134217728 in all"):
            read_view_mask(written(tmp_path, {"A": {}}, size=size), "A", (8, 16))


def test_a_home_that_nobody_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"mask of the view: ~nobodyhere/mask.json: no home folder"):
        read_view_mask("~nobodyhere/mask.json", "A", (8, 16))


def test_an_image_watches_what_is_brighter_than_one_half_and_knows_no_classes(tmp_path: Path) -> None:
    grey = np.zeros((20, 28), np.uint8)
    grey[:, 7:14], grey[:, 14:] = 40, 255
    for array in (grey, (grey > 127).astype(np.uint8)):
        Image.fromarray(array).save(tmp_path / "m.png")
        assert read_view_mask(tmp_path / "m.png", "", (20, 28)).any(0).tolist() == [False] * 14 + [True] * 14
