"""L8. A rendered launch, done: files written, then step after step, each waited for."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ddad_jax.engine.store.tables import write_text
from ddad_jax.errors import InputError
from launch import tools
from launch.rendered import Rendered
from launch.show import placed

INTERRUPTED = 128 + signal.SIGINT
GO_ON = "The same command goes on from what is done"


def execute(rendered: Rendered, out: Path) -> int:
    """Write the files below ``out`` and run the steps; the status of the first that fails, 0 if none does.

    What a step prints is passed on and kept in out/logs/step-N.log. Ctrl-C and SIGTERM reach the step that runs, and
    are waited for.

    Raises:
      InputError: a tool is missing, or ``out`` cannot be written to; nothing has been run then.
    """
    if missing := tools.missing_tools(rendered.tools):
        raise InputError(
            f"nothing was written or run:\n{tools.tools_text(missing)}\nWithout --execute everything is only shown"
        )
    try:
        for name, text in rendered.files.items():
            file = out / name
            # The file of a launch that is running still must not be torn.
            write_text(file, text, flag="--out")
            if text.startswith("#!"):
                file.chmod(0o755)
        (out / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out={out}: cannot be written to ({error.strerror}); name another folder") from None
    for number, step in enumerate(rendered.steps, start=1):
        argv, log = placed(step, rendered, out), out / "logs" / f"step-{number}.log"
        print(f"[{number}/{len(rendered.steps)}] {step.what}", flush=True)
        status = _run(argv, log, leashed=step.leashed)
        if status:
            print(
                f"error: step {number} of {len(rendered.steps)} ({step.what}) ended with status {status}. What it "
                f"printed is in {log}. {GO_ON}; this step alone is:\n{shlex.join(argv)}",
                file=sys.stderr,
            )
            return status
    return 0


def _run(argv: tuple[str, ...], log: Path, *, leashed: bool) -> int:
    """Status of the command, as a shell tells it: 128 and the signal's number where one ended it."""
    # On a leash its standard input is a pipe that nothing but our end closes, and Ctrl-C of a terminal is left to us.
    started = (sys.executable, "-m", "launch.leash", *argv) if leashed else argv
    how: dict[str, Any] = {"stdin": subprocess.PIPE, "process_group": 0} if leashed else {}
    with log.open("ab") as log_file:
        log_file.write(f"$ {shlex.join(argv)}\n".encode())
        try:
            child = subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **how)
        except OSError as error:
            print(f"error: {argv[0]}: cannot be started ({error.strerror})", file=sys.stderr)
            return 127
        with child, _passing_on(child, always=leashed):
            assert child.stdout
            _passed(child.stdout, log_file)
        return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _passed(printed: IO[bytes], log_file: IO[bytes]) -> None:
    while piece := os.read(printed.fileno(), 1 << 16):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        log_file.write(piece)
        log_file.flush()


@contextmanager
def _passing_on(child: subprocess.Popen, *, always: bool) -> Iterator[None]:
    """SIGTERM and SIGHUP are passed on to the child. Ctrl-C of a terminal reaches it without us, unless ``always``;
    sent to this process alone it is passed on, too. Either way this process waits for the child's end."""

    def pass_on(number: int, _: object) -> None:
        if always or number != signal.SIGINT or not os.isatty(0):
            child.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
