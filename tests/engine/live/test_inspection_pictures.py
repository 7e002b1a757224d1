"""What an inspection draws: overlays, the video and the window."""

import resource
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from faked_inspection import Run
from live_fakes import FakeDetector, FakeSource, endless, frames, lines, picture, verdicts

from ddad_jax.engine.live import pictures as live_pictures
from ddad_jax.errors import InputError
from ddad_jax.sources import Frame


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
