"""Several processes of one run on this machine, forked from one that has imported everything already."""

import atexit
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import quick_compiling

from ddad_jax.engine import pipeline
from experiments import entry

FORKED = multiprocessing.get_context("forkserver")
DEVICES = "--xla_force_host_platform_device_count"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _run(flags: list[str], environment: dict[str, str], printed: str) -> None:
    # The server may be older than the test that wants this: without it the program starts itself anew for its memory,
    # and what it would start is the server.
    os.environ.update({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0", **environment})
    for stream in (1, 2):
        os.dup2(os.open(printed, os.O_CREAT | os.O_WRONLY | os.O_APPEND), stream)
    sys.argv = ["sweep", *flags]
    try:
        entry.run_experiment(lambda config, workdir: pipeline.run_all(config, workdir, sweep=True))
    finally:
        # multiprocessing leaves without them, and JAX takes its leave of the other processes in one.
        atexit._run_exitfuncs()


class Run:
    """One run of ``count`` processes, two devices each, of which those in ``only`` are started.

    flags: of all; more, environment: of one, by its number. slurm: as that would start them, so that they find each
    other themselves. A run of one process has one device and looks for nobody.
    """

    def __init__(
        self,
        folder: Path,
        flags: Sequence[str],
        *,
        count: int = 2,
        only: Sequence[int] | None = None,
        more: dict[int, list[str]] | None = None,
        environment: dict[int, dict[str, str]] | None = None,
        timeout_s: int = 60,
        slurm: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = str(free_port())
        self.printed = {rank: folder / f"printed{rank}.txt" for rank in (range(count) if only is None else only)}
        self.processes = {}
        for rank, file in self.printed.items():
            every = [*flags, *(more or {}).get(rank, []), f"--host_timeout_s={timeout_s}"]
            own = quick_compiling.added({"XLA_FLAGS": f"{DEVICES}={2 if count > 1 else 1}"})
            own |= (environment or {}).get(rank, {})
            if slurm:
                every += ["--coordinator=auto"]
                own |= {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "127.0.0.1", "JAX_COORDINATOR_PORT": port}
                own |= {"SLURM_NTASKS": str(count), "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
            elif count > 1:
                every += [f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}", f"--process_id={rank}"]
            self.processes[rank] = FORKED.Process(target=_run, args=(every, own, str(file)), daemon=True)
            self.processes[rank].start()

    def ended(self, seconds: float = 120.0) -> dict[int, int]:
        """Status of each process, all ended by themselves."""
        until = time.monotonic() + seconds
        for process in self.processes.values():
            process.join(max(until - time.monotonic(), 0.01))
        late = [rank for rank, process in self.processes.items() if process.is_alive()]
        for rank in late:
            self.processes[rank].kill()
        assert not late, {rank: self.text(rank)[-3000:] for rank in self.printed}
        return {rank: process.exitcode or 0 for rank, process in self.processes.items()}

    def kill(self, rank: int, when: Callable[[], bool], seconds: float = 120.0) -> None:
        """kill -9 of one process as soon as ``when`` says so."""
        until = time.monotonic() + seconds
        while not when():
            assert self.processes[rank].is_alive() and time.monotonic() < until, self.text(rank)
            time.sleep(0.005)
        self.processes[rank].kill()

    def text(self, rank: int) -> str:
        return self.printed[rank].read_text() if self.printed[rank].exists() else ""
