"""A whole inspection, from its flags to the record and the summary."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from faked_inspection import Run
from live_fakes import FakeDetector, FakeSource, events, frames, lines, unplugged, verdicts

from ddad_jax.sources import Frame


def test_a_record_begins_and_ends_with_what_it_is_of(inspect: Run, capsys: pytest.CaptureFixture[str]) -> None:
    summary = inspect(frames(9, anomalous=(4,)))
    file = Path(summary["record"])
    assert file.parent.name == "inspections" and file.suffix == ".jsonl"
    first, *middle, last = lines(file)
    assert (first["event"], first["model"], first["source"], first["batch"]) == ("started", "fake", "fake", 4)
    assert first["drop"] is False and first["settings"] == {"kind": "fake", "fps": 25.0}
    assert verdicts(middle) == list(range(9))
    assert (last["event"], last["reason"], last["judged"], last["anomalous"]) == ("ended", "end of source", 9, 1)
    assert summary["frames_per_s"] > 0 and summary["latency_ms"]["p95"] >= summary["latency_ms"]["p50"] > 0
    printed = capsys.readouterr()
    assert "9 of 9 frames judged, 1 anomalous" in printed.err and printed.out == ""


def test_the_detector_is_warm_before_a_frame_is_taken_and_the_warm_start_has_no_line(inspect: Run) -> None:
    detector, calls = FakeDetector(4, seconds=0.01), []

    def given() -> Iterator[Frame]:
        calls.append(list(detector.calls))
        yield from frames(4)

    summary = inspect(given(), detector)
    assert calls == [[1]] and detector.warmed and summary["warm_start_s"] >= 0.01
    assert summary["judged"] == 4


def test_a_live_source_drops_and_a_recording_waits_unless_asked_otherwise(inspect: Run, tmp_path: Path) -> None:
    def live(start: int) -> FakeSource:
        return FakeSource(iter(frames(3)), live=True)

    asked = [(live, None, True), (frames(3), None, False), (live, "block", False), (frames(3), "drop", True)]
    for items, when_full, drop in asked:
        out = tmp_path / f"{drop}{when_full}.jsonl"
        inspect(items, when_full=when_full, out=out)
        assert lines(out)[0]["drop"] is drop


def test_the_same_file_is_appended_to(inspect: Run, tmp_path: Path) -> None:
    for _ in range(2):
        inspect(frames(3), out=tmp_path / "all.jsonl")
    rows = lines(tmp_path / "all.jsonl")
    assert verdicts(rows) == [0, 1, 2, 0, 1, 2] and len(events(rows, "ended")) == 2


def test_two_inspections_in_one_file_and_one_folder_stay_apart(inspect: Run, tmp_path: Path) -> None:
    made = [inspect(frames(3), out=tmp_path / "all.jsonl", overlays=tmp_path / "o", overlay_every=True) for _ in "ab"]
    words = [summary["inspection"] for summary in made]
    rows = lines(tmp_path / "all.jsonl")
    assert words[0] != words[1] and [e["inspection"] for e in events(rows, "started")] == words
    for word in words:
        assert verdicts([row for row in rows if row["inspection"] == word]) == [0, 1, 2]
        assert len(list((tmp_path / "o").glob(f"all_{word}_*.png"))) == 3


def test_stdout_has_the_lines_and_nothing_else(inspect: Run, capsys: pytest.CaptureFixture[str]) -> None:
    summary = inspect(frames(3), stdout=True)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == lines(Path(summary["record"]))


def test_a_rate_judges_fewer_frames(inspect: Run) -> None:
    assert verdicts(lines(Path(inspect(frames(100), fps=5.0)["record"]))) == list(range(0, 100, 5))


def test_losses_and_returns_are_lines_and_counted(inspect: Run) -> None:
    plugs = iter([unplugged(4), unplugged(2), unplugged(3), frames(5)])
    summary = inspect(lambda start: FakeSource(iter(next(plugs)), live=True), retry_wait=0.0)
    rows = lines(Path(summary["record"]))
    assert verdicts(rows) == list(range(14)) and summary["losses"] == 3
    assert [e["frame"] for e in events(rows, "lost")] == [e["frame"] for e in events(rows, "back")] == [4, 6, 9]
    assert events(rows, "lost")[0]["reason"] == "unplugged" and events(rows, "back")[0]["attempts"] == 1


def test_the_summary_is_a_file_too(inspect: Run, tmp_path: Path) -> None:
    summary = inspect(frames(5), summary=tmp_path / "deep" / "summary.json")
    assert json.loads((tmp_path / "deep" / "summary.json").read_text()) == json.loads(json.dumps(summary))


def test_an_error_is_the_last_thing_in_record_and_summary(inspect: Run, tmp_path: Path) -> None:
    broken = FakeDetector(4, broken=lambda call: call == 3)  # the first is of the warm start
    with pytest.raises(RuntimeError):
        inspect(frames(12), broken, out=tmp_path / "a.jsonl", summary=tmp_path / "s.json")
    rows = lines(tmp_path / "a.jsonl")
    assert rows[-1]["event"] == "ended" and rows[-1]["reason"] == "error: the detector broke"
    assert verdicts(rows) == [0, 1, 2, 3] and json.loads((tmp_path / "s.json").read_text())["unjudged"] >= 4
