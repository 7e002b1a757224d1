"""Timings that can be compared: compilation apart, results waited for, medians of repetitions, the device's own peak
measured beside them."""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Timed(NamedTuple):
    """Seconds of one call: median and 95th percentile of the repetitions."""

    median: float
    p95: float
    repeats: int


def time_in_turns(calls: Sequence[Callable[[], Any]], repeats: int) -> list[list[float]]:
    """Seconds of every repetition of each call, one warm-up each, taken in turns: A B C A B C ...

    A machine that slows down during the measurement slows all of them, so their ratio stays fair.
    """
    for call in calls:
        jax.block_until_ready(call())
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, own in zip(calls, seconds, strict=True):
            started = time.perf_counter()
            jax.block_until_ready(call())
            own.append(time.perf_counter() - started)
    return seconds


def timed(seconds: Sequence[float]) -> Timed:
    return Timed(statistics.median(seconds), float(np.quantile(seconds, 0.95)), len(seconds))


def ratio_of(slow: Sequence[float], fast: Sequence[float]) -> Timed:
    """Of neighbouring repetitions, slow over fast: median, and the 95th percentile of the ratios."""
    return timed([a / b for a, b in zip(slow, fast, strict=True)])


def matmul(dtype: jnp.dtype, *, size: int | None = None) -> tuple[Callable[[], Any], int]:
    """(one large square matrix product in ``dtype`` on the default device, its multiply-adds), to time beside others.

    8192 a side on an accelerator, 2048 on a CPU.
    """
    side = size or (2048 if jax.default_backend() == "cpu" else 8192)
    # Of ones and zeros a device may multiply more in a second than of other numbers, for they cost less power.
    a = jax.random.normal(jax.random.key(0), (side, side), dtype)
    product = jax.jit(lambda a: a @ a)
    return lambda: product(a), side**3


def matmul_peak(dtype: jnp.dtype, *, size: int | None = None, repeats: int = 5) -> float:
    """Multiply-adds a second of ``matmul``: what a program can hope for here, whatever a data sheet says."""
    call, macs = matmul(dtype, size=size)
    (seconds,) = time_in_turns([call], repeats)
    return macs / statistics.median(seconds)


def peak_memory() -> dict[str, float]:
    """GiB: the most that this process has held resident so far, and that the device has, where it says; for a figure
    of one measurement alone, make it in a process of its own."""
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform != "darwin" else 2**30
    found = {"host_gib_so_far": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        found["device_gib_so_far"] = stats["peak_bytes_in_use"] / 2**30
    return found


def program_memory(compiled: Any) -> dict[str, float]:
    """GiB that a compiled program needs for arguments, results and what is between, as XLA says; nothing where it does
    not."""
    found = compiled.memory_analysis()
    if found is None:
        return {}
    parts = found.argument_size_in_bytes, found.output_size_in_bytes, found.temp_size_in_bytes
    return {"program_gib": (sum(parts) - found.alias_size_in_bytes) / 2**30}
