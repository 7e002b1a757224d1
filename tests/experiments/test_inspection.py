"""A whole inspection, from its flags to the record, the summary and the pictures; signals and ``kill -9``."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from live_fakes import FakeDetector, FakeSource, endless, events, frames, lines, picture, unplugged, verdicts

from ddad_jax.errors import InputError
from ddad_jax.sources import Frame
from experiments.live import pictures as live_pictures
from experiments.live import session as inspection
from experiments.live.session import Asked, run

ROOT = Path(__file__).parents[2]
# With a setting of its memory given, a program does not start itself again for another one.
ENVIRONMENT = {**os.environ, "GLIBC_TUNABLES": ""}
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run`` with fakes: ``items`` for the source, or what opens it; everything else as flags."""

    def inspected(items: Any, detector: FakeDetector | None = None, **flags: Any) -> dict[str, Any]:
        def opened(spec: str, *, fps: float | None = None, depth: bool = True, start: int = 0) -> FakeSource:
            return items(start) if callable(items) else FakeSource(iter(items))

        monkeypatch.setattr(inspection, "open_source", opened)
        fake = detector or FakeDetector(flags.get("batch", 4))
        given: dict[str, Any] = {"model": tmp_path / "run", "source": "fake", "max_wait": 0.05, **flags}
        return run(Asked(**given), open_detector=lambda workdir, batch: fake)  # type: ignore[arg-type, return-value]

    return inspected


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


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_once_everything_is_judged(inspect: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = signal.getsignal(signal.Signals[name])

    class Interrupted(FakeDetector):
        def __call__(self, batch: Any) -> Any:
            if len(self.calls) == 3:
                os.kill(os.getpid(), signal.Signals[name])
            return super().__call__(batch)

    summary = inspect(lambda start: FakeSource(endless(), interval=0.001), Interrupted(4))
    rows = lines(Path(summary["record"]))
    assert summary["reason"] == name and rows[-1]["reason"] == name
    assert verdicts(rows) == list(range(summary["arrived"])) and summary["judged"] == summary["arrived"]
    assert signal.getsignal(signal.Signals[name]) is before


def test_a_second_ctrl_c_does_not_wait(inspect: Run, tmp_path: Path) -> None:
    class Slow(FakeDetector):
        def __call__(self, batch: Any) -> Any:
            for _ in range(2 if self.calls else 0):  # the first call is of the warm start
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)
            return super().__call__(batch)

    with pytest.raises(KeyboardInterrupt):
        inspect(frames(4), Slow(4), out=tmp_path / "a.jsonl")
    rows = lines(tmp_path / "a.jsonl")
    assert len(events(rows, "unjudged")) == 4 and rows[-1]["reason"] == "error: KeyboardInterrupt"


def test_overlays_are_pictures_of_the_anomalous_frames_or_of_all(inspect: Run, tmp_path: Path) -> None:
    summary = inspect(frames(6, anomalous=(2, 5)), overlays=tmp_path / "o")
    stem = Path(summary["record"]).stem
    made = sorted((tmp_path / "o").iterdir())
    assert [file.name for file in made] == [f"{stem}_{i:07d}_anomaly.png" for i in (2, 5)]
    drawn = cv2.imread(str(made[0]))
    assert drawn.shape == (24, 32, 3) and (drawn != picture(True)[..., ::-1]).any()
    inspect(frames(6, anomalous=(2, 5)), overlays=tmp_path / "all", overlay_every=True)
    assert len(list((tmp_path / "all").iterdir())) == 6


def test_the_video_has_every_frame_even_of_another_size(inspect: Run, tmp_path: Path) -> None:
    sizes = [(48, 64)] * 3 + [(90, 33)] * 2
    items = [Frame(i, i / 25, picture(i == 1, size)) for i, size in enumerate(sizes)]
    inspect(items, video=tmp_path / "v.mp4")
    video, read = cv2.VideoCapture(str(tmp_path / "v.mp4")), []
    while (found := video.read())[0]:
        read.append(found[1])
    assert len(read) == 5 and {frame.shape for frame in read} == {(48, 64, 3)}
    assert video.get(cv2.CAP_PROP_FPS) == 25.0 and int(read[1].max()) > int(read[0].max())


def test_a_window_needs_an_opencv_that_has_one(inspect: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(live_pictures.cv2, "namedWindow", none)
    with pytest.raises(InputError, match="--window.*opencv-python-headless.*--serve"):
        inspect(frames(1), window=True)


def test_q_in_the_window_stops_it(inspect: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[np.ndarray] = []
    monkeypatch.setattr(live_pictures.cv2, "namedWindow", lambda *a: None)
    monkeypatch.setattr(live_pictures.cv2, "destroyAllWindows", lambda: None)
    monkeypatch.setattr(live_pictures.cv2, "imshow", lambda title, drawn: shown.append(drawn))
    monkeypatch.setattr(live_pictures.cv2, "waitKey", lambda ms: ord("q") if len(shown) >= 8 else -1)
    summary = inspect(lambda start: FakeSource(endless(), interval=0.001), window=True)
    assert summary["reason"] == "window" and len(shown) == summary["judged"] == summary["arrived"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"queue": 3}, "--queue=3.*--batch=4"),
        ({"video": "v.avi"}, r"--video=.*v\.avi: expected a file that ends in \.mp4"),
        ({"video": "file/v.mp4"}, "--video=.*cannot be written"),
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


FAKED = """
import sys
sys.path[:0] = ["tests", "tests/data"]
import live_fakes
from experiments import inspect
from experiments.live import session as inspection
fake = live_fakes.FakeDetector(4, seconds=0.002)
inspection.open_source = lambda *a, **k: live_fakes.FakeSource(live_fakes.endless(), interval=0.001)
inspection.run.__kwdefaults__["open_detector"] = lambda workdir, batch: fake
inspect.entry.run_without_config(inspect.main, required=["model", "source"])
"""


def test_kill_9_leaves_a_record_that_can_be_read(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    command = [sys.executable, "-c", FAKED, "--model=m", "--source=s", f"--out={out}", "--contours"]
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while time.monotonic() < until and (not out.exists() or out.stat().st_size < 40_000):
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    content = out.read_bytes()
    whole = content[: content.rfind(b"\n") + 1].splitlines()
    found = verdicts([json.loads(line) for line in whole])
    assert found == list(range(len(found))) and len(found) > 20


def test_bad_flags_are_one_line_and_status_2(tmp_path: Path) -> None:
    def started(*flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "experiments.inspect", *flags]
        return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)

    for ended, told in [
        (started("--source=x"), "error: .*--model"),
        (started(f"--model={tmp_path}", "--source=none.mp4"), "error: none.mp4: no such file"),
    ]:
        said = ended.communicate(timeout=120)[1]
        assert ended.returncode == 2 and said.count("\n") == 1 and re.match(told, said), said
