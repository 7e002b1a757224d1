"""L8. This machine: several processes of one run, or several shards of a sweep, each on devices of its own."""

import json
import shlex
import sys
from typing import NamedTuple

from ddad_jax.errors import InputError
from launch import buckets, shell
from launch.job import Job
from launch.rendered import LaunchCommand, Rendered


class LocalSettings(NamedTuple):
    """See SETTINGS_HELP."""

    processes: int = 0
    devices: str = ""
    accelerator: str = "cuda"
    fake_devices: int = 0
    port: int = 8476
    python: str = shlex.quote(sys.executable)


SETTINGS_HELP: dict[str, str] = {
    "processes": "Of one run; 0: as many as --devices has sets, or one for all devices.",
    "devices": "A set of device numbers for each process or shard, as in 0,1;2,3. Empty: all for each.",
    "accelerator": "Of --devices: cuda or tpu.",
    "fake_devices": "So many devices for each process, made of the CPU: to try something out. 0: the real ones.",
    "port": "Of process 0, where the others find it.",
    "python": "The interpreter, and options of it.",
}

BOUNDS = {1: "1,1,1", 2: "1,2,1", 4: "2,2,1", 8: "2,4,1"}
"""Chips of a process -> how they lie, as libtpu is told."""

TOGETHER = ("-m", "launch.together")


def render_local(job: Job, settings: LocalSettings) -> Rendered:
    """One command, several at the same time, or the three stages of a sweep in shards.

    Raises:
      InputError: settings that contradict each other, or a gs:// argument, which nothing here mounts.
    """
    shell.check_job(job)
    buckets.need_folders(job, "local")
    sets = _sets(settings)
    count = _count(job, settings, len(sets))
    every = _environment(settings, [number for one in sets for number in one])
    each = [_environment(settings, one) for one in sets] or [every] * count
    python = shell.interpreter_words("--python", settings.python)
    leash = (*python, "-m", "launch.leash")
    if count == 1:
        return Rendered(
            {}, (LaunchCommand(f"{job.program}", (*every, *shell.argv(settings.python, job)), leashed=True),)
        )
    notes: tuple[str, ...] = ()
    if not sets and not settings.fake_devices:
        notes = ("Without --devices every process takes all devices there are, which GPUs and TPUs do not allow; on a "
                 "CPU the processes share its cores",)  # fmt: skip
    if job.shards > 1:
        commands = {
            f"shard {k}": (*each[k], *leash, *shell.argv(settings.python, job, f"--shard={k}/{count}"))
            for k in range(count)
        }
        models, collect = ((*every, *shell.argv(settings.python, job, *more)) for more in (("--models_only",), ()))
        steps = (
            LaunchCommand("models and grids that all shards need", models, leashed=True),
            LaunchCommand(f"{count} shards of the grid", (*python, *TOGETHER, "shards.json"), leashed=True),
            LaunchCommand("collect the rows, and report", collect, leashed=True),
        )
        return Rendered({"shards.json": local_commands_text(commands)}, steps, (), notes)
    found = f"--coordinator=127.0.0.1:{settings.port}", f"--num_processes={count}"
    commands = {
        f"process {k}": (*each[k], *leash, *shell.argv(settings.python, job, *found, f"--process_id={k}"))
        for k in range(count)
    }
    step = LaunchCommand(f"{count} processes of one run", (*python, *TOGETHER, "processes.json"), leashed=True)
    return Rendered({"processes.json": local_commands_text(commands)}, (step,), (), notes)


def local_commands_text(commands: dict[str, tuple[str, ...]]) -> str:
    """The file of ``launch.together``."""
    return json.dumps({name: shlex.join(argv) for name, argv in commands.items()}, indent=1, ensure_ascii=False) + "\n"


def _count(job: Job, settings: LocalSettings, sets: int) -> int:
    if settings.processes < 0:
        raise InputError(f"--processes={settings.processes}: expected 1 or more")
    if job.shards > 1 and settings.processes > 1:
        raise InputError(
            f"--shards={job.shards} --processes={settings.processes}: expected one of them: shards are runs of one "
            "process each, processes share one run"
        )
    count = job.shards if job.shards > 1 else settings.processes or sets or 1
    if sets not in (0, count):
        what = f"{job.shards} shards" if job.shards > 1 else f"{count} processes"
        raise InputError(f"--devices={settings.devices}: {sets} sets for {what}; expected one for each, as in 0,1;2,3")
    if not 1 <= settings.port <= 65535:
        raise InputError(f"--port={settings.port}: expected 1 to 65535")
    if settings.accelerator == "tpu" and sets > 1 and job.shards == 1:
        raise InputError(
            f"--accelerator=tpu --devices={settings.devices}: the chips of one machine are one process's in a run; "
            "expected --shards, or no --devices"
        )
    return count


def _sets(settings: LocalSettings) -> list[list[int]]:
    """[[0, 1], [2, 3]] of 0,1;2,3."""
    if settings.accelerator not in ("cuda", "tpu"):
        raise InputError(f"--accelerator={settings.accelerator}: expected cuda or tpu")
    if settings.fake_devices < 0:
        raise InputError(
            f"--fake_devices={settings.fake_devices}: expected how many each process shall have, 1 or more"
        )
    if not settings.devices:
        return []
    if settings.fake_devices:
        raise InputError(f"--fake_devices={settings.fake_devices} --devices={settings.devices}: expected one of them")
    words = [one.split(",") for one in settings.devices.split(";")]
    numbers = [word.strip() for one in words for word in one]
    if not all(number.isdecimal() for number in numbers) or len({*map(int, numbers)}) < len(numbers):
        raise InputError(
            f"--devices={settings.devices}: expected numbers of devices, each in one set, as in 0,1;2,3 (quoted, as ; "
            "ends a command of a shell)"
        )
    sets = [[int(word) for word in one] for one in words]
    if settings.accelerator == "tpu" and not {*map(len, sets)} <= BOUNDS.keys():
        raise InputError(f"--devices={settings.devices}: expected 1, 2, 4 or 8 chips of a TPU in a set")
    return sets


def _environment(settings: LocalSettings, numbers: list[int]) -> tuple[str, ...]:
    """What a command begins with, so that its process sees these devices alone."""
    if settings.fake_devices:
        return ("env", "JAX_PLATFORMS=cpu", f"XLA_FLAGS=--xla_force_host_platform_device_count={settings.fake_devices}")
    listed = ",".join(map(str, numbers))
    if not numbers:
        return ()
    if settings.accelerator == "cuda":
        return ("env", f"CUDA_VISIBLE_DEVICES={listed}")
    # Chips of one process that is a slice of its own (as libtpu reads it; github.com/pytorch/xla, pull request 3704).
    bounds = BOUNDS.get(len(numbers))
    own = (f"TPU_CHIPS_PER_PROCESS_BOUNDS={bounds}", "TPU_PROCESS_BOUNDS=1,1,1") if bounds else ()
    return ("env", f"TPU_VISIBLE_DEVICES={listed}", *own)
