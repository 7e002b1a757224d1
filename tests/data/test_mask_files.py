"""Masks are found as data sets and annotators name them; what could be meant in two ways is refused."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import mvtec, pixels, save, square_mask

from ddad_jax.data.folder import mvtec_folder, mvtec_pictures
from ddad_jax.data.load import Picture
from ddad_jax.errors import InputError

SIZE = (20, 28)
NFC, NFD = "grün", unicodedata.normalize("NFD", "grün")


def one_picture(root: Path, name: str = "000.png") -> Path:
    """A data set whose only defect picture is test/bent/NAME, without a mask."""
    base = mvtec(root)
    for folder in ("test/bent", "test/rust", "ground_truth"):
        shutil.rmtree(base / folder)
    save(pixels(1), base / "test/bent" / name)
    return base


def bent(root: Path) -> list[Picture]:
    return [picture for picture in mvtec_pictures(root, "bolt").test if picture.defect == "bent"]


@pytest.mark.parametrize(
    "mask",
    [
        "ground_truth/bent/000_mask.png", "ground_truth/bent/000.png", "ground_truth/bent/000.bmp",
        "ground_truth/bent/000_gt.png", "ground_truth/bent/000_GT.PNG", "ground_truth/bent/000-mask.tif",
        "ground_truth/bent/000_label.png", "ground_truth/bent/mask_000.png", "ground_truth/bent/000.mask.png",
        "ground_truth/bent/000.png.png", "ground_truth/bent/000.png_mask.png", "ground_truth/bent/000_ground_truth.png",
        "ground_truth/bent/000_segmentation.png", "ground_truth/bent/000/000.png", "ground_truth/bent/000_mask/0.png",
        "ground_truth/bent/000/000_mask.png", "ground_truth/Bent/000_Mask.png", "ground_truth/000_mask.png",
        "Ground_Truth/bent/000.png", "masks/bent/000.png", "gt/bent/000_mask.png", "test/bent/000_mask.png",
        "test/bent/000_GT.png", "test/bent/000_label.png",
    ],
)  # fmt: skip
def test_a_mask_is_found_by_its_usual_names(tmp_path: Path, mask: str) -> None:
    base = one_picture(tmp_path)
    save(square_mask(), base / mask)
    data = mvtec_folder(tmp_path, "bolt", SIZE, require_masks=True)
    i = data.test.defects.index("bent")
    assert data.test.defects.count("bent") == 1  # no mask is judged as a picture
    np.testing.assert_array_equal(data.test.masks[i], square_mask() > 0)
    assert data.notes == ()


def test_a_jpeg_picture_with_a_mask_of_its_name_beside_it(tmp_path: Path) -> None:
    base = one_picture(tmp_path, "exp1.jpg")
    save(square_mask(), base / "test/bent/exp1.png")
    (picture,) = bent(tmp_path)
    assert picture.name == "bolt/test/bent/exp1.jpg" and picture.masks == (base / "test/bent/exp1.png",)
    save(pixels(4), base / "test/bent/exp1.png")  # a photograph under the same name is another picture
    assert [picture.masks for picture in bent(tmp_path)] == [(), ()]


def test_a_photograph_of_a_label_is_a_picture(tmp_path: Path) -> None:
    base = one_picture(tmp_path, "bottle.png")
    save(pixels(2), base / "test/bent/bottle_label.png")
    assert len(bent(tmp_path)) == 2


def test_the_parts_of_a_mask_in_a_folder_are_one(tmp_path: Path) -> None:
    base = one_picture(tmp_path)
    for i, rows in enumerate((slice(0, 4), slice(8, 12))):
        part = np.zeros(SIZE, np.uint8)
        part[rows] = 254 - i  # MVTec LOCO writes the kind of defect as the level
        save(part, base / f"ground_truth/bent/000/{i:03}.png")
    data = mvtec_folder(tmp_path, "bolt", SIZE)
    mask = data.test.masks[data.test.defects.index("bent")]
    assert mask.any(1).nonzero()[0].tolist() == [*range(4), *range(8, 12)]
    save(pixels(1), base / "ground_truth/bent/000/photo.png")
    with pytest.raises(InputError, match=r"bent/000 is taken for the masks of .*photo\.png in it does not look"):
        bent(tmp_path)


@pytest.mark.parametrize(("picture", "mask"), [(NFD, NFC), (NFC, NFD)])
@pytest.mark.parametrize("form", ["{}_mask.png", "{}.png", "{}/000.png", "{}-GT.png"])
def test_unicode_forms_are_one_name(tmp_path: Path, picture: str, mask: str, form: str) -> None:
    base = one_picture(tmp_path, f"{picture}.png")
    save(square_mask(), base / "ground_truth/bent" / form.format(mask))
    assert bent(tmp_path)[0].masks


def test_kinds_in_another_unicode_form_are_one_kind(tmp_path: Path) -> None:
    base = one_picture(tmp_path)
    (base / "test/bent").rename(base / f"test/{NFD}")
    save(square_mask(), base / f"ground_truth/{NFC}/000_mask.png")
    assert mvtec_pictures(tmp_path, "bolt").test[-1].masks


def test_a_mask_written_as_the_picture_is_goes_before_one_that_is_alike(tmp_path: Path) -> None:
    base = one_picture(tmp_path, "a.png")
    save(pixels(2), base / "test/bent/A.png")
    save(square_mask(), base / "ground_truth/bent/a_mask.png")
    assert {picture.path.name: len(picture.masks) for picture in bent(tmp_path)} == {"A.png": 0, "a.png": 1}
    save(square_mask(), base / "ground_truth/bent/A_mask.png")
    assert {picture.masks[0].name[0] for picture in bent(tmp_path)} == {"a", "A"}


@pytest.mark.parametrize(
    "masks",
    [
        ("bent/000_mask.png", "bent/000_mask.bmp"), ("bent/000.bmp", "bent/000.tif"),
        ("bent/000_gt.png", "bent/000_label.png"), ("bent/000/0.png", "bent/000_gt.png"),
        ("bent/000-mask.png", "bent/mask_000.png"),
    ],
)  # fmt: skip
def test_two_masks_of_one_picture_are_refused(tmp_path: Path, masks: tuple[str, str]) -> None:
    base = one_picture(tmp_path)
    for mask in masks:
        save(square_mask(), base / "ground_truth" / mask)
    with pytest.raises(InputError, match=r"bent/000\.png has more than one mask"):
        bent(tmp_path)


def test_a_mask_in_no_folder_of_a_kind_may_not_be_of_two_kinds(tmp_path: Path) -> None:
    base = one_picture(tmp_path)
    save(pixels(3), base / "test/rust/000.png")
    save(square_mask(), base / "ground_truth/000_mask.png")
    with pytest.raises(InputError, match=r"000_mask\.png may be the mask of .*bent/000\.png or of .*rust/000\.png"):
        bent(tmp_path)


def test_two_folders_of_masks_and_two_of_a_kind_are_refused(tmp_path: Path) -> None:
    base = one_picture(tmp_path)
    for folder in ("masks", "GT"):
        save(square_mask(), base / folder / "bent/000.png")
    with pytest.raises(InputError, match=r"several folders of masks: .*Name the one to be read ground_truth"):
        bent(tmp_path)
    for folder in ("BENT", "Bent"):
        save(square_mask(), base / "ground_truth" / folder / "000.png")
    with pytest.raises(InputError, match=r"may both hold the masks of 'bent'"):
        bent(tmp_path)


def test_a_mask_that_marks_a_defect_in_a_normal_picture_is_refused(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    save(np.zeros(SIZE, np.uint8), base / "ground_truth/good/000.png")
    assert mvtec_folder(tmp_path, "bolt", SIZE).notes == ()
    save(square_mask(), base / "ground_truth/good/001.png")
    with pytest.raises(InputError, match=r"good/001\.png marks a defect in .*test/good/001\.png, which lies among"):
        mvtec_folder(tmp_path, "bolt", SIZE)


def test_the_rule_by_which_masks_were_read_is_said(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    levels = np.zeros((64, 64), np.uint8)
    for value, x in ((85, 8), (170, 24), (255, 40)):
        levels[16:48, x : x + 16] = value
    save(pixels(1, 64, 64), base / "test/bent/001.png")
    save(levels, base / "ground_truth/bent/001_mask.png")
    data = mvtec_folder(tmp_path, "bolt", 64)
    assert data.test.masks[1].sum() == 1536
    (note,) = data.notes
    assert note.startswith("1 of 3 masks hold grey levels") and "001_mask.png" in note
    soft = Image.fromarray(square_mask(80, 112)).resize((28, 20), Image.Resampling.BILINEAR)
    soft.save(base / "ground_truth/bent/000_mask.png")
    assert any("have grey edges, cut at one half" in note for note in mvtec_folder(tmp_path, "bolt", 64).notes)


def test_photographs_that_are_called_like_masks_stay_pictures(tmp_path: Path) -> None:
    base = one_picture(tmp_path, "7.png")
    for name in ("gt_7.png", "7_mask.png", "7.bmp", "mask 7.png"):
        save(pixels(len(name)), base / "test/bent" / name)
    save(pixels(3), base / "train/good/gt_000.png")
    assert len(bent(tmp_path)) == 5 and not any(picture.masks for picture in bent(tmp_path))
    assert len(mvtec_pictures(tmp_path, "bolt").train) == 6


@pytest.mark.parametrize("kind", ["bent_mask", "mask_bent", "mask", "gt"])
def test_a_kind_that_is_called_like_masks_is_a_kind_if_it_holds_photographs(tmp_path: Path, kind: str) -> None:
    base = one_picture(tmp_path)
    save(pixels(3), base / f"test/{kind}/000.png")
    assert {picture.defect for picture in mvtec_pictures(tmp_path, "bolt").test} == {"good", "bent", kind}


def test_masks_of_classes_and_with_soft_edges_among_the_pictures_are_masks(tmp_path: Path) -> None:
    base = one_picture(tmp_path, "0.jpg")
    levels = square_mask(value=85)
    levels[5:15, 14:21] = 170
    save(levels, base / "test/bent/0.png")
    assert [picture.masks for picture in bent(tmp_path)] == [(base / "test/bent/0.png",)]
    Image.fromarray(square_mask(80, 112)).resize((28, 20), 2).save(base / "test/bent/0.png")
    assert [picture.masks for picture in bent(tmp_path)] == [(base / "test/bent/0.png",)]


def test_a_copy_of_the_picture_is_no_mask(tmp_path: Path) -> None:
    base = one_picture(tmp_path)
    save(pixels(1), base / "ground_truth/bent/000.png")
    with pytest.raises(InputError, match=r"bent/000\.png: is taken for a mask, but (looks like a|holds no)"):
        mvtec_folder(tmp_path, "bolt", SIZE)


@pytest.mark.parametrize("ground", ["white", "one", "palette"])
def test_a_mask_on_another_ground_than_black_is_refused(tmp_path: Path, ground: str) -> None:
    base, marked = one_picture(tmp_path), square_mask() > 0
    path = base / "ground_truth/bent/000_mask.png"
    if ground == "white":
        save(np.where(marked[..., None], (255, 0, 0), (255, 255, 255)).astype(np.uint8), path)
    elif ground == "one":
        save(np.where(marked, 2, 1).astype(np.uint8), path)
    else:
        indexed = Image.fromarray(marked.astype(np.uint8))
        indexed.putpalette([255, 255, 255, 255, 0, 0])
        path.parent.mkdir(parents=True)
        indexed.save(path)
    with pytest.raises(InputError, match=r"000_mask\.png: is taken for a mask, but holds no black"):
        mvtec_folder(tmp_path, "bolt", SIZE)


def test_ink_on_nothing_is_the_mask_whatever_its_colour(tmp_path: Path) -> None:
    base = one_picture(tmp_path)
    for ink in (0, 90, 255):
        colour = np.full((*SIZE, 3), ink, np.uint8)
        save(np.concatenate([colour, square_mask()[..., None]], -1), base / "ground_truth/bent/000_mask.png")
        data = mvtec_folder(tmp_path, "bolt", SIZE)
        np.testing.assert_array_equal(data.test.masks[data.test.defects.index("bent")], square_mask() > 0)


def test_a_mask_that_is_all_but_a_spot_is_said_to_look_inverted(tmp_path: Path) -> None:
    base = one_picture(tmp_path)
    save(255 - square_mask()[:, ::-1], base / "ground_truth/bent/000_mask.png")
    (note,) = mvtec_folder(tmp_path, "bolt", SIZE).notes
    assert "are black and white exchanged?" in note and "000_mask.png" in note


def test_a_mask_with_the_pictures_whole_name_is_its_own(tmp_path: Path) -> None:
    base = one_picture(tmp_path, "7.png")
    save(pixels(2), base / "test/bent/7.bmp")
    for ending in ("png", "bmp"):
        save(square_mask(), base / f"ground_truth/bent/7.{ending}")
    assert [(picture.path.suffix, picture.masks[0].suffix) for picture in bent(tmp_path)] == [
        (".bmp", ".bmp"),
        (".png", ".png"),
    ]


def test_kinds_that_differ_by_case_alone_do_not_share_a_mask(tmp_path: Path) -> None:
    base = one_picture(tmp_path)
    save(pixels(3), base / "test/Bent/000.png")
    save(square_mask(), base / "ground_truth/bent/000.png")
    with pytest.raises(InputError, match=r"may be the mask of .*test/Bent/000\.png or of .*test/bent/000\.png"):
        bent(tmp_path)
