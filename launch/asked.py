"""L8. What a user asks for behind ``--``: one of our programs and its flags, checked before anything is paid for."""

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


def split_argv(argv: Sequence[str], program: str) -> tuple[list[str], list[str]]:
    """(what stands before --, what behind it). program: how one calls it, for the message.

    Raises:
      InputError: there is no --.
    """
    argv = list(argv)
    if "--" not in argv:
        raise InputError(
            f"expected a command behind --, as in: {program} -- experiments.sweep --config=... --workdir=..."
        )
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def command_of(command: Sequence[str], shards: int = 1) -> Job:
    """The job of a command such as ``experiments.sweep --config=... --workdir=...``, its workdir not yet known.

    Raises:
      InputError: not one of our programs, or flags that a launch gives itself.
    """
    words = list(command)
    for prefix in (["python", "-m"], ["python3", "-m"]):
        words = words[2:] if words[:2] == prefix else words
    if not words or words[0] not in PROGRAMS:
        given = repr(words[0]) if words else "nothing"
        raise InputError(f"behind -- stands {given}: expected one of {', '.join(PROGRAMS)}, and its flags")
    job = Job(words[0], tuple(words[1:]), workdir="", shards=shards)
    check_job(job)
    return job


def job_of(command: Sequence[str], shards: int) -> Job:
    """As ``command_of``, with the workdir that the program itself reads off its flags.

    Raises:
      InputError: as ``command_of``; flags that the program does not take, more shards than its grid has points.
    """
    job = command_of(command, shards)
    parsed = _checked(job.program, job.arguments)
    if shards > parsed["points"]:
        raise InputError(
            f"--shards={shards}: the grid has {parsed['points']} points to reconstruct; expected at most so many shards"
        )
    return job._replace(workdir=parsed["workdir"])


def _checked(program: str, arguments: Sequence[str]) -> dict:
    """What the program itself says of its flags."""
    # No accelerator is woken, and no second start for the sake of memory pages.
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    command = [sys.executable, "-m", "launch.checking", program, *arguments]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        output = done.stderr.strip() or f"{program} ended with status {done.returncode}"
        errors = [line for line in output.splitlines() if line.startswith("error: ")]
        # A message of several lines begins with the last such line.
        message = output[output.rindex(errors[-1]) :].removeprefix("error: ") if errors else output
        raise InputError(f"{program} would not start: {message}")
    return json.loads(done.stdout.splitlines()[-1])
