"""A JSON file means the same to every part that reads one, whoever saved it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddad_jax.data import captured
from ddad_jax.data.json_file import parsed, read_json, read_object
from ddad_jax.data.via import read_via
from ddad_jax.engine.captures import recording
from ddad_jax.errors import InputError
from ddad_jax.vision.view_mask import read_view_mask

VALUE = {"a": [1, 2.5, "ü"], "b": {}}


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


SAVED: dict[str, Callable[[Any], bytes]] = {
    "plain": lambda value: _text(value).encode(),
    "mark": lambda value: b"\xef\xbb\xbf" + _text(value).encode(),
    "mark and carriage returns": lambda value: b"\xef\xbb\xbf" + _text(value).replace("\n", "\r\n").encode(),
    "old carriage returns": lambda value: _text(value).replace("\n", "\r").encode(),
    "utf-16": lambda value: _text(value).encode("utf-16"),
    "utf-16 big": lambda value: b"\xfe\xff" + _text(value).encode("utf-16-be"),
    "utf-32": lambda value: _text(value).encode("utf-32"),
}


@pytest.mark.parametrize("how", SAVED)
def test_a_file_means_the_same_however_it_was_saved(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(SAVED[how](VALUE))
    assert read_json(path, mend="") == VALUE


@pytest.mark.parametrize("how", SAVED)
def test_view_masks_labels_and_manifests_are_read_however_saved(tmp_path: Path, how: str) -> None:
    path, save = tmp_path / "manifest.json", SAVED[how]
    path.write_bytes(save({"format": 1, "size": [8, 8], "views": {"part": {"ignore": [[[0, 0], [4, 0], [4, 8]]]}}}))
    assert not read_view_mask(path, "part", (8, 8)).all()
    rect = {"name": "rect", "x": 1, "y": 1, "width": 2, "height": 2}
    region = {"shape_attributes": rect, "region_attributes": {"kind": "dent"}}
    path.write_bytes(save({"a.png1": {"filename": "a.png", "size": 1, "regions": [region]}}))
    assert np.array_equal(read_via(path)["a.png"][0].outline.points[0], (1, 1))
    path.write_bytes(save({"format": captured.FORMAT, "files": {"train/good/a.png": {"recording": "r"}}}))
    assert captured.recordings_of(tmp_path, ["train/good/a.png"]) == ("r",)
    path.write_bytes(save({"format": "another"}))
    with pytest.raises(InputError, match="format 'another', expected"):
        recording.checked_manifest(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands twice"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": [-1E400]}', "-1E400 is too large"),
        (b"[1" + b"0" * 400 + b"]", "1000.* is too large"),
        (b"[" * 200_000, "nested too deeply"),
        (b"", "cannot be read"),
        (b"\xef\xbb\xbf", "cannot be read"),
        (b'{"a": "\xff"}', "cannot be read"),
        (b"[" + b"1" * 5_000 + b"]", "cannot be read"),
    ],
)
def test_what_is_no_json_is_refused_by_its_name(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.json.*{says}.*Save it again"):
        read_json(tmp_path / "a.json", mend="Save it again")


def test_a_folder_and_nothing_in_its_place_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    for name in ("a.json", "b.json"):
        with pytest.raises(InputError, match=rf"{name} \(mask\): cannot be read \(.*(directory|file).*\). Mend"):
            read_json(tmp_path / name, what="mask", mend="Mend")


def test_numbers_that_python_alone_writes_are_read_where_they_may_be_ours(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"a": float("inf")}))
    assert read_object(tmp_path / "a.json", mend="", constants=True) == {"a": float("inf")}


def test_large_numbers_are_numbers() -> None:
    assert parsed("[1e308, -1E-999, 12345678901234567890, 0.5]") == [1e308, 0.0, 12345678901234567890, 0.5]
    assert parsed("[1e999]", constants=True) == [float("inf")]


def test_another_value_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(InputError, match=r"a\.json: expected a JSON object, found '\[1\]'"):
        read_object(tmp_path / "a.json", mend="")
