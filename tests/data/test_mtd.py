"""MTD's six folders, its tiles, and which of them are learnt from."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from trees import mtd, pixels, save, square_mask

from ddad_jax.data.mtd import SPLITS, mtd_pictures, mtd_tiles
from ddad_jax.data.mtd import mtd as load_mtd
from ddad_jax.data.split import hold_out
from ddad_jax.errors import InputError

SIZE = 12


def test_eighty_percent_of_the_tiles_are_for_training(tmp_path: Path) -> None:
    data = load_mtd(mtd(tmp_path), SIZE)
    assert data.name == "mtd"
    assert len(data.train.names) == 8 and set(data.train.defects) == {"good"}
    assert data.test.defects == ("good", "good", "blowhole", "break", "crack", "fray", "uneven")
    assert data.test.labels.tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert data.test.has_mask.all()
    assert data.test.masks.any((1, 2)).tolist() == [False] * 2 + [True] * 5
    assert not set(data.train.names) & set(data.test.names)
    assert data.test.names[2] == "MT_Blowhole/Imgs/exp2_num_0.jpg"


@pytest.mark.parametrize("split", SPLITS)
def test_the_split_is_a_function_of_the_seed(tmp_path: Path, split: str) -> None:
    root = mtd(tmp_path)
    splits = [load_mtd(root, SIZE, seed=s, split=split).train.names for s in (0, 0, 1, 2)]
    assert splits[0] == splits[1]
    assert len(set(splits)) > 1
    assert all(list(names) == sorted(names) for names in splits)


def tile_of(root: Path) -> dict[str, str]:
    """Of each defect-free picture, by its name."""
    names = [path.relative_to(root).as_posix() for path in root.glob("MT_Free/Imgs/*.jpg")]
    return dict(zip(names, mtd_tiles(names), strict=True))


def test_no_tile_is_both_learnt_and_tested_but_under_the_papers_rule(tmp_path: Path) -> None:
    root, numbers = mtd(tmp_path, n_free=24), {"tile": set[int](), "picture": set[int]()}
    tile = tile_of(root)
    for split, shared in numbers.items():
        for seed in range(5):
            found = mtd_pictures(root, seed=seed, split=split)
            assert found.recordings == tuple(tile[picture.name] for picture in found.train)
            tested = {tile[picture.name] for picture in found.test if picture.defect == "good"}
            shared.add(len({*found.recordings} & tested))
    assert numbers["tile"] == {0}
    assert min(numbers["picture"]) > 0, "of 12 tiles twice taken, five draws of 5 pictures split some"


def test_what_is_held_out_are_whole_tiles(tmp_path: Path) -> None:
    root = mtd(tmp_path, n_free=24)
    data, tile = load_mtd(root, SIZE), tile_of(root)
    fit, held_out = hold_out(data.train, fraction=0.3, recordings=data.recordings)
    assert not {tile[name] for name in fit.names} & {tile[name] for name in held_out.names}


def named(*frames: tuple[int, int]) -> list[str]:
    """(exposure, frame)."""
    return [f"MT_Free/Imgs/exp{exposure}_num_{frame}.jpg" for exposure, frame in frames]


def test_a_tile_is_a_series_of_rising_exposures() -> None:
    found = mtd_tiles(named((1, 200), (1, 100), (2, 320), (3, 140), (2, 120), (6, 1900)))
    assert found == ("tile 200", "tile 100", "tile 200", "tile 100", "tile 100", "tile 200"), "in no order, with gaps"


def test_tiles_taken_in_turns_count_as_one() -> None:
    assert set(mtd_tiles(named((1, 855), (2, 887), (4, 889), (3, 913), (4, 933), (5, 937)))) == {"tile 855"}
    assert len(set(mtd_tiles(named((1, 855), (2, 887), (1, 928))))) == 2, "41 frames on another one begins"


def test_a_tile_that_was_taken_again_is_the_same() -> None:
    assert set(mtd_tiles(named((1, 5874), (2, 5894), (1, 13526), (2, 13549)))) == {"tile 5874"}


def test_a_name_that_says_no_tile_is_refused(tmp_path: Path) -> None:
    root = mtd(tmp_path)
    save(pixels(3)[..., 0], root / "MT_Free/Imgs/mine.jpg")
    with pytest.raises(InputError, match=r"MT_Free/Imgs/mine\.jpg: expected a name as published, expE_num_N\.jpg"):
        load_mtd(root, SIZE)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="split 'frame': expected one of tile, picture"):
        load_mtd(mtd(tmp_path), SIZE, split="frame")


def test_grey_pictures_have_three_equal_channels(tmp_path: Path) -> None:
    images = load_mtd(mtd(tmp_path), SIZE).train.images
    np.testing.assert_array_equal(images[..., :1].repeat(3, -1), images)


@pytest.mark.parametrize(("split", "least"), [("tile", 2), ("picture", 1)])
def test_fraction_leaves_one_on_either_side(tmp_path: Path, split: str, least: int) -> None:
    root = mtd(tmp_path, n_free=2 * least)
    for fraction in (0.01, 0.99):
        data = load_mtd(root, SIZE, train_fraction=fraction, split=split)
        assert len(data.train.names) == data.test.defects.count("good") == least
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
    root = mtd(tmp_path / "b", n_free=2)
    with pytest.raises(InputError, match=r"holds 2 picture\(s\) of 1 tile; at least 2 tiles are needed"):
        load_mtd(root, SIZE)
    assert len(load_mtd(root, SIZE, split="picture").train.names) == 1


def test_missing_mask_and_mask_of_another_size(tmp_path: Path) -> None:
    root = mtd(tmp_path)
    mask = save(square_mask(7, 7), root / "MT_Fray/Imgs/exp2_num_3.png")
    with pytest.raises(InputError, match=r"exp2_num_3\.png is 7 x 7.*exp2_num_3\.jpg"):
        load_mtd(root, SIZE)
    mask.unlink()
    with pytest.raises(InputError, match=r"exp2_num_3\.jpg has no mask exp2_num_3\.png"):
        load_mtd(root, SIZE)
