"""L8. What is launched: one ``experiments`` command, the same for every process of it."""

from typing import NamedTuple


class Job(NamedTuple):
    """program: "experiments.sweep"; arguments: its flags, as given, without a shell's quotes; workdir: what they say
    --workdir is, a path or gs://bucket/path; shards: runs that share the grid, 1: one run of all processes."""

    program: str
    arguments: tuple[str, ...]
    workdir: str
    shards: int = 1
