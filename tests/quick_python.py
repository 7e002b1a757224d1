"""``python -m MODULE`` without its imports: each such command is forked from one process that has made them already.

Run as a script it is that process. ``stand_in`` starts it and writes an executable that takes the place of python: it
hands over its command, folder, environment and standard streams, passes signals on, and ends as the command does; when
it is killed, the command is, too.
"""

import array
import atexit
import contextlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import quick_compiling

CLIENT = """#!/usr/bin/env -S {python} -S -E
import array, json, os, signal, socket, sys
said = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
server.sendmsg([len(said).to_bytes(8, "big")], rights)
server.sendall(said)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: server.sendall(bytes([number])))
status = int(server.recv(64) or b"9")
if os.WIFSIGNALED(status):
    signal.signal(signal.SIGTERM, signal.SIG_DFL), signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.kill(os.getpid(), os.WTERMSIG(status))
sys.exit(os.waitstatus_to_exitcode(status))
"""


ROOT = Path(__file__).parents[1]


def environment(compiled: str) -> dict[str, str]:
    """Of a python that can import what the tests do, on the CPU, and does not start itself anew for its memory."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "data"))),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": compiled,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0",
    }


@contextlib.contextmanager
def stand_in(folder: Path, compiled: str) -> Iterator[Path]:
    """The executable, for as long as the block lasts; started.jsonl beside it has [pid, command] of everything run.

    compiled: the folder of compiled programs.
    """
    path, executable = folder / "socket", folder / "python"
    executable.write_text(CLIENT.format(python=sys.executable, path=str(path)))
    executable.chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, str(path), str(executable)], env=environment(compiled))
    try:
        until = time.monotonic() + 120
        while not path.exists():
            assert server.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        yield executable
    finally:
        server.kill()
        server.wait()


def pid_of(executable: Path, *words: str) -> int | None:
    """The newest command that has all these words."""
    started = executable.with_name("started.jsonl")
    found = [json.loads(line) for line in started.read_text().splitlines()] if started.exists() else []
    return next((pid for pid, command in reversed(found) if {*words} <= {*command}), None)


def _serve(path: str, executable: str) -> None:
    import processes  # noqa: F401
    import tiny_runs  # noqa: F401

    from ddad_jax.engine import pipeline  # noqa: F401

    sys.executable = executable  # what is started by what is started here
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path + ".new")
        server.listen(64)
        Path(path + ".new").rename(path)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            caller, _ = server.accept()
            if not os.fork():
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _watch(caller, Path(path).with_name("started.jsonl"))
            caller.close()


def _watch(caller: socket.socket, started: Path) -> None:
    """Fork the command and stay with it; never returns."""
    streams = array.array("i")
    size, rights, _, _ = caller.recvmsg(8, socket.CMSG_LEN(3 * streams.itemsize))
    streams.frombytes(rights[0][2])
    said = b""
    while len(said) < int.from_bytes(size, "big"):
        said += caller.recv(1 << 16)
    command, folder, environment = json.loads(said)
    pid = os.fork()
    if not pid:
        caller.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 256)
        os.chdir(folder)
        commanded = quick_compiling.added(environment)
        os.environ.clear()
        os.environ.update(commanded)
        _command(command)
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    with started.open("a") as file:
        file.write(json.dumps([pid, command]) + "\n")
    while True:
        if select.select([caller], [], [], 0.01)[0]:
            numbers = caller.recv(64) or bytes([signal.SIGKILL])
            for number in numbers:
                os.kill(pid, number)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with contextlib.suppress(OSError):
                caller.sendall(b"%d" % status)
            os._exit(0)


def _command(words: list[str]) -> None:
    words = words[words.index("-m") + 1 :]
    sys.argv, status = list(words), 0
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001  as python does with it
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # JAX takes its leave of the other processes here.
    atexit._run_exitfuncs()
    os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2])
