"""L8. Cloud Storage: ``--workdir=gs://bucket/path`` and every other gs:// argument become folders of the workers.

A run reads and writes plain files, so a bucket is mounted by gcsfuse; ``docs/howto/launching.md`` has what users must
know. Why it is safe to kill a run and repeat it, by what gcsfuse promises (its ``docs/semantics.md``, version 3):

- A file is in the bucket once it is closed: all of it or none. Journals are closed after every row. Each row sends the
  journal again as a whole below 2 MB, only the new end above.
- A file is renamed over another at once since 3.1; before, it is copied and then deleted, and a kill between the two
  leaves a ``.part`` file beside the whole one. Either way a reader meets the old content or the new.
- Orbax finishes a checkpoint by renaming a folder with folders in it, which only a hierarchical namespace can;
  ``check_workdir`` tries it.
- fsync need not bring a file into the bucket. Nothing here counts on it: files are closed before they are renamed.
- flock holds on one machine only, so a shard that is started twice, on two machines, is not refused. Otherwise nothing
  rests on it: one process writes a file, and shards write files of their own.
- One mount may remember for a minute, or for ever on large machines, what another has changed meanwhile. Processes of
  one run read what the first one wrote, so it must not: the options below switch that off.
"""

import re

from ddad_jax.errors import InputError
from launch.job import Job
from launch.shell import Value

ROOT = "/tmp/ddad-buckets"  # the same on all workers, who must agree on the workdir; writable without being root
OPTIONS = ("--implicit-dirs", "--metadata-cache-ttl-secs=0", "--metadata-cache-negative-ttl-secs=0")
ROLE = "roles/storage.objectUser"
_GIVEN = re.compile(r"(--?[^=]+=)?(gs://.*)", re.DOTALL)
_NAME = r"[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]|(?=.{3,222}$)[a-z0-9][a-z0-9_-]{0,62}(\.[a-z0-9_-]{1,63})*"


def is_bucket(path: str) -> bool:
    """Whether a path names a bucket, not a folder."""
    return path.startswith("gs://")


def split_bucket_url(url: str, flag: str = "--workdir") -> tuple[str, str]:
    """gs://bucket/some/path -> ("bucket", "some/path"); the path may be empty.

    Raises:
      InputError: no such bucket or object can exist, naming ``flag``.
    """
    bucket, _, path = url.removeprefix("gs://").rstrip("/").partition("/")
    if not re.fullmatch(_NAME, bucket):
        raise InputError(
            f"{flag}={url!r}: {bucket!r} is no name of a bucket: expected gs://bucket/path, where the bucket "
            "has 3 to 63 lower-case letters, digits, - and _"
        )
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise InputError(f"{flag}={url!r}: expected a path without empty parts, . , .. and control characters")
    return bucket, path


def mounted(job: Job, root: str = ROOT, *, single: bool = False) -> tuple[Job, tuple[str, ...]]:
    """The job as the workers run it, and the buckets they mount for it.

    Args:
      root: folder of the workers; gs://bucket/path becomes root/bucket/path.
      single: one bucket is mounted at ``root`` itself, by somebody else; gs://bucket/path becomes root/path.

    Raises:
      InputError: a gs:// argument that names nothing, or several buckets where ``single``.
    """
    bucket_names: dict[str, None] = {}

    def folder(url: str, flag: str) -> str:
        bucket, path = split_bucket_url(url, flag)
        bucket_names[bucket] = None
        return "/".join(part for part in (root, "" if single else bucket, path) if part)

    arguments, before = [], "--workdir"
    for argument in job.arguments:
        given = _GIVEN.fullmatch(argument)
        arguments.append((given[1] or "") + folder(given[2], (given[1] or before).rstrip("=")) if given else argument)
        before = argument if argument.startswith("-") else before
    workdir = folder(job.workdir, "--workdir") if is_bucket(job.workdir) else job.workdir
    if single and len(bucket_names) > 1:
        raise InputError(
            f"gs:// arguments name the buckets {', '.join(bucket_names)}: expected one, which the storage holds"
        )
    return job._replace(arguments=tuple(arguments), workdir=workdir), tuple(bucket_names)


def need_folders(job: Job, target: str) -> None:
    """For a target whose machines mount nothing by themselves: raises InputError for every gs:// argument."""
    for argument in (job.workdir, *job.arguments):
        given = _GIVEN.fullmatch(argument)
        if given:
            bucket, path = split_bucket_url(given[2], (given[1] or "--workdir").rstrip("="))
            at = f"{ROOT}/{bucket}"
            raise InputError(
                f"{given[0]}: --target={target} runs on plain folders and mounts no bucket. Mount it on every machine "
                f"(mkdir -p {at}; gcsfuse {' '.join(OPTIONS)} {bucket} {at}) and give {at}{'/' * bool(path)}{path}"
            )


def shell_values(job: Job, buckets: tuple[str, ...], root: str) -> dict[str, Value]:
    """Variables of ``scripts/buckets.sh``: what is mounted where, which of it is the workdir. job: as it was given."""
    workdir_parts = split_bucket_url(job.workdir) if is_bucket(job.workdir) else ("", "")
    return {
        "buckets": buckets,
        "mounts": root,
        "mount_options": OPTIONS,
        "workdir_bucket": workdir_parts[0],
        "workdir_url": job.workdir if workdir_parts[0] else "",
        "role": ROLE,
    }
