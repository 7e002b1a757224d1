"""Names that no report could hold are refused where they enter."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from trees import mvtec, pixels, save

from ddad_jax.data.folder import mvtec_pictures
from ddad_jax.data.listing import picture_files
from ddad_jax.errors import InputError
from ddad_jax.sources.folder import FolderSource


@pytest.mark.parametrize("entry", [picture_files, FolderSource])
def test_pictures_are_refused_by_name(tmp_path: Path, entry: Callable[[Path], object]) -> None:
    (tmp_path / os.fsdecode(b"gr\xfcn.png")).write_bytes(b"")
    with pytest.raises(InputError, match=r"gr\\xfcn.png: its name is not UTF-8.*Rename") as refused:
        entry(tmp_path)
    str(refused.value).encode()


def test_kinds_are_refused_by_name_and_utf8_is_not(tmp_path: Path) -> None:
    base = mvtec(tmp_path)
    save(pixels(1), base / "test/grün/0.png")
    assert "grün" in [picture.defect for picture in mvtec_pictures(tmp_path, "bolt").test]
    save(pixels(1), base / "test" / os.fsdecode(b"sch\xe4den") / "0.png")
    with pytest.raises(InputError, match=r"sch\\xe4den"):
        mvtec_pictures(tmp_path, "bolt")


@pytest.mark.parametrize(
    "place", ["notes/{}.txt", "{}/x.png", "bolt/{}.txt", "bolt/train/good/{}.txt", "bolt/more/{}.png"]
)
def test_what_is_not_read_is_named_but_not_refused(tmp_path: Path, place: str) -> None:
    base = mvtec(tmp_path)
    path = tmp_path / place.format(os.fsdecode(b"gr\xfcn"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    notes = mvtec_pictures(tmp_path, base.name).notes
    "".join(notes).encode()
    if "train" in place or "more" in place:
        assert any(r"gr\xfcn" in note for note in notes)
