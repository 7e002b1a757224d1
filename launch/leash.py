"""L8. ``python -m launch.leash COMMAND...``: runs a command that must not outlive who started it.

The other end of standard input is with them: a pipe that the launcher holds, or on another machine a connection of ssh,
which closes when the launcher ends, is killed, or is lost. The command is then asked to end, and killed a little later.
"""

import os
import signal
import subprocess
import sys
import threading

PATIENCE_S = 4.0
"""More than ``launch.together`` has with those that it started."""


def main(argv: list[str]) -> int:
    """Status of the command, as a shell tells it."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: child.send_signal(number))
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


def _watch(child: subprocess.Popen) -> None:
    while os.read(0, 1 << 10):
        pass  # nobody has anything to say
    child.terminate()
    try:
        child.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
