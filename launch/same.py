"""L8. ``python -m launch.same FILE``: before anything runs, do all hosts answer, share the workdir and have one code?

FILE is JSON as of ``launch.together``: host -> command that runs ``launch.witness`` there, the first with --leave.
"""

import json
import secrets
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ddad_jax.errors import InputError
from launch import entry
from launch.together import commands_of

LIMIT_S = 120.0
NO_LOGIN = 255
"""Status of ssh where it is ssh itself that failed."""


def require_same_hosts(commands: Mapping[str, list[str]]) -> None:
    """Ask the first host, then all others at the same time.

    Raises:
      InputError: naming every host that does not answer, sees another workdir, or has other code.
    """
    token = secrets.token_hex(16)
    first, *others = commands
    answers = {first: _asked(first, commands[first], token)}
    if not isinstance(answers[first], str):
        with ThreadPoolExecutor(max(len(others), 1)) as pool:
            answers |= zip(others, pool.map(lambda host: _asked(host, commands[host], token), others), strict=True)
    wrong = [answer for answer in answers.values() if isinstance(answer, str)]
    seen = {host: answer for host, answer in answers.items() if not isinstance(answer, str)}
    for host, answer in seen.items():
        if answer["token"] != token:
            wrong.append(
                f"{host} does not see in --workdir what {first} wrote there: expected a folder that all hosts share, "
                "under the same path"
            )
        if answer["code"] != seen[first]["code"]:
            wrong.append(
                f"{host} has other code than {first} (hash {answer['code']} and {seen[first]['code']}): bring the "
                "checkouts in --directory to the same commit, with the same changes"
            )
    if wrong:
        raise InputError("nothing was started:\n  " + "\n  ".join(wrong))


def _asked(host: str, argv: list[str], token: str) -> dict[str, str] | str:
    """What the witness says, or what is wrong with the host."""
    try:
        done = subprocess.run(argv, input=f"{token}\n", capture_output=True, text=True, timeout=LIMIT_S)
    except OSError as error:
        return f"{host}: {argv[0]} cannot be started ({error.strerror})"
    except subprocess.TimeoutExpired:
        return f"{host} did not answer within {LIMIT_S:g} s: is its --workdir on a file system that hangs?"
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode == NO_LOGIN:
        return (
            f"{host}: no log in by ssh ({last}). Expected one with a key and without a question: ssh -o BatchMode=yes "
            f"{host} true must work (ssh-copy-id {host} brings a key there)"
        )
    if done.returncode:
        return (
            f"{host}: {last} (status {done.returncode}). Expected a checkout in --directory, --python that runs there "
            "after --setup, and a --workdir that can be written to"
        )
    try:
        # What a log in prints comes first.
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        return {"token": str(answer["token"]), "code": str(answer["code"])}
    except (ValueError, IndexError, KeyError, TypeError):
        return f"{host}: expected an answer of launch.witness, got {done.stdout.strip()[-80:]!r}"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        raise InputError("expected one file: python -m launch.same FILE")
    commands = commands_of(Path(arguments[0]))
    require_same_hosts(commands)
    print(f"{len(commands)} hosts answer, share the workdir and have the same code")
    return 0


if __name__ == "__main__":
    entry.run_launcher(main, sys.argv)
