"""L8. Google Kubernetes Engine through xpk: one workload of one or more TPU slices, awaited, its logs fetched, deleted.

``launch.sh`` runs here; ``worker.sh`` runs in the container of every worker and alone holds what the user wrote.
"""

import re
from typing import NamedTuple

from ddad_jax.errors import InputError
from launch import buckets, cloud, shell, source, tools
from launch.job import Job
from launch.rendered import LaunchCommand, Rendered


class GkeSettings(NamedTuple):
    """See SETTINGS_HELP."""

    cluster: str = ""
    zone: str = ""
    project: str = ""
    name: str = "ddad"
    tpu_type: str = ""
    device_type: str = ""
    num_slices: int = 1
    priority: str = "medium"
    max_restarts: int = 5
    spot: bool = False
    reservation: str = ""
    base_image: str = "python:3.11-bookworm"
    image: str = ""
    folder: str = "/app"
    python: str = ""
    extras: str = "tpu"
    storage: str = ""
    mounts: str = buckets.ROOT
    wait_minutes: int = 0
    keep: bool = False
    checkout: str = ""


SETTINGS_HELP: dict[str, str] = {
    "cluster": "Cluster that xpk has made. Required.",
    "zone": "Zone of the cluster, such as us-west4-a. Required.",
    "project": "Google Cloud project; empty: the one gcloud is set to.",
    "name": "Of the workload.",
    "tpu_type": "Type of the TPU slices, such as v5litepod-16. This or --gke_device_type is required.",
    "device_type": "Type of another machine of the cluster, such as n2-standard-32-1 or h100-80gb-8; one node of it.",
    "num_slices": "Slices; all their devices share one run.",
    "priority": "very-low, low, medium, high or very-high.",
    "max_restarts": "How often the workload is started again when it is pre-empted or a worker fails.",
    "spot": "Where the cluster makes its nodes itself (autoprovisioning): Spot VMs.",
    "reservation": "Where the cluster makes its nodes itself: this reservation.",
    "base_image": "Image to which xpk adds the code; packages are installed when a worker starts.",
    "image": "Image that has code and packages already; --gke_folder and --gke_python say where.",
    "folder": "Folder of the code in the image.",
    "python": "Python of --gke_image; words are split as by a shell. Empty: python3.",
    "extras": "Extras of the package that workers install, separated by commas.",
    "storage": "Storage of the cluster (xpk storage attach) that holds the bucket and is mounted at --gke_mounts.",
    "mounts": "Folder of the workers below which buckets are mounted, or at which --gke_storage is.",
    "wait_minutes": "For how long the workload is awaited; 0: until it ends, a week at most.",
    "keep": "Do not delete the workload at the end.",
    "checkout": "Folder of the code that is sent; empty: this one.",
}

PRIORITIES = ("very-low", "low", "medium", "high", "very-high")


def render_gke(job: Job, settings: GkeSettings) -> Rendered:
    """The scripts of one workload.

    Raises:
      InputError: a setting that xpk or Kubernetes would refuse, a folder as the workdir, or shards.
    """
    shell.check_job(job, shards_by="as all devices of a workload share one grid already")
    _check(settings)
    if not buckets.is_bucket(job.workdir):
        raise InputError(
            f"--workdir={job.workdir}: a container's folders go with it: expected --workdir=gs://bucket/path"
        )
    here, mounted = buckets.mounted(job, settings.mounts, single=bool(settings.storage))
    shared = buckets.shell_values(job, mounted, settings.mounts)
    python = ".venv/bin/python" if not settings.image else settings.python or "python3"
    launch: dict[str, shell.Value] = {
        "name": settings.name,
        "at": (
            f"--cluster={settings.cluster}",
            f"--zone={settings.zone}",
            *([f"--project={settings.project}"] if settings.project else []),
        ),
        "create": _create(settings),
        "wait_s": 60 * settings.wait_minutes or "",
        "keep": settings.keep,
        "send_code": not settings.image,
        "checkout": source.checkout(settings.checkout),
        **cloud.looked_at(shared),
    }
    worker: dict[str, shell.Value] = {
        "folder": settings.folder,
        "install": not settings.image,
        "extras": settings.extras,
        # One node of another kind is found by nobody, and needs nobody.
        "command": shell.argv(python, here, *(["--coordinator=auto"] * _is_tpu(settings)), name="--gke_python"),
        "workdir": here.workdir,
        # The cluster has mounted its storage.
        **(shared | ({"buckets": ()} if settings.storage else {})),
    }
    head = shell.HEAD
    files = {
        "launch.sh": head
        + shell.variables(launch)
        + "\n"
        + shell.body("fail.sh", "patient.sh", "whose.sh", "source.sh", "buckets_here.sh", "gke.sh"),
        "worker.sh": head + shell.variables(worker) + "\n" + shell.body("fail.sh", "buckets.sh", "gke_worker.sh"),
    }
    steps = (LaunchCommand("create the workload, wait for it, fetch its logs, delete it", ("bash", "launch.sh")),)
    named = tools.needed("bash", "git", "tar", "base64", "gcloud", "xpk", "kubectl")
    return Rendered(files, steps, named, _notes(settings, mounted))


def _create(settings: GkeSettings) -> tuple[str, ...]:
    device = f"--tpu-type={settings.tpu_type}" if settings.tpu_type else f"--device-type={settings.device_type}"
    options = [device, f"--priority={settings.priority}", f"--max-restarts={settings.max_restarts}"]
    if _is_tpu(settings):
        options.append(f"--num-slices={settings.num_slices}")
    if settings.max_restarts:
        # 1: a process lost the others. 2 is an error that a user has to mend: it ends the workload.
        options.append("--restart-on-exit-codes=1")
    if settings.spot:
        options.append("--spot")
    if settings.reservation:
        options.append(f"--reservation={settings.reservation}")
    if settings.storage:
        options.append(f"--storage={settings.storage}")
    if settings.image:
        return (*options, f"--docker-image={settings.image}")
    return (*options, f"--base-docker-image={settings.base_image}", "--script-dir=source")


def _is_tpu(settings: GkeSettings) -> bool:
    return bool(settings.tpu_type) or re.match(r"(v\d|tpu)", settings.device_type) is not None


def _check(settings: GkeSettings) -> None:
    def checked(field: str, pattern: str, expected: str) -> None:
        shell.require_pattern(shell.flag("gke", field), getattr(settings, field), pattern, expected)

    name = r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"
    rule = "up to 40 lower-case letters, digits and -, a letter first and no - at the end"
    image = r"[\w][\w.:/@-]*"
    checked("cluster", name, rule)
    checked("name", name, rule)
    if bool(settings.tpu_type) == bool(settings.device_type):
        raise InputError(
            f"--gke_tpu_type={settings.tpu_type} --gke_device_type={settings.device_type}: expected one of the two, "
            "such as --gke_tpu_type=v5litepod-16"
        )
    checked("tpu_type", r"|[a-z0-9][a-z0-9x.-]*", "a type that xpk knows, such as v5litepod-16")
    checked("device_type", r"|[a-z0-9][a-z0-9x.-]*", "a type that xpk knows, such as h100-80gb-8")
    checked("priority", "|".join(PRIORITIES), "one of " + ", ".join(PRIORITIES))
    checked("reservation", r"|[a-z0-9][\w./-]*", "the name of a reservation")
    checked("base_image", image, "an image, such as python:3.11-bookworm")
    checked("image", f"|{image}", "an image, such as us-docker.pkg.dev/my-project/ddad/run:1")
    checked("folder", r"/[\w./-]*", "an absolute path of letters, digits, - and _")
    checked("storage", f"|{name}", rule)
    cloud.check_cloud_settings("gke", settings._asdict())
    shell.check_numbers("gke", settings._asdict(), {"num_slices": 1, "max_restarts": 0, "wait_minutes": 0})
    if settings.num_slices > 1 and not _is_tpu(settings):
        raise InputError(f"--gke_num_slices={settings.num_slices}: expected 1, slices are of TPUs")
    if settings.python and not settings.image:
        raise InputError(
            f"--gke_python={settings.python} without --gke_image: workers install a Python environment of their own; "
            "expected both flags, or neither"
        )
    if settings.spot and settings.reservation:
        raise InputError("--gke_spot and --gke_reservation exclude each other: expected one of them, or neither")


def _notes(settings: GkeSettings, mounted: tuple[str, ...]) -> tuple[str, ...]:
    notes = [f"The nodes of {settings.cluster} cost as long as the cluster has them, with or without a workload."]
    if settings.storage:
        options = "implicit-dirs,metadata-cache:ttl-secs:0,metadata-cache:negative-ttl-secs:0"
        notes.append(
            f"--gke_storage={settings.storage} must be attached once: xpk storage attach {settings.storage} "
            f"--type=gcsfuse --bucket={mounted[0]} --mount-point={settings.mounts} --readonly=false --size=1 "
            f"--auto-mount=false --mount-options={options} --cluster={settings.cluster} --zone={settings.zone}"
        )
    else:
        notes.append("Every worker mounts the buckets itself; its service account needs them, not yours.")
    if settings.num_slices > 1:
        notes.append(
            f"{settings.num_slices} slices are one run: train.batch_size must be a multiple of all their devices, and "
            "what training exchanges crosses the data centre's network between slices."
        )
    return tuple(notes)
