"""L8. What a target makes of a job: files and commands, nothing of which has happened yet."""

from collections.abc import Mapping
from typing import NamedTuple


class LaunchCommand(NamedTuple):
    """A command of this machine. argv: never through a shell here; what another machine's shell sees is quoted in it.
    what: it does, in a few words. leashed: it ends with the launcher, even where that is killed; for what has nothing
    to take down in the end."""

    what: str
    argv: tuple[str, ...]
    leashed: bool = False


class Tool(NamedTuple):
    """A program that ``--execute`` needs on this machine, and how one gets it."""

    name: str
    how: str


class Rendered(NamedTuple):
    """files: name -> text, written below --out before the first step, which finds them there. steps: in this order,
    each waited for. notes: what a reader should know before paying for it."""

    files: Mapping[str, str]
    steps: tuple[LaunchCommand, ...]
    tools: tuple[Tool, ...] = ()
    notes: tuple[str, ...] = ()
