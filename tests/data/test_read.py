"""One picture, every way it may be stored, and every way it may be broken."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import pixels, save, square_mask

from ddad_jax.data import decode, to_float
from ddad_jax.data.read import image_size, read_image, read_mask, read_mask_float
from ddad_jax.errors import InputError

SIZE = 16
RGB = pixels(0)
GREY = RGB[..., 0]


def resized(array: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(array).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".TIFF"])
def test_lossless_formats_give_the_same_pixels(tmp_path: Path, suffix: str) -> None:
    got = read_image(save(RGB, tmp_path / f"a{suffix}"), SIZE)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, resized(RGB))


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_lossy_formats_are_close(tmp_path: Path, suffix: str) -> None:
    ramp = np.tile(np.linspace(40, 200, 28).astype(np.uint8)[None, :, None], (20, 1, 3))
    got = read_image(save(ramp, tmp_path / f"a{suffix}"), SIZE)
    assert np.abs(got.astype(int) - resized(ramp)).max() <= 8


def test_grey_is_repeated(tmp_path: Path) -> None:
    got = read_image(save(GREY, tmp_path / "a.png"), SIZE)
    np.testing.assert_array_equal(got, np.stack([resized(GREY)] * 3, -1))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    got = read_image(save(GREY.astype(np.uint16) * 257, tmp_path / f"a{suffix}"), SIZE)
    np.testing.assert_array_equal(got, read_image(save(GREY, tmp_path / "b.png"), SIZE))


def test_big_endian_sixteen_bit_tiff(tmp_path: Path) -> None:
    wide = Image.frombytes("I;16B", (28, 20), (GREY.astype(">u2") * 257).tobytes())
    wide.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", SIZE)[..., 0], resized(GREY))


def test_transparency_shows_black(tmp_path: Path) -> None:
    alpha = np.full((20, 28, 1), 255, np.uint8)
    alpha[:, :14] = 0
    got = read_image(save(np.concatenate([RGB, alpha], -1), tmp_path / "a.png"), SIZE)
    np.testing.assert_array_equal(got, resized(np.where(alpha > 0, RGB, 0).astype(np.uint8)))
    grey = np.stack([GREY, alpha[..., 0]], -1)
    Image.fromarray(grey).save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png", SIZE)[:, :6].max() == 0


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    indexed = Image.fromarray(RGB).quantize(8)
    indexed.save(tmp_path / "a.png")
    plain = read_image(tmp_path / "a.png", SIZE)
    np.testing.assert_array_equal(plain, resized(np.asarray(indexed.convert("RGB"))))
    indexed.save(tmp_path / "b.png", transparency=0)
    assert read_image(tmp_path / "b.png", SIZE).mean() < plain.mean()


def test_one_bit_and_cmyk(tmp_path: Path) -> None:
    bits = GREY > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    expected = resized(bits.astype(np.uint8) * 255)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", SIZE)[..., 1], expected)
    flat = np.full((20, 28, 3), (200, 60, 30), np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "b.jpg")
    assert np.abs(read_image(tmp_path / "b.jpg", SIZE).astype(int) - (200, 60, 30)).max() <= 6


def test_floating_point_lies_between_0_and_1(tmp_path: Path) -> None:
    got = read_image(save(GREY.astype(np.float32) / 255, tmp_path / "a.tif"), SIZE)
    np.testing.assert_array_equal(got[..., 0], resized(GREY))
    with pytest.raises(InputError, match=r"b\.tif.*expected 0 to 1"):
        read_image(save(GREY.astype(np.float32), tmp_path / "b.tif"), SIZE)


def test_exif_orientation_is_followed_unless_told_otherwise(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown rotated by 90 degrees clockwise
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    upright = np.ascontiguousarray(np.rot90(RGB, -1))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", SIZE), resized(upright))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", SIZE, orient=False), resized(RGB))
    assert image_size(tmp_path / "a.png") == (28, 20)
    assert image_size(tmp_path / "a.png", orient=False) == (20, 28)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    whole = save(pixels(1, 200, 200), tmp_path / f"whole{suffix}").read_bytes()
    for part in (0, 10, len(whole) // 2):
        (tmp_path / f"cut{suffix}").write_bytes(whole[:part])
        with pytest.raises(InputError, match=f"cut\\{suffix}"):
            read_image(tmp_path / f"cut{suffix}", SIZE)


def test_damaged_foreign_and_missing_files_are_named(tmp_path: Path) -> None:
    data = bytearray(save(RGB, tmp_path / "whole.png").read_bytes())
    data[40:60] = b"\xff" * 20
    (tmp_path / "damaged.png").write_bytes(data)
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "postscript.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    for name in ("damaged.png", "text.png", "postscript.png", "missing.png"):
        with pytest.raises(InputError, match=name):
            read_image(tmp_path / name, SIZE)
    with pytest.raises(InputError, match=r"text\.png"):
        image_size(tmp_path / "text.png")
    with pytest.raises(InputError, match=r"missing\.png: no such file"):
        image_size(tmp_path / "missing.png")


def test_an_image_that_decompresses_beyond_reason_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(RGB, tmp_path / "huge.png")
    monkeypatch.setattr(decode, "MOST_PIXELS", 100)
    with pytest.raises(InputError, match=r"huge\.png: 20 x 28 pixels.*at most"):
        read_image(path, SIZE)


@pytest.mark.parametrize("value", [1, 2, 128, 200, 255])
def test_any_foreground_value_gives_the_same_mask(tmp_path: Path, value: int) -> None:
    got = read_mask(save(square_mask(value=value), tmp_path / "m.png"), SIZE)
    assert got.dtype == bool
    np.testing.assert_array_equal(got, resized(square_mask()) > 127)


def test_wide_float_bit_and_colour_masks(tmp_path: Path) -> None:
    mask = square_mask()
    expected = resized(mask) > 127
    save(mask.astype(np.uint16) * 257, tmp_path / "full.png")
    save(mask.astype(np.uint16), tmp_path / "low.png")
    save(mask.astype(np.float32) / 255, tmp_path / "float.tif")
    save(mask > 0, tmp_path / "bits.png")
    save(np.stack([mask, 0 * mask, 0 * mask], -1), tmp_path / "red.png")
    palette = Image.fromarray(mask // 255)
    palette.putpalette([0, 0, 0, 64, 0, 0])  # makes it mode P
    assert palette.mode == "P"
    palette.save(tmp_path / "palette.png")
    for name in ("full.png", "low.png", "float.tif", "bits.png", "red.png", "palette.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name, SIZE), expected, err_msg=name)


def test_with_any_nonzero_the_faintest_grey_is_defective(tmp_path: Path) -> None:
    soft = np.asarray(Image.fromarray(square_mask(200, 280)).resize((28, 20), Image.Resampling.LANCZOS))
    path = save(soft, tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(path, soft.shape, any_nonzero=True), soft > 0)
    assert read_mask(path, soft.shape).sum() < read_mask(path, soft.shape, any_nonzero=True).sum()


def test_float_masks_keep_the_grey_edges_the_bool_mask_cuts_at_half(tmp_path: Path) -> None:
    path = save(square_mask(), tmp_path / "m.png")
    grey, hard = read_mask_float(path, SIZE), read_mask(path, SIZE)
    assert grey.dtype == np.float32
    assert ((grey > 0) & (grey < 1)).any()
    np.testing.assert_array_equal(hard, grey > 0.5)
    assert (grey == 1).sum() < hard.sum() < (grey > 0).sum()  # the published metrics' two rules differ from it


def test_empty_mask_is_empty(tmp_path: Path) -> None:
    assert not read_mask(save(np.zeros((20, 28), np.uint8), tmp_path / "m.png"), SIZE).any()


def test_mask_of_another_size_names_both_files_and_sizes(tmp_path: Path) -> None:
    image = save(RGB, tmp_path / "picture.png")
    mask = save(square_mask(40, 56), tmp_path / "picture_mask.png")
    with pytest.raises(InputError, match=r"picture_mask\.png is 40 x 56.*picture\.png is 20 x 28"):
        read_mask(mask, SIZE, image=image)


def test_mask_drawn_before_the_exif_turn_is_explained(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    mask = save(square_mask(), tmp_path / "m.png")
    with pytest.raises(InputError, match="save the picture upright, or turn the mask"):
        read_mask(mask, SIZE, image=tmp_path / "a.png")
    assert read_mask(mask, SIZE, image=tmp_path / "a.png", orient=False).any()


def test_to_float_spans_minus_one_to_one() -> None:
    got = to_float(np.arange(256, dtype=np.uint8))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, 2 * np.arange(256) / 255 - 1, atol=1.2e-7)
    assert (got[0], got[-1]) == (-1, 1)
