"""A whole inspection, from its flags to the record, the summary and the pictures; signals and ``kill -9``."""

import json
import math
import os
import re
import resource
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

from ddad_jax.engine.live import pictures as live_pictures
from ddad_jax.engine.live import session as inspection
from ddad_jax.engine.live.asked import InspectOptions
from ddad_jax.engine.live.session import run_inspection
from ddad_jax.errors import InputError
from ddad_jax.sources import Frame

ROOT = Path(__file__).parents[3]
# With a setting of its memory given, a program does not start itself again for another one.
ENVIRONMENT = {**os.environ, "GLIBC_TUNABLES": ""}
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run_inspection`` with fakes: ``items`` for the source, or what opens it; everything else as flags."""

    def inspected(items: Any, detector: FakeDetector | None = None, **flags: Any) -> dict[str, Any]:
        def opened(spec: str, *, fps: float | None = None, depth: bool = True, start: int = 0) -> FakeSource:
            return items(start) if callable(items) else FakeSource(iter(items))

        monkeypatch.setattr(inspection, "open_source", opened)
        fake = detector or FakeDetector(flags.get("batch", 4))
        given: dict[str, Any] = {"model": tmp_path / "run", "source": "fake", "max_wait": 0.05, **flags}
        return run_inspection(InspectOptions(**given), open_detector=lambda workdir, batch: fake)  # type: ignore[arg-type, return-value]

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


def test_a_record_whose_name_leaves_no_room_for_overlays_is_refused_before_the_first_frame(
    inspect: Run, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--overlays=.*name too long"):
        inspect(frames(2, anomalous=(1,)), out=tmp_path / f"{'x' * 240}.jsonl", overlays=tmp_path / "o")
    assert not list((tmp_path / "o").iterdir())


def test_overlays_are_pictures_of_the_anomalous_frames_or_of_all(inspect: Run, tmp_path: Path) -> None:
    summary = inspect(frames(6, anomalous=(2, 5)), overlays=tmp_path / "o")
    stem = f"{Path(summary['record']).stem}_{summary['inspection']}"
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


def test_a_map_that_is_no_number_is_an_anomaly_without_a_place(inspect: Run, tmp_path: Path) -> None:
    items = [Frame(i, i / 25, np.zeros((24, 32, 3), np.uint8) if i == 2 else picture()) for i in range(6)]
    detector = FakeDetector(4, no_number=lambda frame: not frame.any())
    summary = inspect(iter(items), detector, overlays=tmp_path / "o", video=tmp_path / "v.mp4", serve=0)
    rows = [row for row in lines(Path(summary["record"])) if "event" not in row]
    assert [row["verdict"] for row in rows] == ["normal", "normal", "anomaly", "normal", "normal", "normal"]
    assert rows[2]["score"] is None and rows[2]["regions"] == [] and summary["reason"] == "end of source"
    (drawn,) = (tmp_path / "o").iterdir()
    assert not cv2.imread(str(drawn)).any()


def test_a_video_that_is_there_is_not_written_over(inspect: Run, tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_text("precious")
    with pytest.raises(InputError, match=r"--video=.*v\.mp4: is there already"):
        inspect(frames(2), video=tmp_path / "v.mp4")
    assert (tmp_path / "v.mp4").read_text() == "precious"
    (tmp_path / "new.mp4").touch()
    inspect(frames(2), video=tmp_path / "new.mp4")
    assert (tmp_path / "new.mp4").stat().st_size > 0
    assert {file.name for file in tmp_path.iterdir()} == {"v.mp4", "new.mp4", "run"}


def test_a_disk_that_is_too_full_for_the_video_is_said_and_the_verdicts_are_kept(inspect: Run, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    items = [Frame(i, i / 25, random.integers(0, 100, (120, 160, 3), np.uint8)) for i in range(20)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"--video=.*v\.mp4: .*no video of the 20 frames.*disk full"):
            inspect(items, video=tmp_path / "v.mp4", out=tmp_path / "a.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    rows = lines(tmp_path / "a.jsonl")
    assert verdicts(rows) == list(range(20)) and "no video" in rows[-1]["reason"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


def test_an_error_elsewhere_is_told_as_the_error_and_the_video_kept(inspect: Run, tmp_path: Path) -> None:
    broken = FakeDetector(4, broken=lambda call: call == 3)
    with pytest.raises(RuntimeError, match="the detector broke"):
        inspect(frames(12), broken, video=tmp_path / "v.mp4")
    assert cv2.VideoCapture(str(tmp_path / "v.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 4


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


FAKED = """
import sys
sys.path[:0] = ["tests", "tests/data"]
import live_fakes
from experiments import inspect
from ddad_jax.engine.live import session as inspection
fake = live_fakes.FakeDetector(4, seconds=0.002)
inspection.open_source = lambda *a, **k: live_fakes.FakeSource(live_fakes.endless(), interval=0.001)
inspection.run_inspection.__kwdefaults__["open_detector"] = lambda workdir, batch: fake
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


INTERRUPTED = """
import os, runpy, signal, sys
sys.path[:0] = ["tests", "tests/data"]
import live_fakes
from ddad_jax.engine.live import session
def interrupted(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)
session.open_source = interrupted
runpy.run_module("experiments.inspect", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_before_there_are_frames_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, f"--model={tmp_path}", "--source=s"]
    ended = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (130, 1) and "stopped by Ctrl-C" in ended.stderr


def test_ctrl_c_while_it_starts_is_quiet(tmp_path: Path) -> None:
    """Among the imports, which take seconds."""
    code = INTERRUPTED.replace("session.open_source = interrupted", "sys.modules['experiments.entry'] = Entry('entry')")
    code = code.replace("from ddad_jax.engine.live import session", ENTRY)
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


ENTRY = """
import types, experiments
class Entry(types.ModuleType):
    def __getattr__(self, name):
        interrupted()
"""


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
