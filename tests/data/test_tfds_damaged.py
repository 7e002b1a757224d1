"""Records that are not there, are of another version or are damaged are told from data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tfds_kinds import ALL

from ddad_jax.data.tfds import examples, from_tfds, reading
from ddad_jax.data.tfds.builders import VERSION
from ddad_jax.errors import InputError


def test_other_names_and_versions_are_told(tmp_path: Path) -> None:
    ALL[2].builder(tmp_path).download_and_prepare()
    records = tmp_path / "records"
    for name in ("ddad_mvtec/cable", "ddad_mvtec", ""):
        with pytest.raises(InputError, match=r"but: ddad_mvtec/bottle\. Prepare it with .*prepare"):
            from_tfds(records, name, 16)
    with pytest.raises(InputError, match=r"nowhere .*is not a folder"):
        from_tfds(tmp_path / "nowhere", "ddad_mvtec/bottle", 16)
    with pytest.raises(InputError, match="size 0"):
        from_tfds(records, "ddad_mvtec/bottle", 0)
    (records / "ddad_mvtec/bottle" / VERSION).rename(records / "ddad_mvtec/bottle/0.9.0")
    with pytest.raises(InputError, match=rf"holds version 0\.9\.0; {VERSION} is read"):
        from_tfds(records, "ddad_mvtec/bottle", 16)


def test_a_name_that_leads_out_of_the_prepared_data_sets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    for name in ("../ddad_mvtec/bottle", "/ddad_mvtec/bottle", "ddad_mvtec/../.."):
        with pytest.raises(InputError, match=r"--config\.data\.category: .*leads out of"):
            from_tfds(tmp_path / "records", name, 16)


@pytest.mark.parametrize(
    ("named", "told"),
    [("../../x.png", "leads out of"), ("/x.png", "leads out"), ("bottle/test/bent/000.png", "both named")],
)
def test_records_whose_pictures_have_no_path_of_their_own_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, told: str
) -> None:
    ALL[2].builder(tmp_path).download_and_prepare()
    example = reading._example

    def edited(folder: Path, source: Any, i: int) -> Any:
        return example(folder, source, i) | ({"name": named.encode()} if i == 2 else {})

    monkeypatch.setattr(reading, "_example", edited)
    with pytest.raises(InputError, match=rf"ddad_mvtec/bottle/.* is damaged \(.*{told}"):
        from_tfds(tmp_path / "records", "ddad_mvtec/bottle", 16)


def cut(share: float) -> Callable[[Path], Any]:
    def harm(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return harm


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[3000] ^= 0xFF  # within the second picture
    path.write_bytes(data)


def longer(path: Path) -> None:
    path.write_text(path.read_text().replace('"5"', '"6"'))


RECORD = "ddad_mvtec-test.array_record-00000-of-00001"
DAMAGE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "cut at a block": (RECORD, cut(0.5)),
    "cut": (RECORD, cut(0.999)),
    "emptied": (RECORD, cut(0.0)),
    "a byte": (RECORD, flip),
    "lost": (RECORD, Path.unlink),
    "another file": (RECORD, lambda path: path.write_bytes(bytes(range(256)) * 600)),
    "fewer than told": ("dataset_info.json", longer),
    "info": ("dataset_info.json", cut(0.5)),
    "features": ("features.json", cut(0.5)),
    "no features": ("features.json", Path.unlink),
    "metadata": ("metadata.json", cut(0.5)),
    "no metadata": ("metadata.json", Path.unlink),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_told_from_data(tmp_path: Path, damage: str) -> None:
    builder = ALL[2].builder(tmp_path)
    builder.download_and_prepare()
    file, harm = DAMAGE[damage]
    harm(Path(builder.data_dir) / file)
    with pytest.raises(InputError, match=r"ddad_mvtec/bottle/1\.0\.0 (is damaged|was not prepared by)"):
        from_tfds(tmp_path / "records", "ddad_mvtec/bottle", 16)
    with pytest.raises(InputError, match=r"ddad_mvtec/bottle/1\.0\.0 .*(Delete that folder|Prepare it with)"):
        ALL[2].builder(tmp_path).download_and_prepare()


def test_a_damaged_picture_in_a_record_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = examples.plain_image
    monkeypatch.setattr(examples, "plain_image", lambda *a, **k: plain(*a, **k)._replace(data=b"\x89PNG no more"))
    ALL[2].builder(tmp_path).download_and_prepare()
    with pytest.raises(InputError, match=r"bottle/train/good/000\.png in .*cannot be read as an image"):
        from_tfds(tmp_path / "records", "ddad_mvtec/bottle", 16)
