"""L8. Render what a launch would write and run, show it, and with --execute do it.

``python -m launch.run --target=local --processes=2 -- experiments.sweep --config=... --workdir=...``
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from ddad_jax.errors import InputError
from launch import asked, buckets, entry
from launch.execute import execute
from launch.job import Job
from launch.rendered import Rendered
from launch.show import rendered_text
from launch.targets import gke, local, slurm, ssh, tpu


class Target(NamedTuple):
    """A place to launch on. settings: a tuple with a default each; help: of each, by its name; render: pure."""

    settings: type[Any]
    help: Mapping[str, str]
    render: Callable[[Job, Any], Rendered]


TARGETS = {
    "local": Target(local.LocalSettings, local.SETTINGS_HELP, local.render_local),
    "ssh": Target(ssh.SshSettings, ssh.SETTINGS_HELP, ssh.render_ssh),
    "slurm": Target(slurm.SlurmSettings, slurm.SETTINGS_HELP, slurm.render_slurm),
    "tpu": Target(tpu.TpuSettings, tpu.SETTINGS_HELP, tpu.render_tpu),
    "gke": Target(gke.GkeSettings, gke.SETTINGS_HELP, gke.render_gke),
}
PLAIN = ("local", "ssh")
"""Targets whose settings are flags of the same name; those of the others begin with the target's: --slurm_nodes."""

TARGET = flags.DEFINE_enum("target", None, [*TARGETS], "Where it runs.")
OUT = flags.DEFINE_string(
    "out", "", "Folder for what is rendered and for logs. Empty: launch in the workdir; of a bucket, runs/launch here."
)
EXECUTE = flags.DEFINE_boolean("execute", False, "Do it. Without this flag it is only shown, and nothing is written.")
SHARDS = flags.DEFINE_integer(
    "shards", 1, "Runs that share the grid of a sweep, each with devices of its own; 1: one run of all.", lower_bound=1
)


def flag_name(target: str, field: str) -> str:
    return field if target in PLAIN else f"{target}_{field}"


def _define() -> dict[str, list[str]]:
    """A flag for every setting of every target, None where it is not given; flag -> targets that have it."""
    owners: dict[str, list[str]] = {}
    for target, how in TARGETS.items():
        for field, default in how.settings._field_defaults.items():
            name, words = flag_name(target, field), f"({target}) {how.help[field]}"
            if name in owners:
                flags.FLAGS[name].help += f" {words}"
            elif isinstance(default, bool):
                flags.DEFINE_boolean(name, None, words)
            elif isinstance(default, int):
                flags.DEFINE_integer(name, None, words)
            else:
                flags.DEFINE_string(name, None, words)
            owners.setdefault(name, []).append(target)
    return owners


OWNERS = _define()


def target_settings(target: str, given: dict[str, Any]) -> Any:
    """The settings of ``target`` from the flags that were given: name -> value.

    Raises:
      InputError: a flag of another target, or a file of a list that cannot be read.
    """
    made = TARGETS[target].settings
    fields = {flag_name(target, field): field for field in made._fields}
    for name, value in given.items():
        if name not in fields:
            others = " and ".join(f"--target={owner}" for owner in OWNERS[name])
            raise InputError(f"--{name}={value}: belongs to {others}, and the target is {target}")
    lists = {field for field, default in made._field_defaults.items() if isinstance(default, tuple)}
    return made(
        **{fields[name]: _list(name, value) if fields[name] in lists else value for name, value in given.items()}
    )


def _list(name: str, value: str) -> tuple[str, ...]:
    """Words between commas, or of @FILE one on a line; lines that begin with # and empty ones do not count."""
    if not value.startswith("@"):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    try:
        lines = Path(value[1:]).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--{name}={value}: cannot be read ({error}); expected a text file, one on a line") from None
    return tuple(line.strip() for line in lines if line.strip() and not line.strip().startswith("#"))


def out_of(workdir: str) -> Path:
    """Where rendered files go unless --out says otherwise."""
    if buckets.is_bucket(workdir):
        bucket, path = buckets.split_bucket_url(workdir)
        return Path("runs") / "launch" / bucket / path
    return Path(workdir).expanduser() / "launch"


def main(left: list[str], command: list[str]) -> int:
    if left:
        raise InputError(f"{left[0]}: not a flag; the program to launch and its flags stand behind --")
    target = str(TARGET.value)
    given = {name: flags.FLAGS[name].value for name in OWNERS if flags.FLAGS[name].value is not None}
    settings = target_settings(target, given)
    job = asked.job_of(command, SHARDS.value)
    rendered = TARGETS[target].render(job, settings)
    out = Path(OUT.value).expanduser() if OUT.value else out_of(job.workdir)
    if EXECUTE.value:
        return execute(rendered, out)
    print(rendered_text(rendered, out))
    print("# Nothing was written or run: --execute does it.")
    return 0


def start(argv: list[str]) -> None:
    """As the command line says; what stands behind -- belongs to the program."""
    try:
        own_flags, command = asked.split_argv(argv, "python -m launch.run --target=local")
    except InputError as error:
        own_flags, command = argv, []
        if not {"--help", "-h", "--helpfull", "--helpshort"} & {*argv}:
            entry.refuse(error)
    entry.run_launcher(lambda left: main(left, command), own_flags, required=["target"])


if __name__ == "__main__":
    start(sys.argv)
