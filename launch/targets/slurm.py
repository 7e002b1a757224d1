"""L8. SLURM: one job of all nodes, or three that wait for each other: models, an array of shards, the report.

Every job is queued again when it is pre-empted or its time is over, and the same command goes on from the workdir.
"""

from typing import NamedTuple

from ddad_jax.errors import InputError
from launch import buckets, cloud, shell, source, tools
from launch.job import Job
from launch.rendered import LaunchCommand, Rendered


class SlurmSettings(NamedTuple):
    """See SETTINGS_HELP."""

    name: str = "ddad"
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    time: str = "1-00:00:00"
    nodes: int = 1
    tasks_per_node: int = 1
    gpus_per_node: str = ""
    cpus_per_task: int = 0
    memory: str = ""
    max_parallel: int = 0
    requeue: bool = True
    max_requeues: int = 20
    signal_s: int = 300
    setup: str = ""
    python: str = ".venv/bin/python"
    container: str = ""
    checkout: str = ""
    mounts: str = buckets.ROOT


SETTINGS_HELP: dict[str, str] = {
    "name": "Of the jobs.",
    "partition": "Partition; empty: the cluster's default.",
    "account": "Account that is charged; empty: the default.",
    "qos": "Quality of service.",
    "constraint": "Features that nodes must have, such as a100.",
    "time": "Limit of a job, as days-hours:minutes:seconds or in minutes. At its end the job is queued again.",
    "nodes": "Nodes of the run; of each job where there are shards it is 1.",
    "tasks_per_node": "Processes of a node: 1 with all its GPUs, or one for each GPU.",
    "gpus_per_node": "GPUs of a node, as 4 or a100:4; empty: none are asked for.",
    "cpus_per_task": "Cores of a process; 0: the cluster's default.",
    "memory": "Memory of a node, such as 64G; empty: the default.",
    "max_parallel": "Shards that may run at the same time; 0: as many as the cluster allows.",
    "requeue": "Queue a job again that was pre-empted, or whose time is over.",
    "max_requeues": "How often a job is queued again at its time limit.",
    "signal_s": "Seconds before the time limit at which the job is queued again.",
    "setup": "Lines for the shell before the command, such as 'module load cuda'. They are run as they are.",
    "python": "Python of the nodes, relative to the checkout or absolute; words are split as by a shell.",
    "container": "Image for apptainer, in which --slurm_python is run.",
    "checkout": "The code's folder on the shared file system; empty: this one.",
    "mounts": "Folder of the nodes below which buckets are mounted.",
}

_TIME = r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}"


def render_slurm(job: Job, settings: SlurmSettings) -> Rendered:
    """submit.sh and the job scripts that it hands to sbatch.

    Raises:
      InputError: a setting that SLURM would refuse, or shards of several processes.
    """
    shell.check_job(job)
    _check(job, settings)
    here, mounted = buckets.mounted(job, settings.mounts)
    several = settings.nodes * settings.tasks_per_node > 1

    def script(*more: str, shard_of: int = 0) -> str:
        return _job(here, settings, mounted, more, shard_of)

    if job.shards > 1:
        jobs = {
            "models.sbatch": script("--models_only"),
            "shards.sbatch": script(shard_of=job.shards),
            "collect.sbatch": script(),
        }
    else:
        jobs = {"run.sbatch": script(*(["--coordinator=auto"] if several else []))}
    in_bucket = buckets.is_bucket(job.workdir)
    submit = {
        "checkout": source.checkout(settings.checkout),
        "logs": "" if in_bucket else source.path_in_checkout(settings.checkout, job.workdir) + "/launch",
        "shards": job.shards if job.shards > 1 else "",
        "max_parallel": settings.max_parallel or "",
    }
    files = {
        "submit.sh": shell.HEAD + shell.variables(submit) + "\n" + shell.body("fail.sh", "slurm_submit.sh"),
        **jobs,
    }
    if mounted:
        values = {"workdir": here.workdir, **buckets.shell_values(job, mounted, settings.mounts)}
        body = shell.body("fail.sh", "buckets.sh", "slurm_task.sh")
        files["task.sh"] = shell.HEAD + shell.variables(values) + "\n" + body
    step = LaunchCommand("hand the jobs to SLURM, which runs them when it can", ("bash", "submit.sh"))
    return Rendered(files, (step,), tools.needed("bash", "sbatch", "scancel"), _notes(job, settings, bool(mounted)))


def _job(job: Job, settings: SlurmSettings, mounted: tuple[str, ...], more: tuple[str, ...], shard_of: int) -> str:
    """A script for sbatch. job: as the nodes run it."""
    requeue = settings.requeue
    options = {
        "job-name": settings.name,
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "time": settings.time,
        "nodes": settings.nodes,
        "ntasks-per-node": settings.tasks_per_node,
        "gpus-per-node": settings.gpus_per_node,
        "cpus-per-task": settings.cpus_per_task,
        "mem": settings.memory,
        "open-mode": "append",
        "signal": f"B:USR1@{settings.signal_s}",
    }
    head = [f"#SBATCH --{name}={value}" for name, value in options.items() if value]
    head.append("#SBATCH --requeue" if requeue else "#SBATCH --no-requeue")
    # What a login shell sets up, modules above all, does not bear set -u.
    setup = f"\nset +u\n{settings.setup}\nset -u\n" if settings.setup else ""
    inside = ("apptainer", "exec", "--nv", settings.container) if settings.container else ()
    values: dict[str, shell.Value] = {
        "command": (*inside, *shell.argv(settings.python, job, *more, name="--slurm_python")),
        # Since 22.05 srun no longer takes this from the job.
        "srun_options": (f"--cpus-per-task={settings.cpus_per_task}",) if settings.cpus_per_task else (),
        # A process alone has no coordinator, and sees all GPUs.
        "all_gpus": settings.nodes > 1 and settings.tasks_per_node == 1,
        "gpus": settings.gpus_per_node.rpartition(":")[2],
        "shard_of": shard_of or "",
        "requeue": requeue,
        "max_requeues": settings.max_requeues,
        "buckets": mounted,
    }
    start, _, rest = shell.HEAD.partition("\n")
    lines = "\n".join((start, *head, rest))
    return lines + shell.variables(values) + setup + "\n" + shell.body("slurm_job.sh")


def _check(job: Job, settings: SlurmSettings) -> None:
    def checked(field: str, pattern: str, expected: str) -> None:
        shell.require_pattern(shell.flag("slurm", field), getattr(settings, field), pattern, expected)

    word = r"|[A-Za-z0-9_][\w.@+-]*"
    checked("name", r"[A-Za-z0-9_][\w.-]{0,99}", "up to 100 letters, digits, . _ and -")
    checked("partition", r"|[A-Za-z0-9_][\w.,-]*", "names of partitions, separated by commas")
    checked("account", word, "the name of an account")
    checked("qos", word, "the name of a quality of service")
    checked("constraint", r"|[\w.&|*()\[\],-]+", "features, such as a100 or a100|h100")
    checked("time", _TIME, "minutes, hours:minutes:seconds or days-hours:minutes:seconds")
    checked("gpus_per_node", r"|([\w.-]+:)?[1-9]\d*", "a number or type:number, such as 4 or a100:4")
    checked("memory", r"|[1-9]\d*[KMGT]?", "a number with K, M, G or T behind it, such as 64G")
    cloud.check_cloud_settings("slurm", settings._asdict(), "mounts")
    least = {"nodes": 1, "tasks_per_node": 1, "cpus_per_task": 0, "max_parallel": 0, "max_requeues": 0, "signal_s": 1}
    shell.check_numbers("slurm", settings._asdict(), least)
    limit = _seconds(settings.time)
    if 0 < limit < 2 * settings.signal_s:
        raise InputError(
            f"--slurm_signal_s={settings.signal_s}: expected at most half of --slurm_time={settings.time}, or the "
            "job is queued again before it has done anything"
        )
    several = settings.nodes * settings.tasks_per_node > 1
    if job.shards > 1 and several:
        raise InputError(
            f"--shards={job.shards} with --slurm_nodes={settings.nodes} --slurm_tasks_per_node="
            f"{settings.tasks_per_node}: a shard is one process; expected 1 and 1, or no shards"
        )
    gpus = int(settings.gpus_per_node.rpartition(":")[2] or 0)
    if gpus and settings.tasks_per_node not in (1, gpus):
        raise InputError(
            f"--slurm_tasks_per_node={settings.tasks_per_node} with --slurm_gpus_per_node={settings.gpus_per_node}: a "
            f"process has all GPUs of its node or one of them; expected 1 or {gpus}"
        )
    if settings.tasks_per_node > 1 and any("gs://" in argument for argument in (job.workdir, *job.arguments)):
        raise InputError(
            f"--slurm_tasks_per_node={settings.tasks_per_node}: a node mounts a bucket for one process; expected 1, or "
            "folders in place of gs://"
        )
    if not all(c.isprintable() for c in job.workdir) or "\\" in job.workdir:
        raise InputError(
            f"--workdir={job.workdir!r}: SLURM names the output after it; expected no control characters, no \\"
        )


def _seconds(time: str) -> int:
    """Of a limit as SLURM reads it: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; 0 is no limit."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = (parts + [0, 0])[:3]
    else:
        hours, minutes, seconds = {1: [0, *parts, 0], 2: [0, *parts], 3: parts}[len(parts)]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def _notes(job: Job, settings: SlurmSettings, mounts: bool) -> tuple[str, ...]:
    notes = ["The checkout, its Python and a workdir that is a folder must be on a file system that all nodes share."]
    if mounts:
        notes.append("Nodes mount the buckets with gcsfuse, which must be there (a module: --slurm_setup).")
    if not settings.gpus_per_node:
        notes.append(
            "No --slurm_gpus_per_node: the run computes on CPUs, unless the partition hands out GPUs by itself."
        )
    if job.shards > 1:
        notes.append(
            f"Three jobs: the models, {job.shards} shards of the grid, the report. Each waits for the one before."
        )
    return tuple(notes)
