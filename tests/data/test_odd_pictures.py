"""One folder of odd files through every entry that reads pictures: they agree, or all refuse."""

import io
from pathlib import Path

import numpy as np
import pytest
from odd_pictures import REFUSED, RGB, SOUND, png, written
from PIL import Image

from ddad_jax.data import decode
from ddad_jax.data.encode import plain_image
from ddad_jax.data.listing import picture_files
from ddad_jax.data.load import Picture, load_pictures
from ddad_jax.data.read import encoded, image_size, read_full, read_image, read_mask, read_mask_float, resized
from ddad_jax.engine.detector import run_exported
from ddad_jax.errors import InputError
from ddad_jax.sources import Frame
from ddad_jax.sources.folder import FolderSource
from ddad_jax.vision.view_mask import read_view_mask

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Metadata Warning", "ignore:Truncated File")
SIZE = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    written(folder)
    return folder


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("orient", [True, False])
def test_every_entry_sees_the_same_pixels_and_the_same_size(folder: Path, name: str, orient: bool) -> None:
    path = folder / name
    full, small = read_full(path, orient=orient), read_image(path, SIZE, orient=orient)
    assert image_size(path, orient=orient) == full.shape[:2]
    np.testing.assert_array_equal(resized(full, SIZE), small)
    np.testing.assert_array_equal(load_pictures([Picture(path, name)], SIZE, orient=orient).image_set.images[0], small)
    record = plain_image(encoded(path), orient=orient)
    assert record.size == full.shape[:2]
    with Image.open(io.BytesIO(record.data)) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), full)
    # Its mask is of its size, whatever the file: none is refused, and the other way round neither.
    assert read_mask_float(path, full.shape[:2], image=path, orient=orient).shape == full.shape[:2]
    if orient:
        np.testing.assert_array_equal(run_exported.read_input(path, [SIZE, SIZE]), small)


@pytest.mark.parametrize("name", REFUSED)
def test_every_entry_refuses_and_names_the_file(folder: Path, name: str) -> None:
    path, said = folder / name, name.replace(".", r"\.")
    for read in (
        lambda: read_full(path),
        lambda: read_image(path, SIZE),
        lambda: load_pictures([Picture(path, name)], SIZE, orient=True),
        lambda: plain_image(encoded(path)),
    ):
        with pytest.raises(InputError, match=said):
            read()
    with pytest.raises(run_exported.Refused, match=said):
        run_exported.read_input(path, [SIZE, SIZE])


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a" + b"\0" * 40])
def test_what_is_no_picture_is_refused_without_an_object_of_python(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (lambda: read_full(path), lambda: read_full(encoded(path)), lambda: read_mask(path, SIZE)):
        with pytest.raises(InputError, match=r"a\.png: .*\(no picture of these formats\).*PNG, JPEG") as error:
            read()
        assert "object at" not in str(error.value) and "<" not in str(error.value)
    with pytest.raises(run_exported.Refused, match=r"a\.png: .*\(no picture of these formats\); PNG, JPEG") as refused:
        run_exported.read_input(path, [SIZE, SIZE])
    assert "<" not in str(refused.value)


def test_a_file_that_may_not_be_read_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match=r"a\.png: cannot be read as an image \(Is a directory\)\."):
        read_full(tmp_path / "a.png")


def test_the_same_files_are_pictures_to_all(folder: Path) -> None:
    expected = sorted((*SOUND, *REFUSED))
    source = FolderSource(folder)
    assert sorted(path.name for path in source.files) == [path.name for path in picture_files(folder)] == expected
    for path, frame in zip(source.files, source.frames(), strict=True):
        assert isinstance(frame, Frame) == (path.name in SOUND)
        if isinstance(frame, Frame):
            np.testing.assert_array_equal(frame.color, read_full(path))


def test_a_mask_of_a_turned_tiff_fits_it(tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.tif", exif=tag)
    upright = np.rot90(RGB, -1)
    np.testing.assert_array_equal(read_full(tmp_path / "a.tif"), upright)
    np.testing.assert_array_equal(read_full(tmp_path / "a.tif", orient=False), RGB)
    mask = np.zeros((30, 20), np.uint8)
    mask[:15] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", (30, 20), image=tmp_path / "a.tif")[:15].all()
    assert read_view_mask(tmp_path / "m.png", "", (30, 20), picture_size=image_size(tmp_path / "a.tif"))[:15].all()


def test_a_large_sound_picture_is_read(tmp_path: Path) -> None:
    """More than Pillow's own limit."""
    row = b"\0" + b"\xff" * (14_000 // 8)
    png(tmp_path / "large.png", 1, 0, (14_000, 14_000), row * 14_000)
    assert image_size(tmp_path / "large.png") == (14_000, 14_000)
    assert (read_image(tmp_path / "large.png", SIZE) == 255).all()
    assert (run_exported.read_input(tmp_path / "large.png", [SIZE, SIZE]) == 255).all()


def test_a_size_that_memory_cannot_hold_is_refused_by_the_header(tmp_path: Path) -> None:
    for side in (32_000, 60_000):  # below and above what Pillow itself would refuse
        png(tmp_path / "bomb.png", 8, 0, (side, side), b"\0" * 100)
        for read in (image_size, read_full, lambda path: read_mask(path, SIZE)):
            with pytest.raises(InputError, match=r"bomb\.png: .*pixels.*at most 1000 million") as error:
                read(tmp_path / "bomb.png")
            assert "truncated" not in str(error.value)
        with pytest.raises(run_exported.Refused, match=r"bomb\.png: .*at most 1000 million"):
            run_exported.read_input(tmp_path / "bomb.png", [SIZE, SIZE])


def test_the_script_reads_the_same_formats_up_to_the_same_size() -> None:
    assert run_exported.PICTURES == decode.FORMATS
    assert run_exported.MOST_PIXELS == decode.MOST_PIXELS
