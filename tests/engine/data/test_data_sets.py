"""What holds for every kind of data set, whoever added it."""

import re
from pathlib import Path

import kinds
import numpy as np
import pytest
from kinds import written
from PIL import Image
from trees import save, square_mask

from ddad_jax.data.load import Pictures, data_set
from ddad_jax.data.read import image_size, read_full, read_image
from ddad_jax.data.split import images_fingerprint
from ddad_jax.engine.data.data_sets import KINDS, picture_size
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.settings import sections
from ddad_jax.engine.settings.sections import DataSettings
from ddad_jax.engine.settings.setting import settings_in
from ddad_jax.engine.verdicts.verdicts import JudgedPictures, drawn_size, files_of, original
from ddad_jax.errors import InputError

FILES = ["folder", "visa", "mtd"]
"""Of which each picture is a file below ``data.root``."""


@pytest.fixture(autouse=True)
def few_cans(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds.few_cans(monkeypatch)


def listed(c: DDADSettings) -> Pictures:
    return KINDS[c.data.kind].pictures(c.data, c.seed)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_read_from_the_config(name: str, tmp_path: Path) -> None:
    c = written(tmp_path, name)
    data = load_data(c)
    assert data.n_fit and data.n_held_out and {*data.fit.labels, *data.held_out.labels} == {0}
    assert {*data.test.labels} == {0, 1}, "good and defective pictures to test on"
    found = KINDS[name].load(c.data, c.seed)
    in_files = {(tmp_path / picture).is_file() for picture in (*found.train.names, *found.test.names)}
    assert in_files == {name in FILES}


@pytest.mark.parametrize("size", [(32, 32), (40, 56)], ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_listed_is_what_is_loaded(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    c = written(tmp_path, name, **({"data__picture": size, "data__overlap": 8} if size != (32, 32) else {}))
    of_list = data_set(listed(c), size, orient=KINDS[name].upright)
    loaded = KINDS[name].load(c.data, c.seed)
    assert loaded.train.images.shape[1:] == (*size, 3)
    for part, other in ((of_list.train, loaded.train), (of_list.test, loaded.test)):
        assert images_fingerprint(part) == images_fingerprint(other)
    assert (of_list.name, of_list.recordings, of_list.notes) == (loaded.name, loaded.recordings, loaded.notes)


@pytest.mark.parametrize("name", KINDS)
def test_pictures_of_every_kind_are_cut_into_tiles(name: str, tmp_path: Path) -> None:
    data = load_data(written(tmp_path, name, data__picture=(48, 64), data__overlap=8))
    assert data.view.tiles == 6 and data.fit.images.shape == (6 * data.n_fit, 32, 32, 3)
    assert data.test.images.shape[1:] == (48, 64, 3) and data.test.masks.shape[1:] == (48, 64)


@pytest.mark.parametrize("name", FILES)
def test_a_picture_is_drawn_on_as_it_was_read(name: str, tmp_path: Path) -> None:
    """A wrong ``Kind.upright`` would put every contour on a picture that lies on its side."""
    c, exif = written(tmp_path, name), Image.Exif()
    exif[0x0112] = 6
    at, path = next((i, Path(str(p.path))) for i, p in enumerate(listed(c).test) if not p.masks)
    with Image.open(path) as picture:
        picture.save(path, exif=exif)
    test, upright = KINDS[name].load(c.data, c.seed).test, KINDS[name].upright
    np.testing.assert_array_equal(test.images[at], read_image(path, picture_size(c.data), orient=upright))
    none = np.zeros(len(test.labels))
    files = files_of(c.data, c.view, test.names)
    judged = JudgedPictures(test, none, test.masks.astype(np.float32), test.masks, files)
    assert drawn_size(judged, at) == image_size(path, orient=upright)
    np.testing.assert_array_equal(original(judged, at), read_full(path, orient=upright))


@pytest.mark.parametrize("name", [*FILES, "tfds"])
def test_a_view_mask_drawn_for_pictures_of_another_size_is_refused(name: str, tmp_path: Path) -> None:
    c = written(tmp_path, name, view__mask=str(save(square_mask(40, 56), tmp_path / "mask.png")))
    with pytest.raises(InputError, match="is for pictures of 40 x 56|expected pictures of one size"):
        load_data(c)


def test_every_kind_is_one_that_its_setting_may_name_and_that_its_help_says() -> None:
    (kind,) = (each for each in settings_in(DataSettings) if each.flag == "kind")
    assert {*KINDS} == {*sections.KINDS} <= {*re.findall(r"\w+", kind.help)}
