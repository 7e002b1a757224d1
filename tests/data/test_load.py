"""Many pictures at once."""

from pathlib import Path

import numpy as np
import pytest
from trees import pixels, save, square_mask

from ddad_jax.data.load import Picture, load_pictures
from ddad_jax.data.read import read_image
from ddad_jax.errors import InputError


def test_order_does_not_depend_on_threads(tmp_path: Path) -> None:
    paths = [save(pixels(i, 10 + 7 * (i % 5), 30), tmp_path / f"{i}.png") for i in range(20)]
    pictures = [Picture(p, p.name) for p in paths]
    one, many = (load_pictures(pictures, 8, orient=True, threads=n).image_set for n in (1, 7))
    assert one.names == many.names == tuple(p.name for p in paths)
    np.testing.assert_array_equal(one.images, many.images)
    np.testing.assert_array_equal(many.images, np.stack([read_image(p, 8) for p in paths]))


def test_fields_agree_with_what_is_known(tmp_path: Path) -> None:
    image = save(pixels(0), tmp_path / "a.png")
    mask = save(square_mask(), tmp_path / "m.png")
    pictures = [Picture(image, "g"), Picture(image, "d", "dent", (mask,)), Picture(image, "u", "dent")]
    got = load_pictures(pictures, 8, orient=True, threads=2).image_set
    assert (got.images.dtype, got.labels.dtype, got.masks.dtype) == (np.uint8, np.int32, bool)
    assert got.images.shape == (3, 8, 8, 3) and got.masks.shape == (3, 8, 8)
    assert got.labels.tolist() == [0, 1, 1]
    assert got.has_mask.tolist() == [True, True, False]
    assert got.masks.any((1, 2)).tolist() == [False, True, False]
    assert (got.defects, got.names) == (("good", "dent", "dent"), ("g", "d", "u"))


def test_nothing_to_load_is_an_empty_set() -> None:
    got = load_pictures([], 8, orient=True).image_set
    assert got.images.shape == (0, 8, 8, 3) and got.has_mask.shape == (0,)


def test_first_bad_picture_in_the_order_given_is_the_one_named(tmp_path: Path) -> None:
    pictures = [Picture(save(pixels(i), tmp_path / f"{i}.png"), str(i)) for i in range(6)]
    for i in (2, 4):
        pictures[i].path.write_bytes(pictures[i].path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"2\.png"):
        load_pictures(pictures, 8, orient=True, threads=4)


def test_size_must_be_positive() -> None:
    with pytest.raises(InputError, match="size 0"):
        load_pictures([], 0, orient=True)
