"""What holds for every kind of data set, whoever added it."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
import trees
from ml_collections import ConfigDict
from PIL import Image
from trees import save, square_mask

from ddad_jax.data.cans import cans
from ddad_jax.data.load import Pictures
from ddad_jax.data.read import image_size, read_full, read_image
from ddad_jax.engine.data import data_sets
from ddad_jax.engine.data.data_sets import KINDS, picture_size
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.settings import sections
from ddad_jax.engine.settings.sections import DataSettings
from ddad_jax.engine.settings.setting import settings_in
from ddad_jax.engine.verdicts.verdicts import Judged, drawn_size, original
from ddad_jax.errors import InputError


def prepared(root: Path) -> None:
    pytest.importorskip("tensorflow_datasets", reason="pip install 'ddad-jax[datasets]'")
    from ddad_jax.data.tfds import builder_of

    pictures = tiny_runs.folder(root / "pictures")
    builder_of("folder", root, root=pictures, category="bolt").download_and_prepare()


TREES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "folder": (tiny_runs.folder, "bolt"),
    "visa": (trees.visa, "candle"),
    "mtd": (trees.mtd, ""),
    "cans": (lambda root: None, "coffee"),
    "tfds": (prepared, "ddad_folder/bolt"),
}
"""``data.kind`` -> what writes a small one into a folder, and its ``data.category``."""

FILES = [name for name, kind in KINDS.items() if kind.pictures]


@pytest.fixture(autouse=True)
def few_cans(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual number takes a while to render."""
    monkeypatch.setattr(data_sets, "cans", functools.partial(cans, n_train=4, n_test_good=2, n_defect=1))


def written(root: Path, name: str, **changes: Any) -> ConfigDict:
    """The settings of a small data set of this kind, which is written first."""
    tree, category = TREES[name]
    tree(root)
    # Of VisA's there are three pictures to learn from: no spread to standardise with.
    changes |= {"score__standardise": False, "sweep__standardise": ()}
    return tiny_runs.config(root, data__kind=name, data__category=category, **changes)


def listed(c: ConfigDict) -> Pictures:
    of = KINDS[c.data.kind].pictures
    assert of is not None
    return of(c)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_read_from_the_config(name: str, tmp_path: Path) -> None:
    c = written(tmp_path, name)
    data = load_data(c)
    assert data.n_fit and data.n_held_out and {*data.fit.labels, *data.held_out.labels} == {0}
    assert {*data.test.labels} == {0, 1}, "good and defective pictures to test on"
    found = KINDS[name].load(c)
    in_files = [(tmp_path / picture).is_file() for picture in (*found.train.names, *found.test.names)]
    if KINDS[name].pictures is None:
        assert not any(in_files), "its pictures lie in files: Kind.pictures must list them"
    else:
        assert all(in_files)
        assert found.train.names == tuple(picture.name for picture in listed(c).train)
        assert found.test.names == tuple(picture.name for picture in listed(c).test)


@pytest.mark.parametrize("name", FILES)
def test_a_picture_is_drawn_on_as_it_was_read(name: str, tmp_path: Path) -> None:
    """A wrong ``Kind.upright`` would put every contour on a picture that lies on its side."""
    c, exif = written(tmp_path, name), Image.Exif()
    exif[0x0112] = 6
    at, path = next((i, p.path) for i, p in enumerate(listed(c).test) if not p.masks)
    with Image.open(path) as picture:
        picture.save(path, exif=exif)
    test, upright = KINDS[name].load(c).test, KINDS[name].upright
    np.testing.assert_array_equal(test.images[at], read_image(path, picture_size(c), orient=upright))
    none = np.zeros(len(test.labels))
    judged = Judged(test, none, test.masks.astype(np.float32), test.masks)
    assert drawn_size(c, judged, at) == image_size(path, orient=upright)
    np.testing.assert_array_equal(original(c, judged, at), read_full(path, orient=upright))


@pytest.mark.parametrize("name", FILES)
def test_a_view_mask_drawn_for_pictures_of_another_size_is_refused(name: str, tmp_path: Path) -> None:
    c = written(tmp_path, name, view__mask=str(save(square_mask(40, 56), tmp_path / "mask.png")))
    with pytest.raises(InputError, match="is for pictures of 40 x 56|expected pictures of one size"):
        load_data(c)


def test_every_kind_is_one_that_its_setting_may_name_and_that_its_help_says() -> None:
    (kind,) = (each for each in settings_in(DataSettings) if each.flag == "kind")
    assert {*KINDS} == {*sections.KINDS} <= {*re.findall(r"\w+", kind.help)}
