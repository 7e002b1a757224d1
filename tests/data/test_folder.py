"""The MVTec AD layout: what is read, what is passed over, what is refused and how it says so."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import mvtec, pixels, save, square_mask

from ddad_jax.data.folder import mvtec_folder
from ddad_jax.errors import InputError

SIZE = 12


def test_reads_the_layout_in_order(tmp_path: Path) -> None:
    mvtec(tmp_path)
    data = mvtec_folder(tmp_path, "bolt", SIZE, require_masks=True)
    assert data.name == "bolt"
    assert data.train.names == tuple(f"bolt/train/good/{i:03d}.png" for i in range(5))
    assert not data.train.labels.any() and data.train.has_mask.all()
    assert data.test.names == (
        "bolt/test/bent/000.png",
        "bolt/test/bent/001.png",
        "bolt/test/good/000.png",
        "bolt/test/good/001.png",
        "bolt/test/rust/000.png",
    )
    assert data.test.defects == ("bent", "bent", "good", "good", "rust")
    assert data.test.labels.tolist() == [1, 1, 0, 0, 1]
    assert data.test.masks.any((1, 2)).tolist() == [True, True, False, False, True]
    assert data.test.has_mask.all()


def test_root_may_be_the_category(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    for category in ("", "."):
        data = mvtec_folder(base, category, SIZE)
        assert data.name == "bolt"
        assert data.train.names[0] == "train/good/000.png"


def test_stray_files_are_passed_over_and_suffixes_are_in_any_case(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    for folder in ("train/good", "test/good", "test/bent", "ground_truth/bent", "test"):
        (base / folder / "Thumbs.db").write_bytes(b"x")
        (base / folder / ".DS_Store").write_bytes(b"x")
        (base / folder / "._000.png").write_bytes(b"x")
    (base / "train/good/notes.txt").write_text("x")
    (base / "train/good/folder.png").mkdir()
    (base / "test/.cache").mkdir()
    save(pixels(9), base / "train/good/photo.JPeG")
    save(pixels(9), base / "test/bent/photo.TIF")
    save(square_mask(), base / "ground_truth/bent/photo_mask.BMP")
    data = mvtec_folder(tmp_path, "bolt", SIZE, require_masks=True)
    assert data.train.names[-1] == "bolt/train/good/photo.JPeG" and len(data.train.names) == 6
    assert "bolt/test/bent/photo.TIF" in data.test.names and len(data.test.names) == 6


def test_a_folder_whose_name_only_ends_with_good_is_not_normal(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    save(pixels(1), base / "test/not_good/000.png")
    save(pixels(1), base / "train/not_good/000.png")
    data = mvtec_folder(tmp_path, "bolt", SIZE)
    assert data.test.labels[data.test.defects.index("not_good")] == 1
    assert len(data.train.names) == 5


@pytest.mark.parametrize("name", ["Good", "GOOD", "ok", "OK", "normal", "Normal"])
def test_normal_pictures_by_another_usual_name_are_normal_and_said_to_be(tmp_path: Path, name: str) -> None:
    base = mvtec(tmp_path)
    (base / "test/good").rename(base / "test" / name)
    (base / "train/good").rename(base / "train" / name)
    data = mvtec_folder(tmp_path, "bolt", SIZE)
    assert len(data.train.names) == 5 and sorted(data.test.labels.tolist()) == [0, 0, 1, 1, 1]
    assert set(data.test.defects) == {"good", "bent", "rust"}
    assert [note for note in data.notes if f"train/{name}, test/{name} are taken for normal" in note]
    (base / "test/good").mkdir()
    save(pixels(7), base / "test/good/000.png")
    assert mvtec_folder(tmp_path, "bolt", SIZE).test.defects.count("good") == 3


def test_a_mask_of_two_pictures_is_refused_and_the_ending_tells_them_apart(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    save(pixels(5), base / "test/bent/000.bmp")
    with pytest.raises(InputError, match=r"000_mask\.png may be the mask of .*000\.bmp or of .*000\.png.*bmp_mask"):
        mvtec_folder(tmp_path, "bolt", SIZE)
    (base / "ground_truth/bent/000_mask.png").rename(base / "ground_truth/bent/000.bmp_mask.png")
    data = mvtec_folder(tmp_path, "bolt", SIZE)
    assert len(set(data.test.names)) == len(data.test.names) == 6
    i, j = (data.test.names.index(f"bolt/test/bent/000.{s}") for s in ("bmp", "png"))
    assert (data.test.images[i] != data.test.images[j]).any()
    assert data.test.masks[i].any() and not data.test.has_mask[j]


def test_name_mask_goes_before_plain_name_and_two_of_one_form_are_refused(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    save(np.zeros((20, 28), np.uint8), base / "ground_truth/bent/000.png")
    assert mvtec_folder(tmp_path, "bolt", SIZE).test.masks[0].any()
    save(square_mask(), base / "ground_truth/bent/000_mask.tif")
    with pytest.raises(InputError, match=r"more than one mask.*000_mask\.png.*000_mask\.tif"):
        mvtec_folder(tmp_path, "bolt", SIZE)


def test_defect_without_mask_is_kept_unless_masks_are_required(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    (base / "ground_truth/bent/001_mask.png").unlink()
    data = mvtec_folder(tmp_path, "bolt", SIZE)
    assert data.test.has_mask.tolist() == [True, False, True, True, True]
    with pytest.raises(InputError, match=r"1 defect pictures have no mask.*bolt/test/bent/001\.png"):
        mvtec_folder(tmp_path, "bolt", SIZE, require_masks=True)
    shutil.rmtree(base / "ground_truth")
    assert mvtec_folder(tmp_path, "bolt", SIZE).test.has_mask.tolist() == [False, False, True, True, False]


def test_test_set_without_defects_or_without_good(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    shutil.rmtree(base / "test/bent")
    shutil.rmtree(base / "test/rust")
    assert not mvtec_folder(tmp_path, "bolt", SIZE).test.labels.any()
    shutil.rmtree(base / "test/good")
    save(pixels(1), base / "test/bent/000.png")
    (base / "test/nothing_yet").mkdir()
    assert mvtec_folder(tmp_path, "bolt", SIZE).test.labels.tolist() == [1]


def test_pictures_of_all_formats_and_sizes_together(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    save(pixels(1, 9, 50)[..., 0], base / "train/good/grey.png")
    save(pixels(2)[..., 0].astype(np.uint16) * 257, base / "train/good/sixteen.tif")
    Image.fromarray(pixels(3)).quantize(8).save(base / "train/good/palette.png")
    Image.fromarray(pixels(4)).convert("RGBA").save(base / "train/good/alpha.png")
    assert mvtec_folder(tmp_path, "bolt", SIZE).train.images.shape == (9, SIZE, SIZE, 3)


def test_orientation_reaches_the_reader(tmp_path: Path) -> None:
    base = mvtec(tmp_path, n_train=1)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels(0)).save(base / "train/good/000.png", exif=exif)
    turned, stored = (mvtec_folder(tmp_path, "bolt", SIZE, orient=o).train.images[0] for o in (True, False))
    assert np.abs(turned[::-1, ::-1].astype(int) - stored).max() <= 1


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere \(the data root\) does not exist.*data\.root"):
        mvtec_folder(tmp_path / "nowhere", "bolt", SIZE)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        mvtec_folder(tmp_path / "file", "bolt", SIZE)


def test_missing_category_lists_those_found(tmp_path: Path) -> None:
    mvtec(tmp_path, "bolt")
    mvtec(tmp_path, "nut")
    (tmp_path / "papers").mkdir()
    with pytest.raises(InputError, match=r"'screw'.*found in .*: bolt, nut\."):
        mvtec_folder(tmp_path, "screw", SIZE)
    with pytest.raises(InputError, match="no category was named.*bolt, nut"):
        mvtec_folder(tmp_path, "", SIZE)
    with pytest.raises(InputError, match=f"pass root={tmp_path} and category=bolt"):
        mvtec_folder(tmp_path / "bolt", "screw", SIZE)


def test_no_train_good(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    (base / "train/good").rename(base / "train/stock")
    with pytest.raises(InputError, match=r"train/good .*does not exist.*holds: stock.*named 'good', or ok"):
        mvtec_folder(tmp_path, "bolt", SIZE)
    shutil.rmtree(base / "train")
    with pytest.raises(InputError, match=r"train/good .*does not exist.*Put normal pictures"):
        mvtec_folder(tmp_path, "bolt", SIZE)


def test_empty_train_good(tmp_path: Path) -> None:
    base = mvtec(tmp_path, n_train=0)
    (base / "train/good").mkdir(parents=True)
    (base / "train/good/a.gif").write_bytes(b"x")
    with pytest.raises(InputError, match=r"train/good has no pictures in it \(it holds a\.gif\)"):
        mvtec_folder(tmp_path, "bolt", SIZE)


def test_missing_and_empty_test(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    shutil.rmtree(base / "test")
    with pytest.raises(InputError, match=r"test \(test pictures\) does not exist.*test/good or test/DEFECT"):
        mvtec_folder(tmp_path, "bolt", SIZE)
    (base / "test/good").mkdir(parents=True)
    with pytest.raises(InputError, match="no pictures in folders of its own"):
        mvtec_folder(tmp_path, "bolt", SIZE)
    save(pixels(0), base / "test/loose.png")
    with pytest.raises(InputError, match=r"it holds good, loose\.png"):
        mvtec_folder(tmp_path, "bolt", SIZE)


def test_broken_picture_and_mask_of_another_size_are_named(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    save(square_mask(10, 14), base / "ground_truth/bent/001_mask.png")
    with pytest.raises(InputError, match=r"001_mask\.png is 10 x 14.*bent/001\.png is 20 x 28"):
        mvtec_folder(tmp_path, "bolt", SIZE)
    bad = base / "train/good/003.png"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(InputError, match=r"train/good/003\.png: cannot be read"):
        mvtec_folder(tmp_path, "bolt", SIZE)


@pytest.mark.parametrize("category", ["../other/bolt", "bolt/..", "{root}/bolt", "bolt/../../other/bolt", "..\\other"])
def test_a_category_that_leads_out_of_the_root_is_refused(tmp_path: Path, category: str) -> None:
    root = tmp_path / "root"
    mvtec(root), mvtec(tmp_path / "other")
    with pytest.raises(InputError, match=r"--config\.data\.category: .*leads out of"):
        mvtec_folder(root, category.format(root=root), SIZE)
    assert mvtec_folder(tmp_path, "root/bolt", SIZE).test.names[0].startswith("root/bolt/test/")
