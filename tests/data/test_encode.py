"""What goes into records: published files untouched, everything else as pixels that every decoder agrees on."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from trees import pixels, save, square_mask

from ddad_jax.data.encode import plain_image, plain_mask
from ddad_jax.data.read import Encoded, encoded, image_size, read_full, read_image, read_mask_float
from ddad_jax.errors import InputError

RGB = pixels(0)
GREY = RGB[..., 0]
TURNED = Image.Exif()
TURNED[0x0112] = 6


def written(folder: Path, name: str, picture: np.ndarray | Image.Image, **how: Any) -> Path:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(folder / name, **how)
    return folder / name


def elsewhere(data: bytes) -> np.ndarray:
    """The pixels another decoder finds, RGB."""
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint8 and found.shape[2:] in ((), (3,))
    return np.repeat(found[..., None], 3, axis=-1) if found.ndim == 2 else found[..., ::-1]


@pytest.mark.parametrize(("name", "picture"), [("a.png", RGB), ("a.png", GREY), ("a.jpg", RGB), ("a.JPEG", GREY)])
def test_published_files_go_in_as_they_are(tmp_path: Path, name: str, picture: np.ndarray) -> None:
    path = written(tmp_path, name, picture)
    assert plain_image(encoded(path)) == (path.read_bytes(), (20, 28))


ODD: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "16-bit grey": ("a.png", GREY.astype(np.uint16) * 257, {}),
    "palette": ("a.png", Image.fromarray(RGB).quantize(8), {}),
    "alpha": ("a.png", np.concatenate([RGB, RGB[..., :1]], -1), {}),
    "a transparent grey": ("a.png", GREY, {"transparency": 7}),
    "one bit": ("a.png", GREY > 127, {}),
    "tiff": ("a.tif", RGB, {}),
    "float": ("a.tif", GREY.astype(np.float32) / 255, {}),
    "bmp": ("a.bmp", RGB, {}),
    "webp": ("a.webp", RGB, {"lossless": True}),
    "cmyk": ("a.jpg", Image.fromarray(RGB).convert("CMYK"), {}),
    "turned": ("a.jpg", RGB, {"exif": TURNED}),
    "animated": ("a.png", Image.fromarray(RGB), {"save_all": True, "append_images": [Image.fromarray(RGB[::-1])]}),
}


@pytest.mark.parametrize("case", ODD)
def test_everything_else_becomes_the_pixels_that_the_network_is_given(tmp_path: Path, case: str) -> None:
    name, picture, how = ODD[case]
    path = written(tmp_path, name, picture, **how)
    found = plain_image(encoded(path))
    np.testing.assert_array_equal(elsewhere(found.data), read_full(path))
    assert found.size == image_size(path) and found.data != path.read_bytes()
    for size in (16, 33):
        np.testing.assert_array_equal(read_image(Encoded("it", found.data), size, orient=False), read_image(path, size))


def test_sixteen_bit_colour_is_not_taken_for_eight(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), RGB.astype(np.uint16) * 257)
    found = plain_image(encoded(tmp_path / "a.png"))
    np.testing.assert_array_equal(elsewhere(found.data), read_full(tmp_path / "a.png"))


def test_a_turned_file_that_shall_not_be_turned_stays_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jpg", RGB, exif=TURNED)
    assert plain_image(encoded(path), orient=False) == (path.read_bytes(), (20, 28))
    assert plain_image(encoded(path)).size == (28, 20)


CLASSES = np.where(np.arange(28)[None] > 14, square_mask(value=3), square_mask(value=1))
MASKS: dict[str, tuple[str, Any, bool]] = {
    "0 and 255": ("m.png", square_mask(), True),
    "classes": ("m.png", CLASSES, True),
    "grey edges": ("m.png", np.where(square_mask() > 0, GREY | 128, 0).astype(np.uint8), True),
    "one bit": ("m.png", square_mask() > 0, False),
    "colour": ("m.png", np.stack([square_mask()] * 3, -1), False),
    "palette": ("m.png", Image.fromarray(CLASSES).convert("P"), False),
    "16 bits": ("m.png", square_mask().astype(np.uint16) * 257, False),
    "tiff": ("m.tif", square_mask(), False),
}


@pytest.mark.parametrize("any_nonzero", [False, True])
@pytest.mark.parametrize("case", MASKS)
def test_a_mask_is_read_from_the_record_as_from_its_file(tmp_path: Path, case: str, any_nonzero: bool) -> None:
    name, mask, untouched = MASKS[case]
    path, image = written(tmp_path, name, mask), save(RGB, tmp_path / "a.png")
    found = plain_mask(encoded(path), image=image, any_nonzero=any_nonzero)
    assert (found.data == path.read_bytes()) == untouched and found.size == (20, 28)
    for size in (16, 28):
        np.testing.assert_array_equal(
            read_mask_float(Encoded("it", found.data), size, any_nonzero=any_nonzero, orient=False),
            read_mask_float(path, size, any_nonzero=any_nonzero),
        )


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = save(RGB, tmp_path / "a.png")
    with pytest.raises(InputError, match=r"b\.png: no such file"):
        encoded(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"a\.png: cannot be read as an image"):
        plain_image(Encoded(str(path), path.read_bytes()[:300]))
    small = save(square_mask(10, 28), tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m\.png is 10 x 28 .*a\.png is 20 x 28"):
        plain_mask(encoded(small), image=path)
