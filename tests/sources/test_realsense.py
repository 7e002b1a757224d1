"""RealSense without hardware: a software device is recorded by the library itself and played back; a camera is played
by a stand-in of the few calls that are made of one."""

import builtins
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ddad_jax.engine.captures.writing import CaptureOptions, capture
from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame, SourceLost, realsense
from ddad_jax.sources.realsense import RealSense

pytest.importorskip("pyrealsense2", reason="pip install 'ddad-jax[realsense]'", exc_type=ImportError)
W, H, N = 64, 48, 12


def color(k: int) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 256, (H, W, 3), np.uint8)


def depth(k: int, shape: tuple[int, int] = (H, W)) -> np.ndarray:
    ramp = np.arange(shape[0] * shape[1]).reshape(shape) % 1000
    return (ramp + 500 + k).astype(np.uint16)


def record(
    path: Path, n: int = N, *, format: str = "rgb8", depth_size: tuple[int, int] | None = (H, W), unit: float = 0.001,
    with_color: bool = True, aside: float = 0.0,
) -> Path:  # fmt: skip
    """A recording as the library's recorder writes it, of a software device; ``aside``: metres between the lenses."""
    rs = realsense.load_pyrealsense()
    device = rs.software_device()
    device.register_info(rs.camera_info.name, "a station's camera")
    device.register_info(rs.camera_info.serial_number, "0042")

    def stream(kind: Any, uid: int, form: Any, size: tuple[int, int], bytes: int) -> Any:
        lens = rs.intrinsics()
        lens.height, lens.width = size
        lens.ppx, lens.ppy, lens.fx, lens.fy = size[1] / 2, size[0] / 2, size[1] * 0.8, size[1] * 0.8
        lens.model, lens.coeffs = rs.distortion.none, [0.0] * 5
        made = rs.video_stream()
        made.type, made.index, made.uid, made.fps, made.bpp, made.fmt = kind, 0, uid, 30, bytes, form
        made.height, made.width = size
        made.intrinsics = lens
        return made

    feeds: list[tuple[Any, Any, Any, int]] = []
    if depth_size is not None:
        sensor = device.add_sensor("Depth")
        sensor.add_read_only_option(rs.option.depth_units, unit)
        profile = sensor.add_video_stream(stream(rs.stream.depth, 1, rs.format.z16, depth_size, 2))
        feeds.append((sensor, profile.as_video_stream_profile(), lambda k: depth(k, depth_size), 2))
    if with_color:
        sensor, size = device.add_sensor("Color"), 2 if format == "yuyv" else len(format) - 1
        profile = sensor.add_video_stream(stream(rs.stream.color, 2, getattr(rs.format, format), (H, W), size))
        pixels = {"rgb8": color, "bgr8": lambda k: np.ascontiguousarray(color(k)[..., ::-1])}[format]
        feeds.append((sensor, profile.as_video_stream_profile(), pixels, 3))
    if len(feeds) == 2:
        pose = rs.extrinsics()
        pose.rotation, pose.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [aside, 0, 0]
        feeds[0][1].register_extrinsics_to(feeds[1][1], pose)
    recorder = rs.recorder(str(path), device)
    sync = rs.syncer()
    sensors = recorder.query_sensors()
    for sensor, (_, profile, _, _) in zip(sensors, feeds, strict=True):
        sensor.open(profile)
        sensor.start(sync)
    lent: list[Any] = []  # the recorder writes later, from memory that it does not own
    for k in range(n):
        for sensor, profile, pixels, size in feeds:
            frame, picture = rs.software_video_frame(), pixels(k)
            lent += [frame, picture]
            frame.pixels = picture
            frame.stride, frame.bpp = profile.width() * size, size
            frame.timestamp, frame.domain = 1000 / 30 * k, rs.timestamp_domain.system_time
            frame.frame_number, frame.profile = k, profile
            if size == 2:
                frame.depth_units = unit
            sensor.on_video_frame(frame)
        time.sleep(0.002)
    written, since = -1, time.monotonic()  # the recorder writes in a thread of its own
    while time.monotonic() - since < 0.25:
        if (now := path.stat().st_size if path.exists() else 0) != written:
            written, since = now, time.monotonic()
        time.sleep(0.01)
    for sensor in sensors:
        sensor.stop()
        sensor.close()
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("realsense") / "station.db3")


def frames(source: RealSense) -> list[Frame]:
    got = list(source.frames())
    source.close()
    assert all(isinstance(frame, Frame) for frame in got), got
    return [frame for frame in got if isinstance(frame, Frame)]


def test_what_was_recorded_comes_back_every_time(recording: Path) -> None:
    for _ in range(5):  # the order in which threads start must not cost the first or the last frame
        got = frames(RealSense(recording=recording))
        assert [frame.index for frame in got] == list(range(N))
        for k, frame in enumerate(got):
            np.testing.assert_array_equal(frame.color, color(k))
            assert frame.depth is not None and frame.depth.dtype == np.uint16
            np.testing.assert_array_equal(frame.depth, depth(k))
            assert frame.seconds == pytest.approx(k / 30, abs=1e-6)


def test_a_recording_waits_for_a_slow_reader(recording: Path) -> None:
    source, got = RealSense(recording=recording), list[int]()
    for frame in source.frames():
        time.sleep(0.05)
        got.append(frame.index)
    assert got == list(range(N))


def test_a_recording_says_what_it_is(recording: Path) -> None:
    source = RealSense(recording=recording)
    said = {"kind": "recording", "size": [H, W], "fps": 30, "format": "rgb8", "depth": True, "serial": "0042"}
    assert said.items() <= dict(source.settings).items() and not source.live
    assert source.settings["camera"] == "a station's camera"
    source.close()
    source.close()
    assert list(source.frames()) == []


def test_closed_in_the_middle_it_ends(recording: Path) -> None:
    source = RealSense(recording=recording)
    got = source.frames()
    next(got)
    source.close()
    assert list(got) == []


def test_colour_only_where_depth_is_not_wanted_or_not_there(recording: Path, tmp_path: Path) -> None:
    assert all(frame.depth is None for frame in frames(RealSense(recording=recording, depth=False)))
    got = frames(RealSense(recording=record(tmp_path / "color.db3", 3, depth_size=None)))
    assert len(got) == 3 and got[2].depth is None
    np.testing.assert_array_equal(got[2].color, color(2))


def test_bgr_becomes_rgb_and_depth_units_millimetres(tmp_path: Path) -> None:
    got = frames(RealSense(recording=record(tmp_path / "a.db3", 3, format="bgr8", unit=0.0001)))
    np.testing.assert_array_equal(got[1].color, color(1))
    assert got[1].depth is not None and np.abs(got[1].depth - 0.1 * depth(1)).max() <= 0.5001


def test_depth_of_another_lens_is_brought_into_the_colour_picture(tmp_path: Path) -> None:
    small = frames(RealSense(recording=record(tmp_path / "small.db3", 3, depth_size=(H // 2, W // 2))))
    assert small[0].depth is not None and small[0].depth.shape == (H, W)
    assert np.count_nonzero(small[0].depth) > 0.8 * H * W
    beside = frames(RealSense(recording=record(tmp_path / "beside.db3", 3, aside=0.05)))
    assert beside[0].depth is not None and not np.array_equal(beside[0].depth, depth(0))
    # A point at z metres moves by f aside / z = 51 x 0.05 / z pixels to the right: at 0.5 m by 5, at 1.5 m by 2.
    row = beside[0].depth[0].astype(int)
    places = {int(z): x for x, z in enumerate(depth(0)[0])}
    moved = [x - places[z] for x, z in enumerate(row) if z in places]
    assert moved and 3 <= np.median(moved) <= 6


def test_a_recording_without_colour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no colour"):
        RealSense(recording=record(tmp_path / "depth.db3", 3, with_color=False))


def test_a_recording_without_frames_is_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "none.db3", 0)
    with pytest.raises(InputError, match=r"none\.db3"):
        list(RealSense(recording=path, timeout=1.0).frames())


@pytest.mark.parametrize("left", [0.0, 0.001, 0.5, 0.97])
def test_a_truncated_recording_is_refused(recording: Path, tmp_path: Path, left: float) -> None:
    content = recording.read_bytes()
    (tmp_path / "cut.db3").write_bytes(content[: int(left * len(content))])
    with pytest.raises(InputError, match=r"cut\.db3.*truncated"):
        list(RealSense(recording=tmp_path / "cut.db3").frames())


@pytest.mark.parametrize("name", ["a.db3", "a.bag"])
def test_what_is_no_recording_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("no recording\n" * 50)
    with pytest.raises(InputError, match="cannot be played"):
        RealSense(recording=tmp_path / name)
    with pytest.raises(InputError, match="no such recording"):
        RealSense(recording=tmp_path / f"not{name}")


def test_no_camera_says_what_was_found() -> None:
    if len(realsense.load_pyrealsense().context().query_devices()):
        pytest.skip("a camera is plugged in")
    for serial in (None, "123"):
        with pytest.raises(InputError, match="no such camera; found: none"):
            RealSense(serial=serial)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name in ("pyrealsense2", "libusb_package"):
            raise ImportError("libusb-1.0.so.0: cannot open shared object file")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"libusb.*pip install 'ddad-jax\[realsense\]'"):
        realsense.load_pyrealsense()


def test_libusb_is_there_before_the_library_looks_for_it() -> None:
    """In a fresh process, as both stay loaded: the libusb of the package, not a system's, and before pyrealsense2."""
    script = """
import sys, ctypes
from ddad_jax.sources import realsense
first = []
real = ctypes.CDLL
def CDLL(path, mode=0):
    first.append((path, mode == ctypes.RTLD_GLOBAL, "pyrealsense2" in sys.modules))
    return real(path, mode=mode)
ctypes.CDLL = CDLL
realsense.load_pyrealsense()
print([(path.split("/")[-2], shared, late) for path, shared, late in first if "libusb" in path])
mapped = {line.split()[-1].split("/")[-2] for line in open("/proc/self/maps") if "libusb" in line}
print(mapped)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[('libusb_package', True, False)]", "{'libusb_package'}"]


class Pipeline:
    """The calls that ``RealSense`` makes of a camera's pipeline; gives what it was told to, then nothing."""

    def __init__(self, given: list[Any]):
        self._given, self.stopped, self.streams = given, 0, list[tuple[Any, ...]]()

    def try_wait_for_frames(self, milliseconds: int) -> tuple[bool, Any]:
        if not self._given:
            time.sleep(0.02)
            return False, None
        one = self._given.pop(0)
        if isinstance(one, Exception):
            raise one
        return True, one

    def start(self, config: Any) -> Any:
        return config.profile

    def stop(self) -> None:
        self.stopped += 1


def camera(monkeypatch: pytest.MonkeyPatch, given: list[Any], serials: tuple[str, ...] = ("0042",)) -> Pipeline:
    """Plug stand-ins in, whose framesets are ``given``."""
    rs = realsense.load_pyrealsense()

    def device(serial: str) -> Any:
        told = {rs.camera_info.serial_number: serial, rs.camera_info.name: "D435"}
        sensor = SimpleNamespace(supports=lambda option: option == rs.option.gain, get_option=lambda option: 16.0)
        return SimpleNamespace(supports=told.__contains__, get_info=told.__getitem__, first_color_sensor=lambda: sensor)

    stream = SimpleNamespace(
        stream_type=lambda: rs.stream.color, format=lambda: rs.format.rgb8, height=lambda: H, width=lambda: W,
        fps=lambda: 30, as_video_stream_profile=lambda: stream,
    )  # fmt: skip
    profile = SimpleNamespace(get_streams=lambda: [stream], get_device=lambda: device("0042"))
    pipeline = Pipeline(given)

    class Config:
        def __init__(self) -> None:
            self.profile = profile

        def enable_device(self, serial: str) -> None:
            assert serial in serials

        def enable_stream(self, *what: Any) -> None:
            pipeline.streams.append(what)

    fake = SimpleNamespace(
        **{name: getattr(rs, name) for name in ("stream", "format", "camera_info", "option", "playback_status")},
        pipeline=lambda: pipeline, config=Config,
        context=lambda: SimpleNamespace(query_devices=lambda: [device(serial) for serial in serials]),
    )  # fmt: skip
    monkeypatch.setattr(realsense, "load_pyrealsense", lambda: fake)
    return pipeline


def frameset(k: int, *, number: int | None = None, empty: bool = False) -> Any:
    one = SimpleNamespace(
        get_frame_number=lambda: k if number is None else number,
        get_timestamp=lambda: 5000 + 100 * k,
        get_data=lambda: color(k),
    )
    return SimpleNamespace(get_color_frame=lambda: None if empty else one, get_depth_frame=lambda: None)


def test_a_camera_gives_each_picture_once_and_is_lost_when_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [frameset(0), frameset(1), frameset(1), frameset(2, empty=True), frameset(3)]
    pipeline = camera(monkeypatch, given)
    source = RealSense(timeout=0.1)
    assert source.live and source.settings["gain"] == 16.0 and source.settings["serial"] == "0042"
    got = list[Frame | Bad]()
    with pytest.raises(SourceLost, match=r"no frame for 0\.1 s"):
        for frame in source.frames():
            got.append(frame)
    assert [(type(frame), frame.index) for frame in got] == [(Frame, 0), (Frame, 1), (Bad, 2), (Frame, 3)]
    assert [frame.seconds for frame in got if isinstance(frame, Frame)] == pytest.approx([0.0, 0.1, 0.3])
    source.close()
    source.close()
    assert pipeline.stopped == 1


def test_a_camera_that_never_gives_a_frame_or_breaks_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    camera(monkeypatch, [])
    with pytest.raises(SourceLost, match=r"no frame for 0\.3 s"):
        list(RealSense(timeout=0.1).frames())
    camera(monkeypatch, [RuntimeError("Device disconnected")])
    with pytest.raises(SourceLost, match="Device disconnected"):
        list(RealSense().frames())


def test_of_several_cameras_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    camera(monkeypatch, [], ("0042", "0043"))
    with pytest.raises(InputError, match=r"several.*realsense:0042 \(D435\), realsense:0043"):
        RealSense()
    RealSense(serial="0043").close()
    with pytest.raises(InputError, match=r"realsense:9: no such camera; found: realsense:0042"):
        RealSense(serial="9")


@pytest.mark.parametrize(("asked", "rate"), [(None, 0), (15.0, 15)])
def test_a_camera_is_asked_for_a_rate_where_one_is_named_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: float | None, rate: int
) -> None:
    """One frame a second is kept of a capture by default, and no RealSense films so few."""
    pipeline = camera(monkeypatch, [frameset(k) for k in range(3)])
    flags = CaptureOptions("realsense", tmp_path / "a", product="bottle", state="normal", depth=True, timeout=0.1)
    assert flags.fps == 1.0 and flags.camera_fps is None
    capture(flags._replace(camera_fps=asked))
    assert [what[-1] for what in pipeline.streams] == [rate, rate], "of colour and of depth"
