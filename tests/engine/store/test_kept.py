"""Files that are kept: known again by what made them, and never a reason to stop."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddad_jax.engine.store import kept
from ddad_jax.errors import InputError

MADE_WITH = {"w": 3.0, "layers": ("a", "b"), "steps": np.int32(4), "blend": math.inf, "of": {"name": "bolt"}}
CONTENTS: dict[str, dict[str, Any]] = {
    "some.npz": {"maps": np.linspace(0, 1, 6000, dtype=np.float16).reshape(2, -1), "at": np.arange(3)},
    "some.json": {"point": {"w": 3.0}, "worth": 0.5, "nothing": None},
}
every_kind = pytest.mark.parametrize("name", CONTENTS)


def equal(one: Any, other: Any) -> bool:
    if isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return one == other


@pytest.mark.parametrize("packed", [False, True])
@every_kind
def test_what_was_kept_comes_back_to_who_asks_for_just_that(tmp_path: Path, name: str, packed: bool) -> None:
    path, content = tmp_path / "folder" / name, CONTENTS[name]
    kept.save_content(path, content, MADE_WITH, packed=packed)
    found = kept.load_content(path, MADE_WITH)
    assert found is not None and found.keys() == content.keys()
    assert all(equal(found[key], content[key]) for key in content)
    as_json = {"w": 3, "layers": ["a", "b"], "steps": 4, "blend": "inf", "of": {"name": "bolt"}}
    assert kept.read_content(path)[1] == as_json
    assert kept.load_content(path, as_json)
    assert [p.name for p in path.parent.iterdir()] == [name]


@every_kind
@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({**MADE_WITH, "w": 2.0}, "w: there 3.0, now 2.0"),
        ({**MADE_WITH, "more": 1}, "more: there null, now 1"),
        ({"w": 3.0}, "layers: there"),
        ({}, 'blend: there "inf", now null'),
    ],
)
def test_a_file_of_something_else_is_none_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, other: dict[str, Any], told: str
) -> None:
    kept.save_content(tmp_path / name, CONTENTS[name], MADE_WITH)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert kept.load_content(tmp_path / name, other, otherwise="the report leaves it out") is None
    (sentence,) = caplog.messages
    assert f"{name}: is of something else" in sentence and told in sentence and "the report leaves it out" in sentence


def test_a_row_may_say_more_than_the_file_but_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    kept.save_content(path, {"at": np.arange(2)}, {"w": 3.0, "steps": 4})
    assert kept.load_content(path, {"w": 3.0, "steps": 4, "auroc": 0.9}, more=True)
    assert kept.load_content(path, {"w": 2.0, "steps": 4, "auroc": 0.9}, more=True) is None
    assert kept.load_content(path, {"w": 3.0, "auroc": 0.9}, more=True) is None
    np.savez(path, at=np.arange(2))  # it does not say what it is of
    assert kept.load_content(path, {"w": 3.0}, more=True) is None


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@every_kind
@pytest.mark.parametrize("harm", [cut, flipped, lambda content: b"", lambda content: b"[1]", lambda content: b"{"])
def test_a_damaged_file_is_none_and_said_once_and_refused_by_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, harm: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    kept.save_content(path, CONTENTS[name], MADE_WITH)
    whole = path.read_bytes()
    path.write_bytes(harm(whole))
    if harm is flipped and name.endswith("json"):
        path.write_bytes(whole.replace(b'"', b"\xff", 1))  # another letter is another value, and no damage
    assert kept.load_content(path, MADE_WITH) is None and kept.load_content(path, MADE_WITH) is None
    (record,) = caplog.records
    assert f"{name}: cannot be read" in record.message and record.levelno == logging.WARNING
    with pytest.raises(InputError, match=rf"{name}: cannot be read \(.*Make it anew"):
        kept.read_content(path, mend="Make it anew")
    # Made anew, it may be damaged again, which is another event.
    kept.save_content(path, CONTENTS[name], MADE_WITH)
    assert kept.load_content(path, MADE_WITH)
    path.write_bytes(harm(whole)[:-1] + b"!")
    assert kept.load_content(path, MADE_WITH) is None and len(caplog.records) == 2


def test_a_file_that_is_cut_off_anywhere_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    kept.save_content(path, CONTENTS["some.npz"], MADE_WITH)
    whole = path.read_bytes()
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        assert kept.load_content(path, MADE_WITH) is None


@every_kind
def test_a_missing_file_and_a_folder_in_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    with caplog.at_level(logging.DEBUG, logger=kept.__name__):
        assert (
            kept.load_content(tmp_path / name, MADE_WITH) is None
            and kept.load_content(tmp_path / name, MADE_WITH) is None
        )
    assert caplog.messages == [f"{tmp_path / name}: is not there: it is made anew"]
    with pytest.raises(InputError, match="is missing"):
        kept.read_content(tmp_path / name)
    (tmp_path / name).mkdir()
    assert kept.load_content(tmp_path / name, MADE_WITH) is None and "cannot be read" in caplog.text
    with pytest.raises(InputError, match="cannot be written"):
        kept.save_content(tmp_path / name, CONTENTS[name], MADE_WITH)


def test_what_a_content_must_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "chosen.json"
    kept.save_content(path, {"epoch": 3, "by": None}, {})
    assert (
        kept.load_content(path, {}, {"epoch": int})
        == {"epoch": 3, "by": None}
        == kept.read_content(path, ["epoch", "by"])[0]
    )
    for holds in ({"epoch": str}, {"by": str}, ["other"]):
        with pytest.raises(InputError, match="chosen.json: has no (epoch|by|other)"):
            kept.read_content(path, holds)
        with caplog.at_level(logging.INFO):
            assert kept.load_content(path, {}, holds) is None
    assert len(caplog.messages) == 3 and all("is of something else" in message for message in caplog.messages)


def test_nothing_is_pickled_and_no_pickle_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, objects = tmp_path / "some.npz", np.array([{}, []], object)
    with pytest.raises(TypeError, match="pickled"):
        kept.save_content(path, {"objects": objects}, {})
    assert not list(tmp_path.iterdir())
    np.savez(path, objects=objects, made_of=np.array("{}"))
    assert kept.load_content(path, {}) is None and "cannot be read" in caplog.text


@every_kind
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    kept.save_content(path, CONTENTS[name], MADE_WITH)
    before = path.read_bytes()

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        kept.save_content(path, CONTENTS[name], {})
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [name]


def test_files_from_before_there_was_one_way(tmp_path: Path) -> None:
    """Arrays said what they were of as two objects in a list; files of JSON had no part that says it."""
    path = tmp_path / "selected.npz"
    np.savez(path, made_of=np.array(json.dumps([{"w": 3.0, "blend_max": math.inf}, {"held_out": "ab"}])), maps=[1.0])
    assert kept.load_content(path, {"w": 3.0, "blend_max": math.inf, "held_out": "ab"})
    np.savez(path, made_of=np.array(json.dumps(["some words", "others"])), maps=[1.0])
    assert kept.load_content(path, {"w": 3.0}) is None and kept.read_content(path)[1] == {}
    kept.save_content(path, {"maps": np.ones(1)}, {"w": 3.0})
    assert kept.load_content(path, {"w": 3.0, "rise": 0.0}, usual={"rise": 0.0, "more": None})
    assert kept.load_content(path, {"w": 3.0}, usual={"rise": 0.0})
    assert kept.load_content(path, {"w": 3.0, "rise": 0.5}, usual={"rise": 0.0}) is None
    path = tmp_path / "chosen.json"
    path.write_text('{"epoch": 3, "epochs_run": 4}')
    assert kept.read_content(path) == ({"epoch": 3, "epochs_run": 4}, {})


def test_files_and_folders_are_forgotten_wherever_they_are(tmp_path: Path) -> None:
    kept.save_content(tmp_path / "folder" / "one.npz", {"at": np.arange(2)}, {})
    kept.save_content(tmp_path / "two.json", {"a": 1}, {})
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    kept.remove_paths(tmp_path / "two.json", tmp_path / "link", tmp_path / "none.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder"] and list((tmp_path / "folder").iterdir())
    kept.remove_paths(tmp_path / "folder")
    assert not list(tmp_path.iterdir())
