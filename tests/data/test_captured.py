"""Recordings of a data set's pictures come from its manifest, are known not to be known, or the manifest is refused."""

import json
from pathlib import Path

import pytest

from ddad_jax.data.captured import FORMAT, MANIFEST, recordings_of
from ddad_jax.errors import InputError

FILES = {f"train/good/n{i}_00000{j}.png": {"recording": f"n{i}", "index": j} for i in (1, 2) for j in (0, 1)}


def written(folder: Path, content: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_text(content)
    return folder


def test_each_picture_has_the_recording_that_the_manifest_says(tmp_path: Path) -> None:
    melon = written(tmp_path / "melon", json.dumps({"format": FORMAT, "files": FILES}))
    for before in ("", "melon/", "sets/melon/"):
        names = [before + name for name in reversed(FILES)]
        assert recordings_of(melon, names) == ("n2", "n2", "n1", "n1")
    assert recordings_of(melon, ()) == ()
    with pytest.raises(InputError, match=r"manifest\.json: does not know 1 of the pictures, train/good/new\.png"):
        recordings_of(melon, [*FILES, "melon/train/good/new.png"])


@pytest.mark.parametrize(
    "content", ['{"format": 1, "recording": "a capture\'s own"}', "[1, 2]", '{"files": {}}', '"words"']
)
def test_another_program_s_manifest_says_nothing(tmp_path: Path, content: str) -> None:
    assert recordings_of(written(tmp_path / "melon", content), [*FILES]) is None
    assert recordings_of(tmp_path, [*FILES]) is None and recordings_of(tmp_path / "nowhere", [*FILES]) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"format": "', "cannot be read"),
        ("\xff", "cannot be read"),
        (json.dumps({"format": FORMAT[:-1] + "2", "files": FILES}), "format .* set 2', expected"),
        (json.dumps({"format": FORMAT}), "'files'"),
        (json.dumps({"format": FORMAT, "files": {}}), "'files'"),
        (json.dumps({"format": FORMAT, "files": [*FILES]}), "'files'"),
        (json.dumps({"format": FORMAT, "files": FILES | {"train/good/x.png": {"recording": ""}}}), "'files'"),
        (json.dumps({"format": FORMAT, "files": FILES | {"train/good/x.png": "n1"}}), "'files'"),
        (
            json.dumps({"format": FORMAT, "files": FILES | {"../x.png": {"recording": "n1"}}}),
            r"'\.\./x\.png' leads out",
        ),
        (json.dumps({"format": FORMAT, "files": FILES | {"/x.png": {"recording": "n1"}}}), "'/x.png' leads out"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(InputError, match=rf"manifest\.json: .*{says}.*Make the data set again"):
        recordings_of(written(tmp_path / "melon", content), [*FILES])
