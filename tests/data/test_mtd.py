"""MTD's six folders and the paper's 80 % rule."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from trees import mtd, save, square_mask

from ddad_jax.data.mtd import mtd as load_mtd
from ddad_jax.errors import InputError

SIZE = 12


def test_eighty_percent_of_the_free_pictures_are_for_training(tmp_path: Path) -> None:
    data = load_mtd(mtd(tmp_path), SIZE)
    assert data.name == "mtd"
    assert len(data.train.names) == 8 and set(data.train.defects) == {"good"}
    assert data.test.defects == ("good", "good", "blowhole", "break", "crack", "fray", "uneven")
    assert data.test.labels.tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert data.test.has_mask.all()
    assert data.test.masks.any((1, 2)).tolist() == [False] * 2 + [True] * 5
    assert not set(data.train.names) & set(data.test.names)
    assert data.test.names[2] == "MT_Blowhole/Imgs/exp2_num_0.jpg"


def test_split_is_a_function_of_the_seed(tmp_path: Path) -> None:
    root = mtd(tmp_path)
    splits = [load_mtd(root, SIZE, seed=s).train.names for s in (0, 0, 1, 2)]
    assert splits[0] == splits[1]
    assert len(set(splits)) > 1
    assert all(list(names) == sorted(names) for names in splits)


def test_grey_pictures_have_three_equal_channels(tmp_path: Path) -> None:
    images = load_mtd(mtd(tmp_path), SIZE).train.images
    np.testing.assert_array_equal(images[..., :1].repeat(3, -1), images)


def test_fraction_leaves_a_picture_on_either_side(tmp_path: Path) -> None:
    root = mtd(tmp_path, n_free=2)
    for fraction in (0.01, 0.99):
        data = load_mtd(root, SIZE, train_fraction=fraction)
        assert len(data.train.names) == 1 and data.test.defects.count("good") == 1
    for fraction in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="train_fraction"):
            load_mtd(root, SIZE, train_fraction=fraction)


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_mtd(tmp_path / "nowhere", SIZE)
    root = mtd(tmp_path / "a")
    shutil.rmtree(root / "MT_Crack")
    with pytest.raises(InputError, match=r"MT_Crack.*does not exist.*holds MT_Blowhole, MT_Break, MT_Fray"):
        load_mtd(root, SIZE)
    (root / "MT_Crack/Imgs").mkdir(parents=True)
    with pytest.raises(InputError, match=r"MT_Crack/Imgs holds no \.jpg"):
        load_mtd(root, SIZE)
    with pytest.raises(InputError, match="holds 1 picture"):
        load_mtd(mtd(tmp_path / "b", n_free=1), SIZE)


def test_missing_mask_and_mask_of_another_size(tmp_path: Path) -> None:
    root = mtd(tmp_path)
    mask = save(square_mask(7, 7), root / "MT_Fray/Imgs/exp2_num_3.png")
    with pytest.raises(InputError, match=r"exp2_num_3\.png is 7 x 7.*exp2_num_3\.jpg"):
        load_mtd(root, SIZE)
    mask.unlink()
    with pytest.raises(InputError, match=r"exp2_num_3\.jpg has no mask exp2_num_3\.png"):
        load_mtd(root, SIZE)
