"""Programs of launch end in a line: signals, also while they import, and disks that fail."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ddad_jax.errors import DISK

ROOT = Path(__file__).parents[2]
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
AT_IMPORT = """
import os, runpy, signal, sys
class Struck:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Struck())
sys.argv[:] = ["-m"]  # as Python has it when it looks for the program
import launch
runpy.run_module({program!r}, run_name="__main__", alter_sys=True)
"""
IN_MAIN = """
import os, sys
from launch import entry
def main(left):
    {does}
    return 0
entry.run_launcher(main, ["program"])
"""


def ended(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("number", "status"), SIGNALS)
@pytest.mark.parametrize(("program", "module"), [("launch.run", "launch.buckets"), ("launch.plan", "ml_collections")])
def test_a_signal_among_the_imports_is_one_line(program: str, module: str, number: int, status: int) -> None:
    done = ended(AT_IMPORT.format(program=program, module=module, number=int(number)))
    assert (done.returncode, done.stderr.count("\n")) == (status, 1) and "stopped by" in done.stderr, done.stderr


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_is_one_line(number: int, status: int) -> None:
    done = ended(IN_MAIN.format(does=f"os.kill(os.getpid(), {int(number)})"))
    assert (done.returncode, done.stderr.count("\n")) == (status, 1) and "stopped by" in done.stderr, done.stderr


@pytest.mark.parametrize("code", [errno.EPERM, errno.EIO])
def test_a_disk_that_fails_is_one_line_with_a_cure(code: int) -> None:
    done = ended(IN_MAIN.format(does=f"raise OSError({code}, 'no', 'runs/x')"))
    assert done.returncode == 2 and done.stderr.startswith("error: runs/x: cannot be read or written (no)")
    assert DISK[code] in done.stderr and done.stderr.count("\n") == 1
