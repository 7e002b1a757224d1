"""A headless Chromium driven over the pipe of its debugging protocol: real keys, real widths, its own console."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
CODES = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Enter": 13,
    "Tab": 9,
    "Home": 36,
    "End": 35,
}


PATIENCE_S = 60


def found() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Tab:
    """One page. console: what it wrote there, exceptions included; asked: every address it wanted to load."""

    def __init__(self, to: int, answers: int) -> None:
        self._to, self._answers, self._buffer, self._number = to, answers, b"", 0
        self._session: str | None = None
        self.console: list[str] = []
        self.asked: list[str] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer of the browser to a command of its protocol."""
        self._number += 1
        said = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            said["sessionId"] = self._session
        os.write(self._to, json.dumps(said).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], PATIENCE_S)
            assert ready, f"the browser said nothing for {PATIENCE_S} s"
            read = os.read(self._answers, 1 << 20)
            assert read, "the browser has ended"
            self._buffer += read
        line, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(line)
        told, method = message.get("params", {}), message.get("method")
        if method == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(part.get("value", part)) for part in told["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(str(told["exceptionDetails"].get("exception", told)["description"]))
        elif method == "Log.entryAdded":
            self.console.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"][:60])
        return message

    def open(
        self, path: Path, *, width: int = 1200, height: int = 900, script: bool = True, dark: bool = False
    ) -> None:
        self("Emulation.setScriptExecutionDisabled", value=not script)
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self("Emulation.setEmulatedMedia", features=scheme)
        self.console.clear()
        self.asked.clear()
        self("Page.navigate", url=path.absolute().as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def js(self, expression: str) -> Any:
        """The value of an expression in the page, a promise awaited."""
        how = {"returnByValue": True, "awaitPromise": True}
        answer = self("Runtime.evaluate", expression=expression, **how)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 20.0) -> Any:
        end = time.monotonic() + seconds
        while not (value := self.js(expression)):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)
        return value

    def key(self, name: str, *, shift: bool = False) -> None:
        text = {"text": "\r"} if name == "Enter" else {}
        at = {"key": name, "code": name, "windowsVirtualKeyCode": CODES[name], "modifiers": 8 if shift else 0}
        self("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **at, **text)
        self("Input.dispatchKeyEvent", type="keyUp", **at)

    def write(self, text: str) -> None:
        self("Input.insertText", text=text)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        shot = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def tab(browser: str, profile: Path) -> Iterator[Tab]:
    """A page of a browser that ends with it. profile: a folder of its own."""
    ours, theirs = ([_high(end) for end in os.pipe()] for _ in range(2))
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    # The protocol speaks on descriptors 3 and 4.
    placed: list[Any] = [
        (os.POSIX_SPAWN_DUP2, ours[0], 3),
        (os.POSIX_SPAWN_DUP2, theirs[1], 4),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    process = os.posix_spawn(browser, command, os.environ, file_actions=placed)
    os.close(ours[0])
    os.close(theirs[1])
    try:
        yield Tab(ours[1], theirs[0])
    finally:
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)
        os.close(ours[1])
        os.close(theirs[0])


def _high(descriptor: int) -> int:
    """The same under a number that no other is put on; closed in other processes."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved
