"""Whatever lies in the folders of a data set is used, or counted and named with the cure, a sentence a reason."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trees import mtd, mvtec, pixels, save, square_mask, visa

from ddad_jax.data.folder import mvtec_folder, mvtec_pictures
from ddad_jax.data.mtd import mtd_pictures
from ddad_jax.data.visa import visa_pictures
from ddad_jax.errors import InputError

SIZE = 12


def link(target: str, path: Path) -> None:
    path.symlink_to(target)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "deeper": (
        lambda b: save(pixels(1), b / "train/good/day2/003.png"), r"1 file not used, pictures in deeper.*day2/003",
    ),
    "deeper in test": (lambda b: save(pixels(1), b / "test/bent/a/b/9.png"), r"deeper folders: test/bent/a/b/9\.png"),
    "other ending": (lambda b: (b / "train/good/7.heic").write_bytes(b"x"), r"another ending.*train/good/7\.heic"),
    "no ending": (lambda b: (b / "test/good/photo").write_bytes(b"x"), r"another ending.*test/good/photo"),
    "array": (lambda b: np.save(b / "ground_truth/bent/000.npy", np.eye(3)), r"another ending.*bent/000\.npy"),
    "text in train": (lambda b: (b / "train/notes.txt").write_text("x"), r"another ending.*train/notes\.txt"),
    "dead link": (lambda b: link("nowhere.png", b / "test/bent/9.png"), r"links that lead nowhere: test/bent/9\.png"),
    "dead link to a folder": (lambda b: link("nowhere", b / "train/more"), r"links that lead nowhere: train/more"),
    "pipe": (lambda b: os.mkfifo(b / "test/good/p.png"), r"neither files nor folders: test/good/p\.png"),
    "loose in test": (lambda b: save(pixels(1), b / "test/5.png"), r"in no folder of their own: test/5\.png"),
    "loose in train": (lambda b: save(pixels(1), b / "train/5.png"), r"in no folder of their own: train/5\.png"),
    "not normal": (lambda b: save(pixels(1), b / "train/bent/5.png"), r"not named as normal: train/bent/5\.png"),
    "mask alone": (
        lambda b: save(square_mask(), b / "ground_truth/bent/7_mask.png"), r"without a picture.*bent/7_mask\.png",
    ),
    "mask of no kind": (
        lambda b: save(square_mask(), b / "ground_truth/dent/000.png"), r"without a picture.*truth/dent/000\.png",
    ),
    "mask too deep": (
        lambda b: save(square_mask(), b / "ground_truth/bent/9/8/0.png"), r"without a picture.*bent/9/8/0\.png",
    ),
    "two forms": (lambda b: save(square_mask(), b / "ground_truth/bent/000.png"), r"1 file not used.*bent/000\.png"),
    "validation": (lambda b: save(pixels(1), b / "validation/good/0.png"), r"beside train and test: validation/good/0"),
    "masks in test": (lambda b: save(square_mask(), b / "test/masks/000.png"), r"masks among the pic.*test/masks/000"),
    "masks of a kind in test": (
        lambda b: save(square_mask(), b / "test/bent_mask/000.png"), r"masks among.*test/bent_mask/000",
    ),
    "mask among normal": (
        lambda b: save(square_mask(), b / "train/good/000_mask.png"), r"masks among the pictures: train/good/000_mask",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_not_read_is_named_with_its_reason(tmp_path: Path, case: str) -> None:
    base = mvtec(tmp_path)
    before = mvtec_folder(tmp_path, "bolt", SIZE)
    assert before.notes == ()
    put, told = CASES[case]
    put(base)
    after = mvtec_folder(tmp_path, "bolt", SIZE)
    assert len(after.notes) == 1 and re.search(told, after.notes[0]), after.notes
    assert after.train.names == before.train.names and after.test.names == before.test.names
    np.testing.assert_array_equal(after.test.masks, before.test.masks)


def test_a_reason_is_one_sentence_however_many_files(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    for i in range(7):
        save(pixels(i), base / f"train/good/day{i}/0.png")
        (base / f"train/good/{i}.raw").write_bytes(b"x")
    deeper, ending = sorted(mvtec_pictures(tmp_path, "bolt").notes, key=lambda note: "ending" in note)
    assert "7 files not used" in deeper and "and 4 more" in deeper
    assert "7 files not used" in ending and ".png" in ending


def test_hidden_files_and_what_systems_leave_are_not_worth_a_word(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    for folder in ("train/good", "test", "test/bent", "ground_truth/bent"):
        for name in (".DS_Store", "._000.png", "Thumbs.db", "desktop.ini"):
            (base / folder / name).write_bytes(b"x")
    (base / "test/__MACOSX").mkdir()
    (base / "test/.thumbnails").mkdir()
    save(pixels(1), base / "test/.thumbnails/000.png")
    data = mvtec_folder(tmp_path, "bolt", SIZE)
    assert data.notes == () and len(data.test.names) == 5


def test_a_link_that_leads_back_ends(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    link("..", base / "train/good/back")
    assert mvtec_pictures(tmp_path, "bolt").notes == ()  # it leads to what is read anyway
    (tmp_path / "elsewhere").mkdir()
    save(pixels(1), tmp_path / "elsewhere/9.png")
    link(str(tmp_path / "elsewhere"), base / "train/good/more")
    (note,) = mvtec_pictures(tmp_path, "bolt").notes
    assert "deeper folders: train/good/more/9.png" in note


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".JIF", ".apng", ".dib", ".TIF"])
def test_every_ending_of_a_format_that_is_read_is_taken(tmp_path: Path, ending: str) -> None:
    base = mvtec(tmp_path)
    written = {".jfif": "x.jpg", ".jpe": "x.jpg", ".jif": "x.jpg", ".apng": "x.png"}.get(ending.lower(), f"x{ending}")
    save(pixels(3), tmp_path / written).rename(base / f"train/good/more{ending}")
    data = mvtec_folder(tmp_path, "bolt", SIZE)
    assert f"bolt/train/good/more{ending}" in data.train.names
    assert not any("not used" in note for note in data.notes)


def test_compressed_and_uncompressed_pictures_together_are_worth_a_word(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    save(pixels(3), tmp_path / "x.jpg").rename(base / "test/good/7.jfif")
    (note,) = mvtec_pictures(tmp_path, "bolt").notes
    assert "(1 .jfif, 10 .png)" in note


def test_magnetic_tiles_name_what_they_leave(tmp_path: Path) -> None:
    root = mtd(tmp_path)
    assert mtd_pictures(root).notes == ()
    save(square_mask(), root / "MT_Crack/Imgs/alone.png")
    save(pixels(1), root / "MT_Free/more/1.jpg")
    save(pixels(1), root / "MT_Other/Imgs/1.jpg")
    notes = mtd_pictures(root).notes
    assert len(notes) == 3
    for name in ("neither a .jpg nor its .png mask: MT_Crack/Imgs/alone", "MT_Free/more/1", "MT_Other/Imgs/1"):
        assert sum(name in note for note in notes) == 1


def test_visa_names_what_its_table_does_not(tmp_path: Path) -> None:
    root = visa(tmp_path)
    assert visa_pictures(root, "candle").notes == ()
    save(pixels(1), root / "candle/Data/Images/Normal/9999.JPG")
    (note,) = visa_pictures(root, "candle").notes
    assert "not named by 1cls.csv" in note and "9999.JPG" in note


def test_a_folder_that_cannot_be_listed_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = mvtec(tmp_path)
    real = Path.iterdir

    def iterdir(self: Path):  # type: ignore[no-untyped-def]
        if self.name == "bent":
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(InputError, match=r"test/bent: cannot be read \(Permission denied\)"):
        mvtec_pictures(base, "")


def test_a_folder_of_masks_that_is_none_and_pictures_beside_the_folders_are_named(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    link("nowhere", base / "masks")
    save(pixels(1), base / "overview.jpg")
    save(square_mask(), base / "SegmentationClass/000.png")
    notes = mvtec_pictures(tmp_path, "bolt").notes
    assert any("links that lead nowhere: masks" in note for note in notes)
    assert any("overview.jpg" in note for note in notes)
    assert any(
        "named as masks are: SegmentationClass/000.png" in note and "ground_truth/DEFECT" in note for note in notes
    )


def test_kinds_whose_names_leave_it_open_and_pictures_of_one_stem_are_worth_a_word(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    save(pixels(1), base / "test/no_crack/5.png")
    save(pixels(2), base / "test/no_crack/5.bmp")
    notes = mvtec_pictures(tmp_path, "bolt").notes
    assert any("test/no_crack counts as a kind of defect. If those are normal" in note for note in notes)
    assert any("several pictures are called test/no_crack/5.*" in note for note in notes)


def test_a_name_with_control_characters_is_written_out(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    (base / "train/good/a\x1b[31m\nb.txt").write_text("x")
    (note,) = mvtec_pictures(tmp_path, "bolt").notes
    assert note.isprintable() and r"a\x1b[31m\nb.txt" in note


def closed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Whatever asks what lies in ``folder`` is told that it may not, as for a user without the right to enter it."""
    for name in ("is_dir", "is_file", "exists", "iterdir"):
        real = getattr(Path, name)

        def asked(self: Path, real: Callable[[Path], object] = real, listing: bool = name == "iterdir") -> object:
            if self.parent == folder or (listing and self == folder):
                raise PermissionError(13, "Permission denied", str(self))
            return real(self)

        monkeypatch.setattr(Path, name, asked)


@pytest.mark.parametrize(
    "place", ["train", "train/good", "test", "test/bent", "ground_truth", "ground_truth/bent", "."]
)
def test_what_is_read_and_may_not_be_entered_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = mvtec(tmp_path) / place
    closed(monkeypatch, folder)
    with pytest.raises(InputError, match=rf"{folder}.*(cannot be read \(Permission denied\)|may not be read)"):
        mvtec_pictures(tmp_path, "bolt")


@pytest.mark.parametrize("place", ["test/bent/sub", "train/other", "private", "../other"])
def test_what_is_not_read_and_may_not_be_entered_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    base = mvtec(tmp_path)
    folder = (base / place).resolve()
    save(pixels(1), folder / "1.png")
    before = len(mvtec_pictures(tmp_path, "bolt").test)
    closed(monkeypatch, folder)
    assert len(mvtec_pictures(tmp_path, "bolt").test) == before


def test_what_lies_beside_the_folders_is_not_searched_through(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    link("/usr", base / "system")
    save(pixels(1), base / "venv/lib/python/site-packages/logo.png")
    assert mvtec_pictures(tmp_path, "bolt").notes == ()
