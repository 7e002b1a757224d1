"""The record: every line whole, torn ones mended, other people's files left alone."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from live_fakes import lines as whole_lines

from ddad_jax.engine.live.record import VerdictLog, new_file
from ddad_jax.errors import InputError

BEGUN = b'{"event": "started", "at": "10:00"}\n'


def lines(file: Path) -> list[dict[str, Any]]:
    """Without the word of the inspection, and without the line that ``BEGUN`` is."""
    rows = [{name: value for name, value in row.items() if name != "inspection"} for row in whole_lines(file)]
    return [row for row in rows if row != json.loads(BEGUN)]


def test_a_line_is_in_the_file_before_the_next_thing_happens(tmp_path: Path) -> None:
    log = VerdictLog(tmp_path / "deep" / "a.jsonl")
    log.write({"frame": 0, "score": float("nan")})
    assert lines(log.file) == [{"frame": 0, "score": None}]
    log.event("lost", reason="pulled <out>")
    assert lines(log.file)[1]["event"] == "lost" and log.events[0]["reason"] == "pulled <out>"
    log.close()


@pytest.mark.parametrize("torn", [b'{"frame": 1, "sc', b'{"frame": "\xff', b"{"])
def test_what_a_killed_inspection_wrote_half_of_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(BEGUN + b'{"frame": 0}\n' + torn)
    log = VerdictLog(file)
    log.write({"frame": 2})
    log.close()
    assert lines(file) == [{"frame": 0}, {"frame": 2}]


def test_a_line_that_only_lacks_its_newline_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(BEGUN + b'{"frame": 0}\n{"frame": 1}')
    log = VerdictLog(file)
    log.write({"frame": 2})
    log.close()
    assert [row["frame"] for row in lines(file)] == [0, 1, 2]


@pytest.mark.parametrize("torn", [b'{"event": "star', b'{"event": "started", "mod'])
def test_a_first_line_that_was_torn_is_begun_anew(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(torn)
    VerdictLog(file).event("started")
    assert len(lines(file)) == 1


def test_every_line_has_the_word_of_its_inspection(tmp_path: Path) -> None:
    words = []
    for _ in range(2):
        log = VerdictLog(tmp_path / "a.jsonl")
        log.event("started")
        log.write({"frame": 0})
        log.close()
        words.append(log.inspection)
    assert words[0] != words[1]
    assert [row["inspection"] for row in whole_lines(tmp_path / "a.jsonl")] == [w for w in words for _ in range(2)]


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\nxyz", b"name,value\n1,2", b'{\n "a": 1\n}', b"[1]\n", b"hello", b"{", b'{"event',
        b'{"frame": 0}\n{"frame": 1, "sc', b'{"epoch": 1, "loss": 0.5}\n{"epoch": 2, "lo', b'{"event": "click"}\n{"ev',
        b'{"event": "started", and so on\n{"a',
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_refused_and_stays_as_it_was(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "precious"
    file.write_bytes(content)
    with pytest.raises(InputError, match="precious: holds something other"):
        VerdictLog(file)
    assert file.read_bytes() == content


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for no_file in (tmp_path, Path("/dev/null")):
        with pytest.raises(InputError, match="expected the name of a file"):
            VerdictLog(no_file)
    with pytest.raises(InputError, match="--out=.*cannot be written"):
        VerdictLog(tmp_path / "file" / "a.jsonl")
    with pytest.raises(InputError, match="cannot be written to.*--out"):
        new_file(tmp_path / "file")


def test_a_disk_that_fills_up_later_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    log = VerdictLog(tmp_path / "a.jsonl")
    log.write({"frame": 0})
    with Path("/dev/full").open("ab") as full:
        monkeypatch.setattr(log, "_open", full)
        with pytest.raises(InputError, match="No space left"):
            log.write({"frame": 1})
        log.write({"frame": 2})
        log.close()


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    log = VerdictLog(tmp_path / "a.jsonl")
    writers = [
        threading.Thread(target=lambda i=i: [log.write({"writer": i, "n": n, "pad": "x" * 9000}) for n in range(30)])
        for i in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    log.close()
    rows = lines(log.file)
    assert len(rows) == 120
    assert all([r["n"] for r in rows if r["writer"] == i] == list(range(30)) for i in range(4))


def test_drops_do_not_push_out_what_somebody_should_see(tmp_path: Path) -> None:
    log = VerdictLog(tmp_path / "a.jsonl")
    log.event("lost")
    for i in range(100):
        log.event("dropped", frame=i)
    assert [row["event"] for row in log.events] == ["lost"]
    assert len(lines(log.file)) == 101


def test_two_inspections_of_one_second_have_a_file_each(tmp_path: Path) -> None:
    made = {new_file(tmp_path) for _ in range(5)}
    assert len(made) == 5 and all(file.exists() for file in made)


def test_stdout_has_the_same_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = VerdictLog(tmp_path / "a.jsonl", stdout=True)
    log.write({"frame": 0})
    log.event("lost")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == whole_lines(log.file)
