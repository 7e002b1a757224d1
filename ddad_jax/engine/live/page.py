"""A small page about a running inspection: last frames, heat maps, counters. For this machine alone, without network.

The inspection only hands over references; everything that takes time (drawing, encoding, sending) happens in the
server's threads, when somebody looks, and once a frame. Texts reach the page as data and are set as text there.
"""

import io
import json
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import cv2
import numpy as np

from ddad_jax.engine.figures.grid import MAPS
from ddad_jax.engine.live.loop import Verdict
from ddad_jax.engine.store.tables import plain
from ddad_jax.errors import InputError

_KEPT, _SIDE, _CLIENTS, _TIMEOUT_S = 8, 640, 32, 3.0
"""Frames at hand; pixels of a picture's longer side; requests at once; seconds to ask, and to listen."""
_FILES = {"/": ("html", "text/html"), "/page.css": ("css", "text/css"), "/page.js": ("js", "text/javascript")}
_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'"
_HERE = {"localhost", "127.0.0.1", "::1"}


class _Entry:
    """A verdict that may be asked for; its pictures are made at the first asking."""

    def __init__(self, number: int, verdict: Verdict) -> None:
        self.number, self.verdict = number, verdict
        self._made: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def picture(self, kind: str) -> bytes:
        with self._lock:
            if kind not in self._made:
                self._made[kind] = _jpeg(_PICTURES[kind](self.verdict))
            return self._made[kind]

    def told(self) -> dict[str, Any]:
        row = {**self.verdict.row, "regions": len(self.verdict.regions)}
        height, width = self.verdict.frame.color.shape[:2]
        return {**row, "number": self.number, "width": width, "height": height}


class LivePage:
    """Serves until closed; ``show`` is one of the inspection's ``shows``.

    Args:
      port: of 127.0.0.1; 0: any free one, see ``url``.
      told: what the page says besides the frames, asked at every look: counts, events, names.

    Raises:
      InputError: the port is taken or may not be used.
    """

    def __init__(self, port: int, told: Callable[[], dict[str, Any]]) -> None:
        self._told, self._lock = told, threading.Lock()
        self._last: deque[_Entry] = deque(maxlen=_KEPT)
        self._anomaly: _Entry | None = None
        self._shown = 0
        try:
            self._server = _Server(("127.0.0.1", port), self._answer)
        except OSError as error:
            said = error.strerror or error
            raise InputError(f"--serve={port}: {said}; another port, or 0 for any free one, may do") from None
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="page", daemon=True)
        self._thread.start()

    def show(self, verdict: Verdict) -> None:
        with self._lock:
            self._shown += 1
            entry = _Entry(self._shown, verdict)
            self._last.append(entry)
            if verdict.judged.anomalous:
                self._anomaly = entry

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, path: str) -> "_Answer":
        if path in _FILES:
            ending, kind = _FILES[path]
            file = Path(__file__).with_suffix(f".{ending}")
            return _Answer(HTTPStatus.OK, f"{kind}; charset=utf-8", file.read_bytes())
        with self._lock:
            last, anomaly = list(self._last), self._anomaly
        if path == "/state.json":
            state = {
                **self._told(),
                "frames": [entry.told() for entry in reversed(last)],
                "anomaly": anomaly and anomaly.told(),
            }
            return _Answer(HTTPStatus.OK, "application/json", json.dumps(plain(state), allow_nan=False).encode())
        kind, _, name = path.strip("/").partition("/")
        for entry in (*last, *([anomaly] if anomaly else [])):
            if kind in _PICTURES and name == f"{entry.number}.jpg":
                return _Answer(HTTPStatus.OK, "image/jpeg", entry.picture(kind))
        return _Answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is no such page, or the frame is too old.\n")


class _Answer(NamedTuple):
    status: HTTPStatus
    kind: str
    content: bytes


class _Server(ThreadingHTTPServer):
    """Answers a bounded number of clients at once; who comes on top is turned away at the door."""

    daemon_threads = True
    request_queue_size = 2 * _CLIENTS

    def __init__(self, address: tuple[str, int], answer: Callable[[str], _Answer]) -> None:
        self.answer = answer
        self._room = threading.Semaphore(_CLIENTS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away or fell asleep is no news.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Asking(io.RawIOBase):
    """What a client sends, until a moment. A timeout of the socket alone would begin anew with every byte."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self._until = connection, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT_S

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Asking(self.connection, time.monotonic() + self.timeout))

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server looks for
        self._send(body=True)

    def do_HEAD(self) -> None:  # noqa: N802
        self._send(body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Not a word: standard error is the inspection's."""

    def version_string(self) -> str:
        return "ddad_jax"

    def _send(self, *, body: bool) -> None:
        try:
            host, path = urlsplit(f"//{self.headers.get('Host', '')}").hostname, urlsplit(self.path).path
        except ValueError:  # half an IPv6 address, for one
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        # Another site's page could otherwise reach this one through a name that it lets point here.
        if host in _HERE:
            status, kind, content = self.server.answer(path)
        else:
            status, kind, content = HTTPStatus.FORBIDDEN, "text/plain", b"Ask for it as 127.0.0.1 or localhost.\n"
        self.connection.settimeout(self.timeout)  # of the whole content, not of each part
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


def _heat(verdict: Verdict) -> np.ndarray:
    """The whole map, one scale for all frames: from 0 to twice the threshold, where that is a number above 0."""
    found, threshold = np.asarray(verdict.judged.map, np.float32), verdict.judged.pixel_threshold
    finite = found[np.isfinite(found)]
    top = 2 * threshold if 0 < threshold < np.inf else float(finite.max(initial=0.0))
    level = np.clip(np.where(np.isfinite(found), found, 0.0) / (top or 1.0), 0, 1)
    colours = np.rint(255 * np.asarray(MAPS(level))[..., :3]).astype(np.uint8)
    height, width = verdict.frame.color.shape[:2]
    return cv2.resize(colours, (width, height), interpolation=cv2.INTER_LINEAR)


_PICTURES: dict[str, Callable[[Verdict], np.ndarray]] = {"frame": lambda verdict: verdict.drawn, "heat": _heat}


def _jpeg(picture: np.ndarray) -> bytes:
    height, width = picture.shape[:2]
    scale = _SIDE / max(height, width)
    if scale < 1:
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
