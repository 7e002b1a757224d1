"""Several processes, one run: how they find each other, what they must agree on, and who writes.

Every process of a pod or a cluster is started with the same command line; they share one file system. Each puts its
own rows on its own devices (``ddad_jax.mesh``), the first one writes every file, and the others wait for it where
they would read what it wrote. A process that is lost ends the others within ``--host_timeout_s``; the same command
line, with as many processes or fewer (whose devices must still divide ``train.batch_size``), then goes on from the
files as after any other kill.
"""

import contextlib
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import jax
from absl import flags

from ddad_jax.errors import InputError
from experiments.rollcall import roll_call

COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "Address of process 0 as host:port, where one run has several processes; auto on a TPU pod or "
    "under SLURM, where JAX finds the others itself. Empty: this process is the run.",
)  # fmt: skip
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Of the run; not needed with --coordinator=auto.")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "Of this process, from 0; not needed with --coordinator=auto.")
HOST_TIMEOUT = flags.DEFINE_integer(
    "host_timeout_s", 300, "Seconds that a process may be awaited, or be silent, before it counts as lost.",
    lower_bound=1,
)  # fmt: skip

T = TypeVar("T")
POLL_MS = 500
_number = itertools.count()


def join() -> None:
    """Find the other processes, as the flags say; before anything touches a device.

    Raises:
      InputError: flags that contradict each other, or a process that did not arrive in time, by its number. (With
        --coordinator=auto only JAX knows the address; it then ends the process itself and names the missing "task".)
    """
    address, count, own = COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value
    if not address:
        for flag in (NUM_PROCESSES, PROCESS_ID):
            if flag.value is not None:
                raise InputError(f"--{flag.name}={flag.value}: expected --coordinator=host:port (of process 0), too")
        return
    auto = address == "auto"
    if not auto:
        named = re.fullmatch(r".+:(\d{1,5})", address)
        if not named or not 1 <= int(named[1]) <= 65535:
            raise InputError(
                f"--coordinator={address}: expected host:port of process 0 (10.0.0.1:8476, a port from 1 to 65535), or "
                "auto"
            )
        if count is None or count < 1:
            raise InputError(f"--num_processes={count}: expected how many processes the run has, 1 or more")
        if own is None or not 0 <= own < count:
            raise InputError(f"--process_id={own}: expected the number of this process, 0 to {count - 1}")
        roll_call(address, count, own, HOST_TIMEOUT.value)
    try:
        jax.distributed.initialize(
            None if auto else address,
            count,
            own,
            # Under srun JAX would otherwise take this process for one of many of its node, with one GPU of its own.
            cluster_detection_method=None if auto else "deactivate",
            initialization_timeout=HOST_TIMEOUT.value,
            heartbeat_timeout_seconds=HOST_TIMEOUT.value,
            shutdown_timeout_seconds=HOST_TIMEOUT.value,
        )
    except ValueError as error:
        raise InputError(f"--coordinator={address}: neither a TPU pod nor SLURM was found ({error}); name it") from None


def several() -> bool:
    """Whether other processes belong to this run; touches no device where there are none."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this process writes the files of the run."""
    return not several() or jax.process_index() == 0


def agree(what: str, values: Mapping[str, Any], mend: str) -> None:
    """All processes must have equal values; ``what`` they are.

    Raises:
      InputError: on every process, naming what differs and on which.
    """
    if not several():
        return
    every = [dict(_flat(json.loads(text))) for text in _exchanged(what, json.dumps(values, default=str))]
    for rank, theirs in enumerate(every):
        names = sorted(name for name in every[0].keys() | theirs.keys() if every[0].get(name) != theirs.get(name))
        if names:
            shown = "\n  ".join(
                f"{name}: process 0 {every[0].get(name)!r}, process {rank} {theirs.get(name)!r}" for name in names[:10]
            )
            raise InputError(f"the processes of this run disagree about {what}:\n  {shown}\n{mend}")


def first(what: str, work: Callable[[], T]) -> T:
    """``work()`` of the first process, for all: the others wait for it as long as it lives.

    Args:
      what: is done, in words.
      work: calls nothing of this module, as the others do not run it; JSON gives its result back as it went.

    Raises:
      InputError: on every process, where the first one's work raises it.
    """
    if not several():
        return work()
    key = f"first/{next(_number)}/{what}"
    if jax.process_index():
        return json.loads(_awaited(key, 0, what, seconds=None))
    value = work()
    _client().key_value_set(key, json.dumps(value))
    return value


def in_turn(what: str, work: Callable[[], T]) -> T:
    """``work()`` of the first process, then of the others, who find on the disk what it made and only read it.

    As with ``first``, ``work`` calls nothing of this module, and no program over the devices of several processes.

    Raises:
      InputError: on every process, where the first one's work raises it.
    """
    if not is_first():
        first(what, lambda: None)
        return work()
    value = work()
    first(what, lambda: None)
    return value


def tell(error: InputError) -> None:
    """Let the others know why this process ends, so that those who wait for it end, too."""
    if not several():
        return
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # process 0, which would pass it on, has ended itself
        _client().key_value_set(f"ended/{jax.process_index()}", f"process {jax.process_index()}: {error}")


def leave(why: str, status: int = 1) -> NoReturn:
    """End this process of several at once: an orderly end would wait for all the others, one of which may be lost."""
    print(f"error: process {jax.process_index()}: {why}. The same command goes on from what is done", file=sys.stderr)
    if sys.stdout:  # all but the first process print nothing (``entry.run``)
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _exchanged(what: str, text: str) -> list[str]:
    """The texts of all processes, in their order."""
    key = f"all/{next(_number)}/{what}"
    _client().key_value_set(f"{key}/{jax.process_index()}", text)
    return [_awaited(f"{key}/{rank}", rank, what, HOST_TIMEOUT.value) for rank in range(jax.process_count())]


def _awaited(key: str, rank: int, what: str, seconds: float | None) -> str:
    """The text that process ``rank`` publishes under ``key``."""
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        try:
            return _client().blocking_key_value_get(key, POLL_MS)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
        for _, why in _client().key_value_dir_get("ended"):
            raise InputError(why)
        if until is not None and time.monotonic() > until:
            leave(
                f"process {rank} of {jax.process_count()} did not say what it has for {what} within --host_timeout_s="
                f"{seconds:g}: see what it printed, or raise --host_timeout_s",
                status=2,
            )


def _client() -> Any:
    """The coordination service that ``jax.distributed`` runs on process 0: text under names, for all.

    Private, and asked for nowhere else, because nothing public can do this: a collective of
    ``jax.experimental.multihost_utils`` cannot be given a time limit, cannot name who is missing, and keeps devices
    busy while one process works for hours. Orbax uses the same calls.
    """
    from jax._src import distributed

    return distributed.global_state.client


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """("data.size", 256) and so on, of nested settings."""
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return found
