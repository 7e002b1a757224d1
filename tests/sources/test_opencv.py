"""Videos: every frame once, in colour, damaged ones counted. Cameras: lost when silent, never a hang."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame, SourceLost
from ddad_jax.sources.opencv import Camera, VideoFile

H, W = 48, 64


def video(path: Path, frames: int = 40, codec: str = "MJPG", fps: float = 10.0) -> Path:
    """Frame k is red k steps of 6, green 200, blue noise."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (W, H))
    assert writer.isOpened()
    for k in range(frames):
        blue = np.random.default_rng(k).integers(0, 256, (H, W, 1), np.uint8)
        rest = np.broadcast_to(np.array([200, 6 * k], np.uint8), (H, W, 2))
        writer.write(np.ascontiguousarray(np.concatenate([blue, rest], axis=2)))
    writer.release()
    return path


def story(source: VideoFile) -> str:
    """A letter a frame: + read, - bad; indices without a gap, seconds rising."""
    got = list(source.frames())
    assert [frame.index for frame in got] == list(range(len(got)))
    seconds = [frame.seconds for frame in got if isinstance(frame, Frame)]
    assert seconds[0] == 0 and all(a < b for a, b in zip(seconds, seconds[1:], strict=False))
    return "".join("-" if isinstance(frame, Bad) else "+" for frame in got)


@pytest.mark.parametrize(("codec", "name"), [("MJPG", "a.avi"), ("mp4v", "a.mp4"), ("VP90", "a.webm")])
def test_every_frame_once_in_rgb_at_its_time(tmp_path: Path, codec: str, name: str) -> None:
    source = VideoFile(video(tmp_path / name, codec=codec))
    assert source.settings == {"kind": "video", "size": [H, W], "fps": 10.0, "frames": 40} and not source.live
    for k, frame in enumerate(source.frames()):
        assert isinstance(frame, Frame) and frame.color.shape == (H, W, 3) and frame.color.dtype == np.uint8
        assert frame.index == k and frame.seconds == pytest.approx(k / 10, abs=1e-3)
        red, green = frame.color[..., 0].mean(), frame.color[..., 1].mean()
        assert red == pytest.approx(6 * k, abs=12) and green == pytest.approx(200, abs=12)
    assert k == 39


def test_a_truncated_video_counts_what_its_container_promised(tmp_path: Path) -> None:
    whole = video(tmp_path / "a.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    told = story(VideoFile(tmp_path / "cut.avi"))
    good = told.count("+")
    assert told == "+" * good + "-" * (40 - good) and 15 <= good <= 22


@pytest.mark.parametrize(("codec", "name"), [("MJPG", "a.avi"), ("mp4v", "a.mp4"), ("FFV1", "a.avi")])
def test_damaged_frames_are_counted_and_those_behind_them_are_read(tmp_path: Path, codec: str, name: str) -> None:
    content = bytearray(video(tmp_path / name, codec=codec).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = b"\x55" * 3000
    (tmp_path / f"hole-{name}").write_bytes(content)
    source = VideoFile(tmp_path / f"hole-{name}")
    got = list(source.frames())
    assert [frame.index for frame in got] == list(range(40))
    good = [frame for frame in got if isinstance(frame, Frame)]
    assert 20 < len(good) < 40, "reading went on behind the hole"
    late = 3.9 - good[-1].seconds
    assert -1e-3 <= late <= (40 - len(good)) / 10 + 1e-3, "an AVI's clock does not tick for what was passed over"


@pytest.mark.parametrize("name", ["none.avi", "none.mp4"])
def test_a_video_without_frames_is_refused(tmp_path: Path, name: str) -> None:
    video(tmp_path / name, frames=0, codec="MJPG" if name.endswith("avi") else "mp4v")
    with pytest.raises(InputError, match=name):
        VideoFile(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(InputError, match="cannot be opened as a video"):
        VideoFile(tmp_path / "a.mp4")
    with pytest.raises(InputError, match="no such file"):
        VideoFile(tmp_path / "b.mp4")


def test_a_truncated_mp4_has_lost_its_index(tmp_path: Path) -> None:
    whole = video(tmp_path / "a.mp4", codec="mp4v").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated"):
        VideoFile(tmp_path / "cut.mp4")


def test_a_video_closed_in_the_middle_ends(tmp_path: Path) -> None:
    source = VideoFile(video(tmp_path / "a.avi"))
    frames = source.frames()
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []


class Device:
    """As a ``cv2.VideoCapture`` of a camera: gives ``n`` frames, then fails, or is silent until it is let go. Frame k
    is blue k; ``paced``: each waits until it is asked for by ``next``."""

    def __init__(self, n: int, *, opened: bool = True, silent: bool = False, paced: bool = False):
        self._n, self._left, self._opened, self._silent = n, n, opened, silent
        self._due = threading.Semaphore(0) if paced else None
        self.let_go, self.released, self.asked = threading.Event(), threading.Event(), dict[int, float]()

    def isOpened(self) -> bool:
        return self._opened

    def set(self, what: int, value: float) -> bool:
        self.asked[what] = value
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FRAME_HEIGHT: H, cv2.CAP_PROP_FRAME_WIDTH: W, cv2.CAP_PROP_FPS: 30}.get(what, 0)

    def read(self) -> tuple[bool, Any]:
        if self._left == 0:
            if self._silent:
                self.let_go.wait(20)
            return False, None
        if self._due is not None:
            assert self._due.acquire(timeout=20)
        self._left -= 1
        return True, np.full((H, W, 3), (self._n - self._left - 1, 2, 3), np.uint8)

    def next(self, frames: Iterator[Frame | Bad]) -> Frame:
        """The next frame, which the device gives only now."""
        assert self._due is not None
        self._due.release()
        frame = next(frames)
        assert isinstance(frame, Frame)
        return frame

    def release(self) -> None:
        self.released.set()


def test_a_camera_gives_rgb_and_is_lost_when_it_fails() -> None:
    device = Device(3, paced=True)
    source = Camera(0, fps=15, open=lambda which: device)
    assert source.live and source.settings["size"] == [H, W] and device.asked == {cv2.CAP_PROP_FPS: 15}
    frames = source.frames()
    got = [device.next(frames) for _ in range(3)]
    assert [frame.index for frame in got] == [0, 1, 2] and got[0].seconds == 0
    assert [frame.color[0, 0].tolist() for frame in got] == [[3, 2, k] for k in range(3)]
    with pytest.raises(SourceLost, match="stopped giving frames"):
        next(frames)
    assert device.released.wait(5)


@pytest.mark.parametrize("n", [0, 2])
def test_a_silent_camera_is_lost_after_its_timeout(n: int) -> None:
    device = Device(n, silent=True, paced=True)
    source = Camera(0, timeout=0.1, open=lambda which: device)
    frames = source.frames()
    for _ in range(n):
        device.next(frames)
    begin = time.monotonic()
    with pytest.raises(SourceLost, match=r"no frame for 0\.[13]"):
        next(frames)
    assert time.monotonic() - begin < 5
    source.close()
    assert not device.released.is_set(), "never under the driver's feet"
    device.let_go.set()
    assert device.released.wait(5)


def test_who_is_slow_gets_the_newest_frame_and_the_last_one_before_the_end() -> None:
    device = Device(9, paced=True)
    frames = Camera(0, open=lambda which: device).frames()
    assert device.next(frames).color[0, 0, 2] == 0
    assert device._due is not None
    for left in range(8, 0, -1):  # the driver goes on while nobody takes a frame
        device._due.release()
        until = time.monotonic() + 5
        while device._left >= left and time.monotonic() < until:
            time.sleep(0.001)
    assert device.released.wait(5), "it gave its last frame and failed"
    last = next(frames)
    assert isinstance(last, Frame) and last.index == 1 and last.color[0, 0, 2] == 8, "neither an old one nor none"
    with pytest.raises(SourceLost, match="stopped giving frames"):
        next(frames)


def test_a_device_that_does_not_open_in_time_is_refused_and_let_go_when_it_does() -> None:
    device, answer = Device(1), threading.Event()

    def open(which: object) -> Device:
        answer.wait(20)
        return device

    begin = time.monotonic()
    with pytest.raises(InputError, match=r"camera rtsp://x does not answer: .*0\.15 s"):
        Camera("rtsp://x", timeout=0.05, open=open)
    assert time.monotonic() - begin < 5 and not device.released.is_set()
    answer.set()
    assert device.released.wait(5)


def test_closing_a_camera_ends_who_waits_for_its_next_frame() -> None:
    device = Device(1, silent=True)
    source = Camera(0, timeout=30, open=lambda which: device)
    got = list[Frame | Bad]()
    thread = threading.Thread(target=lambda: got.extend(source.frames()), daemon=True)
    thread.start()
    while not got:
        time.sleep(0.01)
    source.close()
    thread.join(5)
    device.let_go.set()
    assert not thread.is_alive() and len(got) == 1


def test_a_camera_that_is_not_there_is_refused_with_those_that_are() -> None:
    device = Device(0, opened=False)
    with pytest.raises(InputError, match=r"camera 7 cannot be opened.*Found: "):
        Camera(7, open=lambda which: device)
    assert device.released.is_set()
    unused = Device(1)
    Camera(0, open=lambda which: unused).close()
    assert unused.released.is_set()
