"""L8. Text for shells: what a user gave reaches the program byte for byte, whatever is in it.

A rendered script is a head of variables, every value quoted by ``shlex``, and a body from ``launch/scripts`` that is
the same for everybody. No body holds anything that a user wrote.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ddad_jax.errors import InputError
from launch.job import Job

SCRIPTS = Path(__file__).parent / "scripts"
HEAD = "#!/usr/bin/env bash\nset -euo pipefail\n"
OURS = ("coordinator", "num_processes", "process_id", "shard", "models_only")
"""Flags of ``experiments`` that a launch sets itself."""

Value = str | int | Sequence[str]


def flag(target: str, field: str) -> str:
    """How a setting of a target is called on the command line: --slurm_nodes."""
    return f"--{target}_{field}"


def variables(values: Mapping[str, Value]) -> str:
    """Assignments: a string or number as name=value, a truth as 1 or nothing, a sequence as an array, a word a line."""
    return "".join(f"{name}={_assigned(value)}\n" for name, value in values.items())


def body(*names: str) -> str:
    """Files of ``launch/scripts``, one behind the other."""
    return "\n".join((SCRIPTS / name).read_text() for name in names)


def interpreter_words(name: str, text: str) -> tuple[str, ...]:
    """An interpreter and its options, split as a shell splits them. name: of the flag, as --python.

    Raises:
      InputError: a quote that is not closed, or nothing.
    """
    expected = "expected an interpreter and its options, quoted as for a shell, such as .venv/bin/python"
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{name}={text!r}: {expected} ({error})") from None
    if not parts:
        raise InputError(f"{name} is empty: {expected}")
    return tuple(parts)


def argv(python: str, job: Job, *more: str, name: str = "--python") -> tuple[str, ...]:
    """The command of every process: python -u -m experiments.sweep and its flags, as given.

    Raises:
      InputError: ``python``, which the flag ``name`` gave, is no interpreter.
    """
    return (*interpreter_words(name, python), "-u", "-m", job.program, *job.arguments, *more)


def require_pattern(name: str, value: str, pattern: str, expected: str) -> str:
    """``value`` where all of it fits ``pattern``.

    Raises:
      InputError: it does not; ``name`` is the flag, ``expected`` what would have been right.
    """
    if not re.fullmatch(pattern, value):
        raise InputError(
            f"{name}={value!r}: expected {expected}" if value else f"{name} is missing: expected {expected}"
        )
    return value


def check_numbers(target: str, settings: Mapping[str, object], least: Mapping[str, int]) -> None:
    """Raises InputError for a setting below its least value, naming the flag."""
    for field, low in least.items():
        value = settings[field]
        if not isinstance(value, int) or value < low:
            raise InputError(f"{flag(target, field)}={value}: expected a whole number, {low} or more")


def check_job(job: Job, *, shards_by: str = "") -> None:
    """What every target of this kind asks of a job.

    Args:
      shards_by: why the target does not run shards; empty: it does.

    Raises:
      InputError: flags that the launch sets itself, an argument no program can be given, or shards that cannot be.
    """
    for argument in job.arguments:
        named = re.match(r"--?(?:no)?(\w+)(?:=|$)", argument)
        if named and named[1] in OURS:
            raise InputError(f"{argument}: the launch sets --{named[1]} itself; leave it out")
        if "\0" in argument:
            raise InputError(f"{argument!r}: a NUL character cannot be given to a program")
    require_pattern("the program", job.program, r"[A-Za-z_]\w*(\.\w+)*", "a module such as experiments.sweep")
    if job.shards < 1:
        raise InputError(f"--shards={job.shards}: expected 1 or more")
    if job.shards > 1 and shards_by:
        raise InputError(f"--shards={job.shards}: expected 1, {shards_by}")
    if job.shards > 1 and job.program != "experiments.sweep":
        raise InputError(f"--shards={job.shards}: only experiments.sweep has a grid to share, not {job.program}")


def _assigned(value: Value) -> str:
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, (str, int)):
        return shlex.quote(str(value)) if value != "" else ""
    return "(" + "".join(f"\n  {shlex.quote(word)}" for word in value) + ("\n)" if value else ")")
