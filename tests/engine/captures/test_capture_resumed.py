"""A capture stopped and taken up again is the unbroken one; what cannot be taken up is left alone."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from given_source import STATION, Given, asked, sharp

from ddad_jax.engine.captures import folder
from ddad_jax.engine.captures.recording import how_to_go_on, read_capture
from ddad_jax.engine.captures.writing import CaptureOptions, capture
from ddad_jax.errors import InputError


def contents(folder: Path) -> dict[str, bytes]:
    """All that must not depend on when and in how many goes it was captured."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    manifest = json.loads(files.pop("manifest.json"))
    for name in ("started", "wall_seconds"):
        manifest.pop(name)
    return files | {"manifest.json": json.dumps(manifest, sort_keys=True).encode()}


def stopping(after: int) -> tuple[threading.Event, Any]:
    stop = threading.Event()
    return stop, lambda counts: stop.set() if counts["seen"] == after else None


def test_stopped_and_taken_up_again_it_is_the_unbroken_capture(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole/paint", tmp_path / "parts/paint"
    capture(CaptureOptions(STATION, whole))
    stop, tell = stopping(3)
    manifest = capture(CaptureOptions(STATION, parts), stop=stop, tell=tell)
    assert (manifest["ended"], manifest["finished"], manifest["frames"]) == ("interrupted", False, 3)
    with pytest.raises(InputError, match=r"did not finish.*--resume"):
        read_capture(parts)
    assert len(read_capture(parts, unfinished=True, verify=True).frames) == 3
    stop, tell = stopping(5)
    capture(CaptureOptions(STATION, parts, resume=True), stop=stop, tell=tell)
    capture(CaptureOptions(STATION, parts, resume=True))
    assert contents(parts) == contents(whole)
    written = {path: path.stat().st_mtime_ns for path in parts.rglob("*")}
    assert capture(CaptureOptions(STATION, parts, resume=True))["finished"]
    assert written == {path: path.stat().st_mtime_ns for path in parts.rglob("*")}, "nothing was left to do"


def test_a_relative_folder_is_taken_up_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stop, tell = stopping(3)
    capture(CaptureOptions(STATION, Path("some/paint")), stop=stop, tell=tell)
    assert capture(CaptureOptions(STATION, Path("some/paint"), resume=True))["finished"]
    capture(CaptureOptions(STATION, Path("whole/paint")))
    assert contents(Path("some/paint")) == contents(Path("whole/paint"))


@pytest.mark.parametrize("resume", [False, True])
def test_killed_before_its_first_file_was_whole_it_counts_as_not_begun(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.manifest.json.part").write_bytes(b'{"format"')
    assert capture(CaptureOptions(STATION, tmp_path / "a", resume=resume))["finished"]
    assert not (tmp_path / "a/.manifest.json.part").exists()


def test_rows_are_never_gone_while_a_capture_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, tell = stopping(5)
    capture(CaptureOptions(STATION, tmp_path / "a"), stop=stop, tell=tell)
    table = tmp_path / "a/frames.csv"
    rows, seen, replace = table.read_bytes(), list[bytes](), folder._replace

    def watched(path: Path, content: bytes) -> str:
        seen.append(table.read_bytes())
        digest = replace(path, content)
        seen.append(table.read_bytes())
        return digest

    monkeypatch.setattr(folder, "_replace", watched)
    capture(CaptureOptions(STATION, tmp_path / "a", resume=True))
    assert len(seen) > 4 and all(then.startswith(rows) for then in seen), "whenever it is killed"


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match="is not empty"):
            capture(CaptureOptions(STATION, tmp_path / "notes", resume=resume))
    out = tmp_path / "film"
    capture(CaptureOptions(STATION, out))
    before = contents(out)
    with pytest.raises(InputError, match="is not empty"):
        capture(CaptureOptions(STATION, out))
    with pytest.raises(InputError, match=r"something else.*fps 1\.0, now 2\.0"):
        capture(CaptureOptions(STATION, out, fps=2.0, resume=True))
    with pytest.raises(InputError, match="something else"):
        capture(CaptureOptions(STATION.replace("video=2", "video=3"), out, resume=True))
    assert contents(out) == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is not empty"):
        capture(CaptureOptions(STATION, tmp_path / "file"))


def test_a_live_source_ends_by_hand_in_good_order_and_cannot_be_taken_up(tmp_path: Path) -> None:
    pictures = [sharp(i) for i in range(5)]
    stop, tell = stopping(2)
    one = capture(asked(tmp_path / "a"), stop=stop, tell=tell, open=lambda *a, **k: Given(pictures, live=True))
    assert one["ended"] == "interrupted" and one["finished"], "without a limit that is how it ends"
    stop, tell = stopping(2)
    limited = asked(tmp_path / "b", max_frames=4)
    two = capture(limited, stop=stop, tell=tell, open=lambda *a, **k: Given(pictures, live=True))
    assert not two["finished"]
    with pytest.raises(InputError, match="its source was live and cannot be taken up.*--unfinished"):
        read_capture(tmp_path / "b")
    station = {"kind": "station", "settings": {"live": 1}}
    assert "--resume" not in how_to_go_on(tmp_path, two) + how_to_go_on(tmp_path, station)
    with pytest.raises(InputError, match="live"):
        capture(limited._replace(resume=True), open=lambda *a, **k: Given(pictures, live=True))
