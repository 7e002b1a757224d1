"""What a mask's grey values mean: classes count whole, soft edges are cut at one half, whatever made them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from trees import save

from ddad_jax.data.mask_values import is_textured, understood
from ddad_jax.data.read import read_mask, read_mask_values

Draw = Callable[[np.ndarray, int], None]

SHAPES: dict[str, Draw] = {
    "disc": lambda a, v: cv2.circle(a, (300, 260), 110, v, -1),
    "ellipse": lambda a, v: cv2.ellipse(a, (300, 260), (180, 40), 33, 0, 360, v, -1),
    "polygon": lambda a, v: cv2.fillPoly(a, [np.array([[90, 90], [400, 150], [250, 420]])], v),
    "scratch": lambda a, v: cv2.line(a, (60, 80), (450, 400), v, 24),
    "rectangle": lambda a, v: cv2.rectangle(a, (101, 103), (333, 247), v, -1),
}


def shape(name: str, value: int = 255, side: int = 512) -> np.ndarray:
    canvas = np.zeros((512, 512), np.uint8)
    SHAPES[name](canvas, value)
    return canvas if side == 512 else np.asarray(Image.fromarray(canvas).resize((side, side), 0))


def classes(*values: int, wide: int = 16) -> np.ndarray:
    """Blocks of ``wide`` columns side by side, with a gap of background before every second."""
    mask = np.zeros((64, 20 + (wide + 3) * len(values)), np.uint16 if max(values) > 255 else np.uint8)
    at = 5
    for i, value in enumerate(values):
        at += 3 * (i % 2)
        mask[16:48, at : at + wide] = value
        at += wide
    return mask


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("side", [256, 170, 128, 64])
@pytest.mark.parametrize("how", [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS])
def test_an_antialiased_mask_is_cut_at_one_half(name: str, side: int, how: Image.Resampling) -> None:
    grey = np.asarray(Image.fromarray(shape(name)).resize((side, side), how))
    meant = understood(grey, 255.0)
    # A rectangle whose sides fall on the pixels has no grey at all.
    assert meant.rule == ("plain" if set(np.unique(grey)) == {0, 255} else "soft edges")
    np.testing.assert_array_equal(meant.share > 0.5, grey > 127.5)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("quality", [30, 60, 95, 100])
def test_what_jpeg_adds_to_a_mask_is_no_class(tmp_path: Path, name: str, quality: int) -> None:
    file = tmp_path / "mask.jpg"
    Image.fromarray(shape(name)).save(file, quality=quality)
    meant = read_mask_values(file, (512, 512))
    assert ((meant.share > 0.5) != (shape(name) > 0)).mean() < 0.003


@pytest.mark.parametrize("sigma", [1.0, 4.0, 20.0])
def test_a_blurred_mask_is_cut_at_one_half(sigma: float) -> None:
    grey = cv2.GaussianBlur(shape("disc"), (0, 0), sigma)
    meant = understood(grey, 255.0)
    assert meant.rule == "soft edges"
    np.testing.assert_array_equal(meant.share > 0.5, grey > 127.5)


@pytest.mark.parametrize(
    "values", [(85, 170, 255), (255, 85), (60, 120, 180, 240), (10, 250), (254, 253, 252), (200,), (100,), (3, 255)]
)
@pytest.mark.parametrize("wide", [16, 4, 2])
def test_every_class_counts_however_dark(values: tuple[int, ...], wide: int) -> None:
    mask = classes(*values, wide=wide if min(values) > 10 else max(wide, 4))  # smaller, it could be noise
    meant = understood(mask, 255.0)
    assert meant.rule == "classes"
    np.testing.assert_array_equal(meant.share, (mask > 0).astype(np.float32))


def test_class_numbers_of_any_amount_count(tmp_path: Path) -> None:
    mask = classes(*range(1, 31), wide=3)
    for full_scale in (255.0, 65535.0):
        assert understood(mask, full_scale).rule == "classes"
    np.testing.assert_array_equal(read_mask(save(mask, tmp_path / "m.png"), mask.shape), mask > 0)


def test_sixteen_bit_floating_and_colour_classes(tmp_path: Path) -> None:
    eight = classes(85, 170, 255)
    colours = np.stack([np.where(eight == v, v, 0).astype(np.uint8) for v in (85, 170, 255)], -1)
    files = {
        "wide.png": eight.astype(np.uint16) * 257,
        "wide.tif": eight.astype(np.uint16) * 200,
        "float.tif": eight.astype(np.float32) / 255,
        "colour.png": colours,
    }
    for name, array in files.items():
        meant = read_mask_values(save(array, tmp_path / name), eight.shape)
        assert meant.rule == "classes", name
        np.testing.assert_array_equal(meant.share, eight > 0, err_msg=name)


def test_one_class_inside_another_and_scratches_one_pixel_wide() -> None:
    nested = shape("disc", 85, 128).copy()
    nested[50:80, 50:80] = 255
    assert understood(nested, 255.0).rule == "classes"
    thin = np.zeros((64, 64), np.uint8)
    thin[10, 5:60], thin[30:60, 20] = 90, 255
    np.testing.assert_array_equal(understood(thin, 255.0).share > 0.5, thin > 0)


def test_classes_that_were_resized_keep_their_darkest() -> None:
    whole = np.kron(classes(85, 170, 255), np.ones((4, 4), np.uint8))
    grey = np.asarray(Image.fromarray(whole).resize((whole.shape[1] // 3, whole.shape[0] // 3), 2))
    meant = understood(grey, 255.0)
    assert meant.rule == "soft classes"
    np.testing.assert_array_equal(meant.share > 0.5, grey > 42.5)


def test_a_mask_saved_too_dark_is_cut_at_one_half_of_its_own_white() -> None:
    grey = np.asarray(Image.fromarray(shape("ellipse", 100)).resize((128, 128), 2))
    meant = understood(grey, 255.0)
    assert meant.rule == "soft edges"
    np.testing.assert_array_equal(meant.share > 0.5, grey > 50)


def test_a_palette_of_greys_with_soft_edges_and_one_of_classes(tmp_path: Path) -> None:
    grey = np.asarray(Image.fromarray(shape("disc")).resize((128, 128), 2))
    Image.fromarray(grey).quantize(64).save(tmp_path / "soft.png")
    soft = read_mask_values(tmp_path / "soft.png", grey.shape)
    assert soft.rule == "soft edges"
    assert ((soft.share > 0.5) != (grey > 127)).mean() < 0.002
    indexed = Image.fromarray(classes(1, 2, 3))
    indexed.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 0, 0, 64])
    indexed.save(tmp_path / "classes.png")
    hard = read_mask_values(tmp_path / "classes.png", (64, 77))
    assert hard.rule == "classes"
    np.testing.assert_array_equal(hard.share, classes(1, 2, 3) > 0)


def test_nothing_and_everything_are_plain() -> None:
    for mask in (np.zeros((8, 8)), np.full((8, 8), 255), np.eye(8) * 255):
        meant = understood(mask, 255.0)
        assert meant.rule == "plain"
        np.testing.assert_array_equal(meant.share, mask / 255)


def test_many_classes_with_sharp_edges_all_count() -> None:
    for values in (range(12, 252, 12), range(3, 256, 4)):
        mask = classes(*values, wide=5)
        assert understood(mask, 255.0).rule == "classes"
        np.testing.assert_array_equal(understood(mask, 255.0).share, mask > 0)


def test_rings_of_class_numbers_are_no_soft_edge() -> None:
    rings = np.zeros((64, 64), np.uint8)
    for level, radius in ((1, 11), (2, 10), (3, 9)):
        cv2.circle(rings, (32, 32), radius, level, -1)
    np.testing.assert_array_equal(understood(rings, 255.0).share, rings > 0)


def test_specks_of_noise_are_no_class() -> None:
    mask = np.random.default_rng(0).integers(0, 3, (256, 256)).astype(np.uint8)
    mask[60:90, 40:80] = 255
    np.testing.assert_array_equal(understood(mask, 255.0).share > 0.5, mask == 255)


def test_a_dark_class_beside_a_white_one_with_soft_edges_counts() -> None:
    mask = np.asarray(Image.fromarray(shape("disc")).resize((128, 128), 2)).copy()
    mask[5:25, 5:40] = 15
    meant = understood(mask, 255.0)
    assert meant.rule == "soft classes" and (meant.share[5:25, 5:40] > 0.5).all()


@pytest.mark.parametrize("level", [10, 30, 100])
def test_a_dark_jpeg_mask_is_cut_at_one_half_of_its_own_white(tmp_path: Path, level: int) -> None:
    Image.fromarray(shape("ellipse", level)).save(tmp_path / "m.jpg", quality=75)
    got = read_mask(tmp_path / "m.jpg", (512, 512))
    assert (got != (shape("ellipse") > 0)).mean() < (0.02 if level < 16 else 0.004)


@pytest.mark.parametrize(
    ("side", "sigma", "wide"),
    [(64, 3, 20), (64, 4, 30), (128, 4, 40), (128, 6, 60), (256, 10, 60), (512, 10, 100), (256, 40, 120)],
)
def test_a_blurred_mask_is_soft_and_no_photograph_at_any_size(side: int, sigma: float, wide: int) -> None:
    sharp = np.zeros((side, side), np.uint8)
    cv2.circle(sharp, (side // 2, side // 2), wide // 2, 255, -1)
    grey = cv2.GaussianBlur(sharp, (0, 0), sigma)
    meant = understood(grey, 255.0)
    assert meant.rule == "soft edges" and not is_textured(grey, 255.0)
    np.testing.assert_array_equal(meant.share > 0.5, grey > grey.max() / 2)


def test_soft_edges_of_a_grey_level_are_cut_at_one_half_of_it() -> None:
    grey = np.asarray(Image.fromarray(shape("disc", 200)).resize((128, 128), 2))
    np.testing.assert_array_equal(understood(grey, 255.0).share > 0.5, grey > 100)
