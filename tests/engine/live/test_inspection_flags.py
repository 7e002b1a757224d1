"""Flags and sources of an inspection that cannot be meant are refused, each in one line, before a frame is taken."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faked_inspection import ENVIRONMENT, ROOT, Run
from live_fakes import FakeSource, frames

from ddad_jax.errors import InputError


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"out": "a", "summary": "a"}, "--summary=.*the same file as --out"),
        ({"out": "v.mp4", "video": "v.mp4"}, "--video=.*the same file as --out"),
        ({"summary": "v.mp4", "video": "deep/../v.mp4"}, "--video=.*the same file as --summary"),
        ({"source": "film.mp4", "video": "film.mp4"}, "--video=.*the same file as --source"),
        ({"source": "film.mp4", "summary": "link.mp4"}, "--summary=.*the same file as --source"),
        ({"source": "film.mp4", "out": "hard.mp4"}, "--out=.*the same file as --source"),
    ],
)
def test_one_file_for_two_things_is_refused_and_stays(
    inspect: Run, tmp_path: Path, flags: dict[str, str], told: str
) -> None:
    film = tmp_path / "film.mp4"
    film.write_text("a film")
    (tmp_path / "link.mp4").symlink_to(film)
    (tmp_path / "hard.mp4").hardlink_to(film)
    given: dict[str, Any] = {name: tmp_path / value for name, value in flags.items()}
    opened: list[int] = []
    with pytest.raises(InputError, match=told):
        inspect(opened.append, **{**given, "source": str(given.get("source", "fake"))})
    assert not opened and film.read_text() == "a film" and not (tmp_path / "a").exists()


def test_a_file_that_the_standard_output_goes_to_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ddad_jax.engine.live.asked import InspectOptions, require_usable\n"
        "require_usable(InspectOptions(Path(), 'camera:0', summary=Path(sys.argv[1])))"
    )
    with (tmp_path / "printed").open("wb") as printed:
        command = [sys.executable, "-c", code, str(tmp_path / "printed")]
        ended = subprocess.run(command, cwd=ROOT, stdout=printed, stderr=subprocess.PIPE, text=True)
    assert "InputError: --summary=" in ended.stderr and "where the standard output goes" in ended.stderr


def test_a_device_or_a_pipe_is_no_place_for_the_summary_and_a_link_stays_one(inspect: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (Path("/dev/null"), tmp_path / "pipe", tmp_path):
        with pytest.raises(InputError, match="--summary=.*expected the name of a file"):
            inspect(frames(1), summary=place)
    assert Path("/dev/null").is_char_device()
    (tmp_path / "link").symlink_to(tmp_path / "s.json")
    inspect(frames(1), summary=tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and json.loads((tmp_path / "s.json").read_text())["judged"] == 1


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        *((flag, math.nan) for flag in ("fps", "max_wait", "retry_wait", "seconds", "min_area")),
        *((flag, math.inf) for flag in ("fps", "max_wait", "retry_wait", "seconds", "min_area")),
        ("fps", 0.0), ("max_wait", -1.0), ("retry_wait", 1e30), ("batch", 0), ("batch", 100_000_000),
    ],
)  # fmt: skip
def test_numbers_that_mean_nothing_are_refused_before_anything_is_opened(inspect: Run, flag: str, value: float) -> None:
    opened: list[int] = []
    with pytest.raises(InputError, match=f"--{flag}={value}: expected a number".replace("+", r"\+")):
        inspect(opened.append, **{flag: value})
    assert not opened


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"queue": 3}, "--queue=3.*--batch=4"),
        ({"video": "v.avi"}, r"--video=.*v\.avi: expected a file that ends in \.mp4"),
        ({"video": "file/v.mp4"}, "--video=.*file: is a file, expected a folder"),
        ({"overlays": "file/o"}, "--overlays=.*cannot be written to"),
        ({"out": "file/a.jsonl"}, "--out=.*cannot be written"),
        ({"summary": "file/s.json"}, "--summary=.*cannot be written"),
    ],
)
def test_what_cannot_be_written_is_said_before_a_frame_is_taken(
    inspect: Run, tmp_path: Path, flags: dict[str, Any], told: str
) -> None:
    (tmp_path / "file").write_text("")
    taken: list[int] = []

    def source(start: int) -> FakeSource:
        return FakeSource(taken.append(frame.index) or frame for frame in frames(3))  # type: ignore[func-returns-value]

    given = {name: tmp_path / value if isinstance(value, str) else value for name, value in flags.items()}
    with pytest.raises(InputError, match=told):
        inspect(source, **given)
    assert not taken


def test_a_source_that_cannot_be_opened_leaves_no_record(inspect: Run, tmp_path: Path) -> None:
    def none(start: int) -> FakeSource:
        raise InputError("camera 7 cannot be opened")

    with pytest.raises(InputError, match="camera 7"):
        inspect(none)
    assert not (tmp_path / "run").exists()


def test_bad_flags_are_one_line_and_status_2(quick: Path, tmp_path: Path) -> None:
    def started(*flags: str) -> subprocess.Popen[str]:
        command = [quick, "-m", "experiments.inspect", *flags]
        return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)

    for ended, told in [
        (started("--source=x"), "error: .*--model"),
        (started(f"--model={tmp_path}", "--source=none.mp4"), "error: none.mp4: no such file"),
        (started("--model=~nobody-of-this-name/x", "--source=none.mp4"), "error: --model"),
    ]:
        said = ended.communicate(timeout=120)[1]
        assert ended.returncode == 2 and said.count("\n") == 1 and re.match(told, said), said
