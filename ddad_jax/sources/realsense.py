"""L1. Intel RealSense: a camera that is plugged in, and recordings of one.

``pyrealsense2`` is an extra, ``pip install 'ddad-jax[realsense]'``. Its library needs libusb when it is imported, which
a fresh machine lacks; the extra brings one along, which is loaded first.
"""

import ctypes
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame, SourceLost

RECORDINGS = frozenset({".db3", ".bag"})
"""Endings taken for recordings, in any case."""
_TO_RGB: Mapping[str, int | None] = {
    "rgb8": None, "bgr8": cv2.COLOR_BGR2RGB, "rgba8": cv2.COLOR_RGBA2RGB, "bgra8": cv2.COLOR_BGRA2RGB,
    "yuyv": cv2.COLOR_YUV2RGB_YUYV, "uyvy": cv2.COLOR_YUV2RGB_UYVY, "y8": cv2.COLOR_GRAY2RGB,
}  # fmt: skip
"""Colour formats by librealsense's name."""
_POLL = 200  # milliseconds of one wait, so that ``close`` need not wait longer


def load_pyrealsense() -> Any:
    """The module ``pyrealsense2``, with libusb loaded for it.

    Raises:
      InputError: what is missing, and how to get it.
    """
    usb = "the package libusb-package is missing"
    try:
        import libusb_package

        path = libusb_package.get_library_path()
        usb = "libusb-package has no library for this machine"
        if path is not None:
            # Its symbols must be there for all, before pyrealsense2 looks for the system's own library.
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            usb = f"libusb was loaded from {path}"
    except (ImportError, OSError) as error:
        usb = f"{usb} ({error})"  # the system may have a libusb of its own
    try:
        import pyrealsense2
    except ImportError as error:
        raise InputError(
            f"pyrealsense2 cannot be imported ({error}); {usb}. A RealSense camera or recording needs the extra: "
            "pip install 'ddad-jax[realsense]'"
        ) from None
    return pyrealsense2


class RealSense:
    """Colour, and depth as the colour camera would see it (``rs.align``), in millimetres.

    A recording is played as fast as it is read (``set_real_time(False)``, set before it starts: set after, as is often
    written, the first frame was lost in 1 of 5 trials with librealsense 2.59); every frame comes, the first and the
    last too, however slow the reader. Framesets that repeat a colour picture are passed over; one without colour is
    Bad.

    Args:
      serial: of the camera; None: the only one.
      recording: a ``.db3`` or ``.bag`` file in the camera's place.
      fps: frames a second asked of a camera; None: its own choice.
      timeout: seconds without a frame after which a camera is lost, or a recording given up, above 0; a camera's first
        frame may take three times as long.
      depth: False: colour only, which a camera then films alone.

    Raises:
      InputError: pyrealsense2 is missing, no such camera (with those found), it cannot be started, the recording
        cannot be read or has no colour.
    """

    def __init__(
        self,
        *,
        serial: str | None = None,
        recording: str | Path | None = None,
        fps: float | None = None,
        timeout: float = 5.0,
        depth: bool = True,
    ):
        self.live = recording is None
        self._timeout, self._depth, self._closed = timeout, depth, False
        self._lock = threading.Lock()
        rs = self._rs = load_pyrealsense()
        self._pipeline, config = rs.pipeline(), rs.config()
        profile = self._film(serial, config, fps) if recording is None else self._play(Path(recording), config)
        streams = {stream.stream_type(): stream.as_video_stream_profile() for stream in _video(rs, profile)}
        color = streams.get(rs.stream.color)
        if color is None:
            self._pipeline.stop()
            raise InputError(f"{self.name}: films no colour ({', '.join(map(str, streams)) or 'nothing at all'})")
        self._has_depth = depth and rs.stream.depth in streams
        self._align = self._aligner(streams[rs.stream.depth], color) if self._has_depth else None
        self._format = color.format().name
        if self._format not in _TO_RGB:
            self._pipeline.stop()
            raise InputError(f"{self.name}: colour as {self._format} cannot be read, only {', '.join(_TO_RGB)}")
        device = profile.get_device()
        self.settings: Mapping[str, Any] = {
            "kind": "realsense" if self.live else "recording", "size": [color.height(), color.width()],
            "fps": color.fps(), "format": self._format, "depth": self._has_depth,
            "camera": _info(rs, device, rs.camera_info.name), "serial": _info(rs, device, rs.camera_info.serial_number),
            "firmware": _info(rs, device, rs.camera_info.firmware_version),
            **(_exposure(rs, device) if self.live else {}),
        }  # fmt: skip

    def _play(self, file: Path, config: Any) -> Any:
        self.name = str(file)
        if not file.is_file():
            raise InputError(f"{file}: no such recording")
        try:
            config.enable_device_from_file(str(file), repeat_playback=False)
            # Resolved before the start, so that not even the first frame is played in real time.
            profile = config.resolve(self._rs.pipeline_wrapper(self._pipeline))
            self._playback = profile.get_device().as_playback()
            self._playback.set_real_time(False)
            return self._pipeline.start(config)
        except RuntimeError as error:
            raise InputError(
                f"{file}: cannot be played as a RealSense recording; it may be truncated, or the recorder was killed "
                f"({str(error).rpartition('Reason: ')[2]}); record it again"
            ) from None

    def _film(self, serial: str | None, config: Any, fps: float | None) -> Any:
        rs = self._rs
        self.name = "realsense" if serial is None else f"realsense:{serial}"
        found = {_info(rs, device, rs.camera_info.serial_number): device for device in rs.context().query_devices()}
        named = ", ".join(f"realsense:{n} ({_info(rs, d, rs.camera_info.name)})" for n, d in found.items())
        if not found or (serial is not None and serial not in found):
            raise InputError(
                f"{self.name}: no such camera; found: {named or 'none'}. See to its cable (USB 3) and its udev rules"
            )
        if serial is None and len(found) > 1:
            raise InputError(f"realsense: there are several, name one of {named}")
        config.enable_device(serial or next(iter(found)))
        rate = 0 if fps is None else round(fps)  # 0: any
        config.enable_stream(rs.stream.color, 0, 0, rs.format.rgb8, rate)
        if self._depth:
            config.enable_stream(rs.stream.depth, 0, 0, rs.format.z16, rate)
        try:
            return self._pipeline.start(config)
        except RuntimeError as error:
            raise InputError(
                f"{self.name}: cannot be started ({error}); another program may have it"
                + (f", or it does not film {rate} frames a second" if rate else "")
            ) from None

    def _aligner(self, depth: Any, color: Any) -> Any:
        """What brings depth into the colour camera's picture; None where it is there already, as warping a picture
        onto itself loses its border."""
        try:
            turn = depth.get_extrinsics_to(color)
        except RuntimeError as error:
            self._pipeline.stop()
            raise InputError(
                f"{self.name}: does not say where its depth camera is ({error}); take colour only (depth=False, "
                "without --depth)"
            ) from None
        same = np.allclose(turn.rotation, np.eye(3).ravel()) and np.allclose(turn.translation, 0)
        if same and _lens(depth.get_intrinsics()) == _lens(color.get_intrinsics()):
            return None
        return self._rs.align(self._rs.stream.color)

    def frames(self) -> Iterator[Frame | Bad]:
        index, last, begin = 0, None, None
        waiting, patience = time.monotonic(), self._timeout * (3 if self.live else 1)
        while True:
            with self._lock:
                if self._closed:
                    return
                got, ended = self._wait()
                taken = self._take(got, index, last) if got is not None else None
            if taken is not None:
                frame, last = taken
                if isinstance(frame, Frame):
                    begin = frame.seconds if begin is None else begin
                    frame = frame._replace(seconds=frame.seconds - begin)
                yield frame
                index, waiting, patience = index + 1, time.monotonic(), self._timeout
            elif ended:
                if index == 0:
                    raise InputError(f"{self.name}: a recording without frames; record it again")
                return
            elif time.monotonic() - waiting > patience:
                if self.live:
                    raise SourceLost(f"{self.name}: no frame for {patience:g} s")
                raise InputError(f"{self.name}: gives nothing for {patience:g} s after {index} frames; is it damaged?")

    def _wait(self) -> tuple[Any, bool]:
        """The next frameset or None; and whether there can be no more."""
        try:
            ok, got = self._pipeline.try_wait_for_frames(_POLL)
            if ok or self.live or self._playback.current_status() != self._rs.playback_status.stopped:
                return got if ok else None, False
            # The last frame may have come between the wait and the look at the status.
            ok, got = self._pipeline.try_wait_for_frames(_POLL)
            return got if ok else None, not ok
        except RuntimeError as error:
            if self.live:
                raise SourceLost(f"{self.name}: {error}") from None
            raise InputError(f"{self.name}: cannot be played on ({error}); record it again") from None

    def _take(self, got: Any, index: int, last: int | None) -> tuple[Frame | Bad, int | None] | None:
        """Copies, as the library lends its few buffers only; None for a picture that was given before."""
        color = got.get_color_frame()
        if not color:
            return Bad(index, f"{self.name}: frame {index} has no colour picture"), last
        number = int(color.get_frame_number())
        if number == last:
            return None
        if self._align is not None and got.get_depth_frame():
            got = self._align.process(got)
            color = got.get_color_frame()
        depth = got.get_depth_frame() if self._has_depth else None
        millimetres = None
        if depth:
            scale = 1e3 * depth.get_units()
            values = np.asanyarray(depth.get_data())
            exact = abs(scale - 1) < 1e-6
            millimetres = values.copy() if exact else np.clip(np.round(values * scale), 0, 65535).astype(np.uint16)
        seconds = color.get_timestamp() / 1e3
        return Frame(index, seconds, _rgb(np.asanyarray(color.get_data()), self._format), millimetres), number

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._pipeline.stop()


def _rgb(pixels: np.ndarray, format: str) -> np.ndarray:
    if format in ("yuyv", "uyvy") and pixels.ndim == 2:  # 16-bit words: two bytes a pixel
        pixels = np.ascontiguousarray(pixels).view(np.uint8).reshape(*pixels.shape, 2)
    code = _TO_RGB[format]
    return pixels.copy() if code is None else cv2.cvtColor(pixels, code)


def _lens(of: Any) -> tuple:
    return of.width, of.height, of.fx, of.fy, of.ppx, of.ppy, str(of.model), tuple(of.coeffs)


def _video(rs: Any, profile: Any) -> list[Any]:
    return [s for s in profile.get_streams() if s.stream_type() in (rs.stream.color, rs.stream.depth)]


def _info(rs: Any, device: Any, what: Any) -> str:
    return str(device.get_info(what)) if device.supports(what) else ""


def _exposure(rs: Any, device: Any) -> dict[str, float]:
    sensor = device.first_color_sensor()
    asked = {"exposure": rs.option.exposure, "gain": rs.option.gain, "auto_exposure": rs.option.enable_auto_exposure,
             "white_balance": rs.option.white_balance}  # fmt: skip
    return {name: float(sensor.get_option(option)) for name, option in asked.items() if sensor.supports(option)}
