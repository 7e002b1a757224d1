"""L8. A Cloud TPU through a queued resource: asked for, awaited, used by one run of all workers, deleted.

``launch.sh`` runs here and talks to gcloud; ``worker.sh`` runs on every worker and alone holds what the user wrote.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ddad_jax.errors import InputError
from launch import buckets, cloud, shell, source, tools
from launch.job import Job
from launch.rendered import LaunchCommand, Rendered


class TpuSettings(NamedTuple):
    """See SETTINGS_HELP."""

    type: str = ""
    zone: str = ""
    project: str = ""
    name: str = "ddad"
    runtime: str = ""
    spot: bool = False
    reserved: bool = False
    labels: str = ""
    service_account: str = ""
    wait_minutes: int = 120
    retries: int = 5
    keep: bool = False
    reuse: bool = False
    extras: str = "tpu"
    checkout: str = ""
    mounts: str = buckets.ROOT
    poll_s: int = 30


SETTINGS_HELP: dict[str, str] = {
    "type": "Accelerator type, such as v5litepod-16 or v4-8. Required.",
    "zone": "Zone of the TPU, such as us-west4-a. Required.",
    "project": "Google Cloud project; empty: the one gcloud is set to.",
    "name": "Of the queued resource and of its TPU.",
    "runtime": "Software version of the TPU VM; empty: the one for JAX on this type.",
    "spot": "Cheaper, and may be taken away: it is then asked for again, and the run goes on from the workdir.",
    "reserved": "Use reserved capacity.",
    "labels": "Of the TPU, as key=value,key=value.",
    "service_account": "That the TPU VMs act for; empty: the project's default. It needs the workdir's bucket.",
    "wait_minutes": "For how long the TPU may be awaited, each time it is asked for.",
    "retries": "How many times a TPU that was pre-empted is asked for again.",
    "keep": "Do not delete the TPU at the end; it goes on costing.",
    "reuse": "Take a queued resource of this name that exists, and a run of this command that goes on there.",
    "extras": "Extras of the package that workers install, separated by commas.",
    "checkout": "Folder of the code that is sent; empty: this one.",
    "mounts": "Folder of the workers below which buckets are mounted.",
    "poll_s": "Seconds between two looks at the state.",
}

RUNTIMES: Mapping[str, str] = {
    "v2": "tpu-ubuntu2204-base",
    "v3": "tpu-ubuntu2204-base",
    "v4": "tpu-ubuntu2204-base",
    "v5litepod": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
"""Generation -> software version for JAX (cloud.google.com/tpu/docs/runtimes)."""


def render_tpu(job: Job, settings: TpuSettings) -> Rendered:
    """The scripts of one run on all workers of one TPU.

    Raises:
      InputError: a setting that Cloud TPU would refuse, a folder as the workdir of several workers, or shards.
    """
    shell.check_job(job, shards_by="as all devices of a TPU share one grid already")
    generation = _check(settings)
    single = int(settings.type.rpartition("-")[2]) <= 8
    in_bucket = buckets.is_bucket(job.workdir)
    if not in_bucket and not single:
        raise InputError(
            f"--workdir={job.workdir}: {settings.type} has several workers, which share no folder: expected "
            "--workdir=gs://bucket/path"
        )
    if re.match("~[^/]", job.workdir):
        raise InputError(
            f"--workdir={job.workdir}: a TPU VM has no such user: expected ~/path, a path or gs://bucket/path"
        )
    here, mounted = buckets.mounted(job, settings.mounts)
    shared = buckets.shell_values(job, mounted, settings.mounts)
    launch: dict[str, shell.Value] = {
        "name": settings.name,
        "zone": settings.zone,
        "project": settings.project,
        "create": _create(settings, generation),
        "labels": settings.labels,
        "wait_s": 60 * settings.wait_minutes,
        "poll_s": settings.poll_s,
        "retries": settings.retries,
        "spot": settings.spot,
        "keep": settings.keep,
        "reuse": settings.reuse,
        "checkout": source.checkout(settings.checkout),
        "local_workdir": not in_bucket,
        "collect_to": "" if in_bucket else source.path_in_checkout(settings.checkout, job.workdir),
        **cloud.looked_at(shared),
    }
    worker: dict[str, shell.Value] = {
        "command": shell.argv(".venv/bin/python", here, "--coordinator=auto"),
        "extras": settings.extras,
        "workdir": here.workdir,
        **shared,
    }
    files = {
        "launch.sh": shell.HEAD
        + shell.variables(launch)
        + "\n"
        + shell.body("fail.sh", "patient.sh", "whose.sh", "source.sh", "buckets_here.sh", "tpu.sh"),
        "worker.sh": shell.HEAD + shell.variables(worker) + "\n" + shell.body("fail.sh", "buckets.sh", "tpu_worker.sh"),
    }
    steps = (LaunchCommand("ask for the TPU, run on all its workers, delete it", ("bash", "launch.sh")),)
    return Rendered(files, steps, tools.needed("bash", "git", "tar", "ssh", "gcloud"), _notes(job, settings, in_bucket))


def _check(settings: TpuSettings) -> str:
    """The generation of the TPU; raises InputError for what Cloud TPU would refuse."""

    def checked(field: str, pattern: str, expected: str) -> str:
        return shell.require_pattern(shell.flag("tpu", field), getattr(settings, field), pattern, expected)

    checked("type", r"v\d+[a-z]*-[1-9]\d*", "a type of Cloud TPU, such as v5litepod-16 or v4-8")
    checked("name", r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", "up to 63 lower-case letters, digits and -, a letter first")
    checked("runtime", r"|[a-z0-9][a-z0-9.-]*", "a software version, such as v2-alpha-tpuv5-lite")
    label = r"[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}"
    checked("labels", rf"|{label}(,{label})*", "key=value,key=value of lower-case letters, digits, - and _")
    checked("service_account", r"|[^@\s,]+@[^@\s,]+", "an e-mail address")
    cloud.check_cloud_settings("tpu", settings._asdict())
    shell.check_numbers("tpu", settings._asdict(), {"wait_minutes": 1, "retries": 0, "poll_s": 0})
    generation = re.split("-", settings.type)[0]
    if not settings.runtime and generation not in RUNTIMES:
        raise InputError(
            f"--tpu_type={settings.type}: no software version is known for {generation}; name one with --tpu_runtime "
            f"(known: {', '.join(RUNTIMES)}). TPU7x is to be had through GKE alone: --target=gke"
        )
    if settings.spot and settings.reserved:
        raise InputError("--tpu_spot and --tpu_reserved exclude each other: expected one of them, or neither")
    return generation


def _create(settings: TpuSettings, generation: str) -> tuple[str, ...]:
    return (
        f"--node-id={settings.name}",
        f"--accelerator-type={settings.type}",
        f"--runtime-version={settings.runtime or RUNTIMES[generation]}",
        # If this machine is switched off meanwhile, nothing begins to cost later on.
        f"--valid-until-duration={settings.wait_minutes}m",
        *([f"--service-account={settings.service_account}"] if settings.service_account else []),
        *(["--spot"] if settings.spot else []),
        *(["--reserved"] if settings.reserved else []),
    )


def _notes(job: Job, settings: TpuSettings, in_bucket: bool) -> tuple[str, ...]:
    notes = [
        f"{settings.type} costs from the moment it is ACTIVE until it is deleted. launch.sh deletes it however it "
        "ends, as long as this machine runs: keep it awake, or use Cloud Shell or tmux.",
        "The code that is sent is what git tracks here, changed files as they are; data must be in a bucket: any "
        "argument --flag=gs://bucket/path becomes a folder of the workers.",
    ]
    if not in_bucket:
        notes.append(
            f"--workdir={job.workdir} lies on the TPU VM and is copied back at the end. If the TPU is pre-empted it is "
            "lost, and the run begins anew; a workdir in a bucket goes on."
        )
    if settings.keep:
        notes.append(f"--tpu_keep: {settings.name} goes on costing after the run.")
    return tuple(notes)
