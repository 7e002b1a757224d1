"""L8. ``python -m launch.together FILE``: commands that run at the same time, and end together when one fails.

FILE is JSON: name -> command, a list of words or one line quoted as for a shell; no shell sees it. What the first one
prints is passed on as it is, of the others every line with their name before it; all of it is kept in logs/NAME.log
beside FILE.
"""

import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ddad_jax.data.json_file import parsed
from ddad_jax.errors import InputError
from launch import entry

PATIENCE_S = 3.0
"""For the others to end by themselves where one has failed, and then after a signal: a process of ``jax.distributed``
takes SIGTERM for a warning and goes on. A kill costs no more than the point at hand."""
BAR_EVERY_S = 30.0
"""Between two states of a progress bar, which is a line that never ends, of all but the first."""


class _Ended(Exception):
    """A signal that says to stop."""


def commands_of(file: Path) -> dict[str, list[str]]:
    """Of FILE.

    Raises:
      InputError: it cannot be read, or is not what it should be.
    """
    try:
        commands = {
            name: shlex.split(words) if isinstance(words, str) else [str(word) for word in words]
            for name, words in parsed(file.read_bytes()).items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{file}: cannot be read ({error}); expected JSON, name -> command") from None
    if not commands or not all(commands.values()):
        raise InputError(f"{file}: expected at least one command, none of them empty")
    return commands


def run_together(commands: Mapping[str, list[str]], logs: Path) -> int:
    """Status of the first that failed, 0 if none did; of a killed one, or of a signal to us, 128 and its number."""
    logs.mkdir(parents=True, exist_ok=True)
    of = logs_of(list(commands), logs)
    running: dict[str, subprocess.Popen] = {}
    threads: list[threading.Thread] = []
    # From here on a signal ends what has been started; Ctrl-C reaches this process alone, as the others have groups of
    # their own.
    before = {number: signal.signal(number, _end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for name, argv in commands.items():
            try:
                child = subprocess.Popen(
                    argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
                )
            except OSError as error:
                print(f"error: {name} cannot be started: {argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
                _stop(running, signal.SIGTERM)
                return 127
            running[name] = child
            passing = threading.Thread(target=_pass_on, args=(name, child, of[name], not threads), daemon=True)
            passing.start()
            threads.append(passing)
        failed = _first_failed(running)
        if failed is None:
            return 0
        status = _status(running[failed])
        print(
            f"error: {failed} {_told(running[failed])}; the others are ended. What it printed is in "
            f"{of[failed]}. The same command goes on from what is done",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        _wait(running)
        _stop(running, signal.SIGTERM)
        return status
    except _Ended as ended:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        (number,) = ended.args
        _stop(running, number)
        return 128 + number
    finally:
        for thread in threads:
            thread.join(PATIENCE_S)  # what was printed last; a grandchild may hold the pipe open
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: object) -> None:
    raise _Ended(number)


def _first_failed(running: Mapping[str, subprocess.Popen]) -> str | None:
    """Name of the first to end with another status than 0; None when all have ended with 0."""
    while True:
        status = {name: child.poll() for name, child in running.items()}
        # Of several that ended since the last look, one that a signal ended is the cause.
        failed = sorted((not _killed_by(code), name) for name, code in status.items() if code)
        if failed:
            return failed[0][1]
        if None not in status.values():
            return None
        time.sleep(0.05)


def _stop(running: Mapping[str, subprocess.Popen], number: int) -> None:
    """All have ended when this returns: by this signal, or by SIGKILL."""
    for then in (number, signal.SIGKILL):
        for child in running.values():
            _send(child, then)
        _wait(running)


def _wait(running: Mapping[str, subprocess.Popen]) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and any(child.poll() is None for child in running.values()):
        time.sleep(0.05)


def _send(child: subprocess.Popen, number: int) -> None:
    """To the child, or where it is to be killed, to whatever it has started, too."""
    if child.poll() is None:
        os.killpg(child.pid, number) if number == signal.SIGKILL else child.send_signal(number)


def _pass_on(name: str, child: subprocess.Popen, log: Path, first: bool) -> None:
    assert child.stdout
    last_printed, left = time.monotonic(), b""
    with log.open("ab") as log_file:
        while piece := os.read(child.stdout.fileno(), 1 << 16):
            log_file.write(piece)
            log_file.flush()
            if first:
                _print(piece)
                continue
            *lines, left = (left + piece).split(b"\n")
            for line in lines:
                _print(f"[{name}] ".encode() + line.rsplit(b"\r", 1)[-1] + b"\n")
            if b"\r" in left and time.monotonic() - last_printed > BAR_EVERY_S:
                last_printed = time.monotonic()
                _print(f"[{name}] ".encode() + left.rstrip(b"\r").rsplit(b"\r", 1)[-1] + b"\n")
        if left and not first:
            _print(f"[{name}] ".encode() + left.rsplit(b"\r", 1)[-1] + b"\n")


def _print(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def logs_of(names: Sequence[str], logs: Path) -> dict[str, Path]:
    """The log of each command: its name, a hyphen for what is no letter or digit, and a number where another one's
    would be the same file."""
    paths: dict[str, Path] = {}
    taken: set[str] = set()
    for name in names:
        word = re.sub(r"[^A-Za-z0-9.@-]+", "-", name)[:200]
        free = (word if n == 1 else f"{word}.{n}" for n in itertools.count(1))
        file_name = next(one for one in free if one.lower() not in taken)
        taken.add(file_name.lower())
        paths[name] = logs / f"{file_name}.log"
    return paths


def _status(child: subprocess.Popen) -> int:
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _killed_by(code: int) -> str:
    """Name of the signal that ended a command, which a leash or a shell tells as 128 and its number; "" for none."""
    number = -code if code < 0 else code - 128
    return signal.Signals(number).name if number in set(signal.Signals) else ""


def _told(child: subprocess.Popen) -> str:
    name = _killed_by(child.returncode)
    return f"was killed ({name})" if name else f"ended with status {child.returncode}"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        raise InputError("expected one file: python -m launch.together FILE")
    file = Path(arguments[0])
    return run_together(commands_of(file), file.parent / "logs")


if __name__ == "__main__":
    entry.run_launcher(main, sys.argv)
