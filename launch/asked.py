"""L7. What a user asks for behind ``--``: one of our programs and its flags, checked before anything is paid for."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

from ddad_jax.errors import InputError
from launch.job import Job
from launch.shell import check_job

PROGRAMS = (
    "experiments.sweep",
    "experiments.train",
    "experiments.adapt",
    "experiments.distil",
    "experiments.evaluate",
)
"""Those that several processes can run together on one --workdir."""


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """(what stands before --, what behind it).

    Raises:
      InputError: there is no --.
    """
    argv = list(argv)
    if "--" not in argv:
        raise InputError(
            "expected the command to launch behind --, as in: python -m launch.run --target=local -- experiments.sweep "
            "--config=... --workdir=..."
        )
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def job_of(command: Sequence[str], shards: int) -> Job:
    """The job of a command such as ``experiments.sweep --config=... --workdir=...``.

    Raises:
      InputError: not one of our programs, flags that it does not take or that a launch gives itself, more shards than
        its grid has points.
    """
    words = list(command)
    for prefix in (["python", "-m"], ["python3", "-m"]):
        words = words[2:] if words[:2] == prefix else words
    if not words or words[0] not in PROGRAMS:
        given = repr(words[0]) if words else "nothing"
        raise InputError(f"behind -- stands {given}: expected one of {', '.join(PROGRAMS)}, and its flags")
    program, arguments = words[0], tuple(words[1:])
    check_job(Job(program, arguments, workdir="", shards=shards))
    found = _checked(program, arguments)
    if shards > found["points"]:
        raise InputError(
            f"--shards={shards}: the grid has {found['points']} points to reconstruct; expected at most so many shards"
        )
    return Job(program, arguments, found["workdir"], shards)


def _checked(program: str, arguments: Sequence[str]) -> dict:
    """What the program itself says of its flags."""
    # No accelerator is woken, and no second start for the sake of memory pages.
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    command = [sys.executable, "-m", "launch.checking", program, *arguments]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip() or f"{program} ended with status {done.returncode}"
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        # A message of several lines begins with the last such line.
        told = said[said.rindex(errors[-1]) :].removeprefix("error: ") if errors else said
        raise InputError(f"{program} would not start: {told}")
    return json.loads(done.stdout.splitlines()[-1])
