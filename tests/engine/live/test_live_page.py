"""The page of a running inspection: what it serves, what it refuses, and how it looks to a browser."""

import contextlib
import dataclasses
import html
import http.client
import json
import math
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from live_fakes import FakeDetector, picture

from ddad_jax.engine.live import page as live_page
from ddad_jax.engine.live.counts import Counts
from ddad_jax.engine.live.loop import Verdict
from ddad_jax.engine.live.page import LivePage
from ddad_jax.errors import InputError
from ddad_jax.sources import Frame
from ddad_jax.vision.regions import regions

EVIL = "<script>alert(1)</script>"


def verdict(i: int, *, anomalous: bool = False, size: tuple[int, int] = (48, 64)) -> Verdict:
    detector = FakeDetector(1)
    detector.warm()
    frame = Frame(i, i / 25, picture(anomalous, size))
    (judged,) = detector([frame.color])
    row = {
        "frame": i, "at": f"2031-05-04T10:00:{i % 60:02d}.000Z", "verdict": "anomaly" if anomalous else "normal",
        "score": judged.score, "threshold": judged.threshold, "latency_ms": 20.0 + i, "registered": None,
    }  # fmt: skip
    return Verdict(frame, judged, regions(judged.map, judged.pixel_threshold, size=size), row)


class Served:
    """A page with counts and events to fill in."""

    def __init__(self) -> None:
        self.counts, self.events = Counts(), [{"event": "lost", "reason": EVIL, "at": "10:00"}]
        self.page = LivePage(0, self.told)
        self.port = int(self.page.url.rsplit(":", 1)[1].strip("/"))

    def told(self) -> dict[str, Any]:
        names = {"source": f"camera {EVIL}", "model": "a1b2c3"}
        return {**names, "counts": self.counts.told(), "waiting": 3, "events": self.events}

    def show(self, one: Verdict) -> None:
        self.counts.add(arrived=1)
        self.counts.verdict(one.row["latency_ms"], anomalous=one.judged.anomalous, registered=None)
        self.page.show(one)

    def ask(self, path: str, *, host: str | None = None, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        found = answer.status, answer.read(), dict(answer.getheaders())
        connection.close()
        return found

    def state(self) -> dict[str, Any]:
        return json.loads(self.ask("/state.json")[1])


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.page.close()


def test_the_state_has_the_last_frames_newest_first_and_the_counts(served: Served) -> None:
    assert served.state()["frames"] == [] and served.state()["anomaly"] is None
    for i in range(20):
        served.show(verdict(i, anomalous=i == 3))
    state = served.state()
    assert [row["frame"] for row in state["frames"]] == list(range(19, 11, -1))
    assert (state["counts"]["judged"], state["counts"]["anomalous"], state["waiting"]) == (20, 1, 3)
    assert state["anomaly"]["frame"] == 3 and state["anomaly"]["regions"] == 1


def test_frames_and_heat_maps_are_pictures_of_the_frame(served: Served) -> None:
    served.show(verdict(0, anomalous=True, size=(300, 900)))
    number = served.state()["frames"][0]["number"]
    for kind in ("frame", "heat"):
        status, content, headers = served.ask(f"/{kind}/{number}.jpg")
        assert status == 200 and headers["Content-Type"] == "image/jpeg"
        assert cv2.imdecode(np.frombuffer(content, np.uint8), 1).shape == (213, 640, 3)


def test_the_heat_map_has_one_scale_for_all_frames_and_takes_what_was_not_judged(served: Served) -> None:
    bright, dark = verdict(0, anomalous=True), verdict(1)
    heat = live_page._heat(bright)
    assert heat[8, 12].mean() > heat[0, 0].mean() > 0 and (live_page._heat(dark)[8, 12] == heat[0, 0]).all()
    dark.judged.map[:] = -np.inf
    assert (live_page._heat(dark) == live_page._heat(dark)[0, 0]).all()


def test_a_picture_is_made_once_however_many_look_and_never_when_nobody_does(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setitem(live_page._PICTURES, "heat", lambda v: made.append(1) or live_page._heat(v))
    for i in range(5):
        served.show(verdict(i))
    assert not made
    number = served.state()["frames"][0]["number"]
    readers = [threading.Thread(target=served.ask, args=(f"/heat/{number}.jpg",)) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert made == [1]


def test_old_frames_are_let_go_but_the_last_anomaly(served: Served) -> None:
    for i in range(30):
        served.show(verdict(i, anomalous=i == 2))
    assert served.ask("/frame/1.jpg")[0] == 404
    assert served.ask(f"/frame/{served.state()['anomaly']['number']}.jpg")[0] == 200


@pytest.mark.parametrize(
    "path", ["/nothing", "/frame/", "/frame/x.jpg", "/../inspect.py", "/frame/1.jpg/../../x", "/told/1.jpg", "//x"]
)
def test_what_is_not_there_is_not_found(served: Served, path: str) -> None:
    served.show(verdict(0))
    assert served.ask(path)[0] == 404


def test_only_this_machine_by_its_own_name_is_answered(served: Served) -> None:
    assert [served.ask("/", host=host)[0] for host in ("127.0.0.1:1", "localhost", "[::1]:9000")] == [200] * 3
    assert [served.ask("/state.json", host=host)[0] for host in ("evil.example", "127.0.0.1.evil.example")] == [403] * 2
    with pytest.raises(OSError, match=r"refused|unreachable|timed out|assign"), socket.socket() as other:
        other.settimeout(5)
        other.connect(("127.0.0.2", served.port))


def test_answers_forbid_everything_from_elsewhere_and_are_not_kept(served: Served) -> None:
    for path in ("/", "/page.js", "/page.css", "/state.json"):
        status, content, headers = served.ask(path)
        assert status == 200 and content and "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert not re.search(rb"https?://", content)
    assert served.ask("/", method="HEAD")[:2] == (200, b"") and served.ask("/", method="POST")[0] == 501


def test_a_taken_port_is_named(served: Served) -> None:
    with pytest.raises(InputError, match=rf"--serve={served.port}: .*in use"):
        LivePage(served.port, served.told)


def test_many_clients_and_sleepers_neither_slow_the_inspection_nor_stop_the_page(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page._Handler, "timeout", 0.5)
    served.show(verdict(0))
    sleepers = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(100)]
    started = time.perf_counter()
    for i in range(200):
        served.show(verdict(i))
    shown_s = time.perf_counter() - started
    for sleeper in sleepers[::2]:
        with contextlib.suppress(OSError):
            sleeper.sendall(b"GET /state.json HTTP/1.0\r\nHost: localhost\r\n\r\n")
        sleeper.close()
    until = time.monotonic() + 20
    status = 0
    while status != 200 and time.monotonic() < until:
        with contextlib.suppress(OSError, http.client.HTTPException):
            status = served.ask("/state.json")[0]
    for sleeper in sleepers:
        sleeper.close()
    assert status == 200 and shown_s < 5


def test_clients_that_trickle_have_one_deadline_for_all_they_say(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has said something when its time is up: a timeout of the socket alone would begin anew every time."""
    monkeypatch.setattr(live_page._Handler, "timeout", 1.0)
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(live_page._CLIENTS)]
    for one in slow:
        one.sendall(b"GET /state.json HTTP/1.1\r\n")
    done = threading.Event()

    def trickle() -> None:
        while not done.wait(0.2):
            for one in slow:
                with contextlib.suppress(OSError):
                    one.sendall(b"X-Slow: yes\r\n")

    trickling = threading.Thread(target=trickle)
    trickling.start()
    started, refused_s, status = time.monotonic(), None, 0
    while status != 200 and time.monotonic() - started < 10:
        try:
            asked = time.monotonic()
            status = served.ask("/state.json")[0]
        except (OSError, http.client.HTTPException):
            refused_s = refused_s or time.monotonic() - asked
            time.sleep(0.05)
    done.set()
    trickling.join()
    for one in slow:
        one.close()
    assert status == 200 and time.monotonic() - started < 8
    assert refused_s is not None and refused_s < 0.8


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/x\r\n\r\n",
        b"\xff\xfe\x00 \x01 \x02\r\n\r\n",
        b"GET\r\n\r\n",
    ],
)
def test_garbage_is_answered_as_such_and_leaves_no_trace(
    served: Served, capfd: pytest.CaptureFixture[str], said: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(said)
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert b"400" in answer
    assert served.ask("/state.json")[0] == 200 and capfd.readouterr().err == ""


def test_a_map_that_is_no_number_has_its_pictures(served: Served) -> None:
    one = verdict(0, anomalous=True)
    one.judged.map[:] = -np.inf
    served.show(dataclasses.replace(one, regions=[], row={**one.row, "score": math.nan}))
    (row,) = served.state()["frames"]
    assert row["score"] is None and row["regions"] == 0
    assert [served.ask(f"/{kind}/{row['number']}.jpg")[0] for kind in ("frame", "heat")] == [200, 200]


def test_a_closed_page_lets_go_of_its_port_and_threads() -> None:
    before = threading.active_count()
    served = Served()
    served.page.close()
    assert threading.active_count() == before
    LivePage(served.port, served.told).close()


# --- In a browser ----------------------------------------------------------------------------------------------


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the PATH")
    return found


@pytest.fixture
def browse(browser: str, tmp_path: Path) -> Callable[..., tuple[str, str]]:
    def browsed(url: str, *flags: str, width: int = 1200) -> tuple[str, str]:
        """(the page after some seconds, what it wrote on its console)."""
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1600", "--enable-logging=stderr",
            "--v=0", *flags, url,
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr[-2000:]
        return ended.stdout, "\n".join(line for line in ended.stderr.splitlines() if "CONSOLE" in line)

    return browsed


def text_of(page: str, name: str) -> str:
    found = re.search(rf'id="{name}"[^>]*>(.*?)</(?:p|dl|ul|span|b|tbody)>', page, re.DOTALL)
    assert found, f"nothing with id {name} in the page"
    return html.unescape(re.sub(r"<[^>]+>", " ", found[1]))


def counters(page: str) -> dict[str, str]:
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))


def test_a_browser_shows_frames_counters_and_verdicts_that_go_on(
    served: Served, browse: Callable[..., tuple[str, str]]
) -> None:
    """Frames are judged while the browser looks: what it ends with is newer than what it began with."""
    for i in range(4):
        served.show(verdict(i, anomalous=i == 1))
    done = threading.Event()

    def go_on() -> None:
        for i in range(4, 1000):
            if done.wait(0.02):
                return
            served.show(verdict(i, anomalous=i % 50 == 0))

    inspection = threading.Thread(target=go_on)
    inspection.start()
    page, console = browse(served.page.url, "--virtual-time-budget=6000", "--dump-dom")
    done.set()
    inspection.join()
    assert console == ""
    counted = counters(page)
    assert int(counted["Frames judged"]) > 4 and counted["Waiting"] == "3" and "ms" in counted["Latency, 95 %"]
    latest = int(re.findall(r"frame (\d+)", text_of(page, "verdict"))[0])
    assert latest > 3 and re.search(r"✓ Normal|▲ Anomaly", text_of(page, "verdict"))
    assert "threshold 0.5000" in text_of(page, "details") and "running" in text_of(page, "link")
    assert f'alt="Anomaly map of frame {latest}"' in page and page.count("<tr>") == 1 + 8
    assert len(re.findall(r'src="/(?:frame|heat)/\d+\.jpg"', page)) >= 4


def test_a_browser_console_is_heard(browse: Callable[..., tuple[str, str]]) -> None:
    """What the other claims about an empty console rest on."""
    console = browse("data:text/html,<script>console.error('heard you')</script>", "--dump-dom")[1]
    assert "heard you" in console


def test_a_browser_takes_texts_for_texts(served: Served, browse: Callable[..., tuple[str, str]]) -> None:
    served.show(verdict(0))
    page, console = browse(served.page.url, "--virtual-time-budget=2500", "--dump-dom")
    assert console == "" and EVIL not in page and html.escape(EVIL, quote=False) in page
    assert text_of(page, "source") == f"camera {EVIL}" and EVIL in text_of(page, "events")


def test_a_browser_says_when_the_inspection_is_gone(browse: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    served = Served()
    served.show(verdict(0, anomalous=True))
    asked = threading.Event()
    told = served.page._told

    def end_after_two() -> dict[str, Any]:
        if asked.is_set():
            raise OSError("gone")
        asked.set()
        return told()

    served.page._told = end_after_two
    page, _ = browse(served.page.url, "--virtual-time-budget=4000", "--dump-dom")
    served.page.close()
    assert "has ended or cannot be reached" in text_of(page, "link") and "▲ Anomaly" in text_of(page, "verdict")


@pytest.mark.parametrize(
    ("pressed", "stands"), [("#frames button", "frame 3 (picked)"), ("#pause", "page paused, the inspection goes on")]
)
def test_its_buttons_hold_a_frame_or_the_whole_page(
    served: Served, browse: Callable[..., tuple[str, str]], pressed: str, stands: str
) -> None:
    """Pressed as soon as frame 3 is there; more frames come with every look."""
    for i in range(4):
        served.show(verdict(i))
    answer, later = served.page._server.answer, iter(range(4, 100))

    def press(path: str) -> Any:
        found = answer(path)
        if path == "/page.js":
            script = f"setTimeout(() => document.querySelector('{pressed}').click(), 500);"
            return found._replace(content=found.content + script.encode())
        if path == "/state.json":
            served.show(verdict(next(later)))
        return found

    served.page._server.answer = press
    page, console = browse(served.page.url, "--virtual-time-budget=4500", "--dump-dom")
    assert console == "" and stands in html.unescape(page)
    judged = int(counters(page)["Frames judged"])
    assert judged == 4 if pressed == "#pause" else judged > 5
    assert ('id="follow" hidden' in page) == (pressed == "#pause")


@pytest.mark.parametrize("width", [1200, 400])
def test_a_browser_draws_it_within_its_width(
    served: Served, browse: Callable[..., tuple[str, str]], tmp_path: Path, width: int
) -> None:
    for i in range(9):
        served.show(verdict(i, anomalous=i % 4 == 0, size=(240, 320)))
    shot = tmp_path / "page.png"
    browse(served.page.url, "--virtual-time-budget=2500", f"--screenshot={shot}", width=width)
    drawn = cv2.imread(str(shot))
    assert drawn.shape[1] == width
    # The margin at the right is the page's own colour from top to bottom: nothing reaches over it.
    margin = drawn[100:, -6:].reshape(-1, 3).astype(int)
    assert (abs(margin - margin[0]).max(axis=1) <= 2).mean() > 0.99
