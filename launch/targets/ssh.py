"""L8. A list of hosts that one can log in to: process i of one run, or shard i of a sweep, on host i.

They share a file system; the same checkout lies on each. ``launch.leash`` ends what runs there when the connection
does.
"""

import json
import re
import shlex
import sys
from collections.abc import Mapping
from typing import NamedTuple

from ddad_jax.errors import InputError
from launch import buckets, shell, tools
from launch.job import Job
from launch.rendered import LaunchCommand, Rendered
from launch.targets.local import TOGETHER


class SshSettings(NamedTuple):
    """See SETTINGS_HELP."""

    hosts: tuple[str, ...] = ()
    directory: str = ""
    python: str = ".venv/bin/python"
    setup: str = ""
    address: str = ""
    port: int = 8476
    here: str = shlex.quote(sys.executable)


SETTINGS_HELP: dict[str, str] = {
    "hosts": "Where processes run, as ssh takes them: a,b,user@c, or @FILE, one on a line. Process 0 is on the first.",
    "directory": "Folder of the checkout on each of them.",
    "python": "The interpreter there, seen from --directory, and options of it.",
    "setup": "Shell commands before it, such as: module load cuda. They are given to the hosts' shell as they are.",
    "address": "How the hosts reach the first one; empty: by its name in --hosts.",
    "port": "Of process 0, where the others find it.",
    "here": "The interpreter of this machine.",
}

SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15")


def render_ssh(job: Job, settings: SshSettings) -> Rendered:
    """A check of all hosts, then the run; with shards its three stages, the first and the last on the first host.

    Raises:
      InputError: a host that ssh would not take, a missing --directory, shards that are not one for each host, or a
        gs:// argument, which nothing here mounts.
    """
    shell.check_job(job)
    buckets.need_folders(job, "ssh")
    _check(settings)
    hosts, workdir = settings.hosts, job.workdir
    if job.shards not in (1, len(hosts)):
        raise InputError(f"--shards={job.shards}: expected one for each of the {len(hosts)} hosts, or none")

    def on(host: str, *more: str) -> tuple[str, ...]:
        return there(settings, host, "-m", "launch.leash", *shell.argv(settings.python, job, *more))

    witness = {
        host: there(settings, host, "-m", "launch.witness", workdir, *(("--leave",) if host == hosts[0] else ()))
        for host in hosts
    }
    here = shell.interpreter_words("--here", settings.here)
    files, steps = {}, []
    files["hosts.json"] = ssh_commands_text(witness)
    steps.append(
        LaunchCommand(
            "every host answers, shares the workdir, has the same code", (*here, "-m", "launch.same", "hosts.json")
        )
    )
    if job.shards > 1:
        files["shards.json"] = ssh_commands_text(
            {f"shard {k} on {host}": on(host, f"--shard={k}/{job.shards}") for k, host in enumerate(hosts)}
        )
        files["models.json"] = ssh_commands_text({hosts[0]: on(hosts[0], "--models_only")})
        files["collect.json"] = ssh_commands_text({hosts[0]: on(hosts[0])})
        for name, what in (
            ("models.json", f"models and grids that all shards need, on {hosts[0]}"),
            ("shards.json", f"{job.shards} shards of the grid"),
            ("collect.json", f"collect the rows, and report, on {hosts[0]}"),
        ):
            steps.append(LaunchCommand(what, (*here, *TOGETHER, name), leashed=True))
    else:
        found = (f"--coordinator={_address(settings)}:{settings.port}", f"--num_processes={len(hosts)}")
        several = len(hosts) > 1
        files["processes.json"] = ssh_commands_text(
            {
                f"process {k} on {host}": on(host, *((*found, f"--process_id={k}") if several else ()))
                for k, host in enumerate(hosts)
            }
        )
        steps.append(
            LaunchCommand(f"{len(hosts)} processes of one run", (*here, *TOGETHER, "processes.json"), leashed=True)
        )
    return Rendered(files, tuple(steps), tools.needed("ssh"))


def ssh_commands_text(commands: Mapping[str, tuple[str, ...]]) -> str:
    """The file of ``launch.together``, a command a line; the last word is what the host's shell is given."""
    lines = (f" {json.dumps(name)}: {json.dumps(argv, ensure_ascii=False)}" for name, argv in commands.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def there(settings: SshSettings, host: str, *words: str) -> tuple[str, ...]:
    """The command of this machine that runs ``python words`` in the checkout on ``host``.

    ssh hands one line to the log-in shell there, so the line is quoted, and but for --setup nothing in it is read by
    that shell. A leading ~/ of --directory is left to it.
    """
    home, directory = (
        ("~/", settings.directory[2:]) if settings.directory.startswith("~/") else ("", settings.directory)
    )
    go = f"cd {home}{shlex.quote(directory) if directory else ''}"
    # Nothing of --setup is done where there is no such folder, whatever joins its commands.
    setup = settings.setup.rstrip("; \t")
    start = f"{go} || exit; {setup}" if setup else go
    command = shlex.join([*shell.interpreter_words("--python", settings.python), *words])
    return (*SSH, host, f"{start} && exec {command}")


def _address(settings: SshSettings) -> str:
    return settings.address or settings.hosts[0].rpartition("@")[2]


def _check(settings: SshSettings) -> None:
    if not settings.hosts:
        raise InputError("--hosts is missing: expected names as ssh takes them, as in a,b,c, or @FILE")
    for host in settings.hosts:
        shell.require_pattern("--hosts", host, r"([\w.+-]+@)?\w[\w.-]*", "names as ssh takes them, as in a,user@b")
    twice = sorted({host for host in settings.hosts if settings.hosts.count(host) > 1})
    if twice:
        raise InputError(f"--hosts: {', '.join(twice)} is there twice; expected each host once")
    if not settings.directory:
        raise InputError("--directory is missing: expected the folder of the checkout on each host")
    if "\0" in settings.directory + settings.setup or re.search(r"[\n\r]", settings.setup):
        raise InputError(f"--setup={settings.setup!r}: expected commands on one line, joined by && or ;")
    if not 1 <= settings.port <= 65535:
        raise InputError(f"--port={settings.port}: expected 1 to 65535")
    if settings.address:
        shell.require_pattern("--address", settings.address, r"\w[\w.-]*", "a name or an IPv4 address, without a port")
