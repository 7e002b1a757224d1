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
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import jax

from ddad_jax.errors import InputError

# --- Is everybody there? Process 0 counts the others at the run's address before JAX does.
#
# JAX waits for all processes, too, but when it has waited in vain it ends its process at once, from C++ and with no
# exception, so that nobody is told in plain words who is missing. This exchange takes a line each way:
#
#     process r -> 0:  "ddad r n"              r is here and believes that the run has n processes
#     process 0 -> r:  "ddad ok"     once all are there; or what is wrong in the place of ok, or that the time is over

OK = "ok"
OURS = b"ddad "
"""How every answer begins: what else listens at a port may say anything, and go on for ever."""
LONGEST = 4096
"""Bytes of an answer."""
RETRY_S = 0.1


def roll_call(address: str, count: int, own: int, seconds: float) -> None:
    """Return once all ``count`` processes have called this; the port is free again then.

    Args:
      address: host:port of process 0; own: number of this process, from 0; seconds: that a process may be late.

    Raises:
      InputError: on every process that came: others did not, by their numbers; a number came twice; one was told
        another ``count``; the address cannot be listened at (process 0), or does not answer (the others).
    """
    host, _, port = address.rpartition(":")
    answer = _report(host.strip("[]"), int(port), count, own, seconds) if own else _count(int(port), count, seconds)
    if answer != OK:
        raise InputError(f"--coordinator={address}: {answer}")


def _count(port: int, count: int, seconds: float) -> str:
    """Process 0: hear the others until all have come, and give each the same answer."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    until, here, answer = time.monotonic() + seconds, {0}, OK
    with contextlib.ExitStack() as opened:
        try:
            listening = socket.create_server(("", port), family=family, dualstack_ipv6=family is socket.AF_INET6)
        except OSError as error:
            return f"process 0 cannot listen there ({error.strerror}); name another port of its machine"
        opened.enter_context(listening)
        callers: list[socket.socket] = []
        while len(here) < count and answer == OK:
            try:
                listening.settimeout(max(until - time.monotonic(), 0.001))
                caller = opened.enter_context(listening.accept()[0])
            except TimeoutError:
                missing = ", ".join(str(rank) for rank in range(count) if rank not in here)
                answer = (
                    f"process {missing} of {count} did not arrive within --host_timeout_s={seconds:g}. See what it "
                    f"printed, whether it can reach this address, and that each --process_id from 0 to {count - 1} is "
                    "started"
                )
                break
            said = _line(caller)
            if not said:
                continue  # somebody else's business
            rank, believed = int(said[1]), int(said[2])
            if believed != count:
                answer = f"--num_processes={believed} on process {rank}, {count} on process 0: expected the same on all"
            elif rank in here:
                answer = f"--process_id={rank}: two processes have it; expected 0 to {count - 1}, each once"
            here.add(rank)
            callers.append(caller)
        for caller in callers:
            with contextlib.suppress(OSError):  # it did not wait for the answer
                caller.sendall(OURS + answer.encode())
    return answer


def _line(caller: socket.socket) -> re.Match[bytes] | None:
    caller.settimeout(2.0)
    try:
        return re.fullmatch(rb"ddad (\d+) (\d+)\n", caller.makefile("rb").readline(64))
    except OSError:
        return None


def _answer(to_first: socket.socket) -> str:
    """What process 0 says before it closes the connection, "" for nothing; of a stranger, that it is one."""
    said = b""
    while (piece := to_first.recv(LONGEST)) and len(said) <= LONGEST:
        said += piece
        if not said.startswith(OURS[: len(said)]):
            break
    if said and (not said.startswith(OURS) or len(said) > LONGEST):
        return "something else listens there, which is not process 0 of this run; name another port"
    return said.removeprefix(OURS).decode(errors="replace")


def _report(host: str, port: int, count: int, own: int, seconds: float) -> str:
    """Every other process: come to process 0, which may start later, and wait for its answer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with socket.create_connection((host, port), timeout=max(until - time.monotonic(), 0.001)) as to_first:
                to_first.sendall(f"ddad {own} {count}\n".encode())
                # It may have begun to wait only now.
                to_first.settimeout(seconds + 5.0)
                if answer := _answer(to_first):
                    return answer
        except OSError:
            pass  # not there yet, or gone again
        time.sleep(RETRY_S)
    return f"process 0, the coordinator, did not answer there within --host_timeout_s={seconds:g}; see what it printed"


T = TypeVar("T")
POLL_MS = 500
_number = itertools.count()
_timeout_s: float = 300
"""As ``join`` was told."""


def join(
    coordinator: str = "", num_processes: int | None = None, process_id: int | None = None, *, timeout_s: float = 300
) -> None:
    """Find the other processes; before anything touches a device.

    Args:
      coordinator: host:port of process 0, auto on a TPU pod or under SLURM, or empty: this process is the run.
      num_processes: of the run; process_id: of this process, from 0; neither is needed with auto.
      timeout_s: that a process may be awaited, or be silent, before it counts as lost.

    Raises:
      InputError: values that contradict each other, or a process that did not arrive in time, by its number. (With
        --coordinator=auto only JAX knows the address; it then ends the process itself and names the missing "task".)
    """
    global _timeout_s
    address, count, own, _timeout_s = coordinator, num_processes, process_id, timeout_s
    if not address:
        for name, value in (("num_processes", count), ("process_id", own)):
            if value is not None:
                raise InputError(f"--{name}={value}: expected --coordinator=host:port (of process 0), too")
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
        roll_call(address, count, own, timeout_s)
    try:
        jax.distributed.initialize(
            None if auto else address,
            count,
            own,
            # Under srun JAX would otherwise take this process for one of many of its node, with one GPU of its own.
            cluster_detection_method=None if auto else "deactivate",
            initialization_timeout=int(timeout_s),
            heartbeat_timeout_seconds=int(timeout_s),
            shutdown_timeout_seconds=int(timeout_s),
        )
    except ValueError as error:
        raise InputError(f"--coordinator={address}: neither a TPU pod nor SLURM was found ({error}); name it") from None


def several_processes() -> bool:
    """Whether other processes belong to this run; touches no device where there are none."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this process writes the files of the run."""
    return not several_processes() or jax.process_index() == 0


def agree(what: str, values: Mapping[str, Any], mend: str) -> None:
    """All processes must have equal values; ``what`` they are.

    Raises:
      InputError: on every process, naming what differs and on which.
    """
    if not several_processes():
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
    if not several_processes():
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


def tell_hosts(error: InputError) -> None:
    """Let the others know why this process ends, so that those who wait for it end, too."""
    if not several_processes():
        return
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # process 0, which would pass it on, has ended itself
        _client().key_value_set(f"ended/{jax.process_index()}", f"process {jax.process_index()}: {error}")


def leave(why: str, status: int = 1) -> NoReturn:
    """End this process of several at once: an orderly end would wait for all the others, one of which may be lost."""
    print(f"error: process {jax.process_index()}: {why}. The same command goes on from what is done", file=sys.stderr)
    if sys.stdout:  # all but the first process print nothing (``experiments.entry``)
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _exchanged(what: str, text: str) -> list[str]:
    """The texts of all processes, in their order."""
    key = f"all/{next(_number)}/{what}"
    _client().key_value_set(f"{key}/{jax.process_index()}", text)
    return [_awaited(f"{key}/{rank}", rank, what, _timeout_s) for rank in range(jax.process_count())]


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
