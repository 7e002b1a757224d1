"""Is everybody there? Process 0 counts the others at the run's address before JAX does.

JAX waits for all processes, too, but when it has waited in vain it ends its process at once, from C++ and with no
exception, so that nobody is told in plain words who is missing. This exchange takes a line each way:

    process r -> 0:  "ddad r n"              r is here and believes that the run has n processes
    process 0 -> r:  "ddad ok"     once all are there; or what is wrong in the place of ok, or that the time is over
"""

import contextlib
import re
import socket
import time

from ddad_jax.errors import InputError

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
