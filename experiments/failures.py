"""What the machine, and not the program, fails at: full disks, devices and memory that are not there, in one line."""

import os
import subprocess
import sys
from pathlib import Path

import jax

from ddad_jax.errors import InputError, disk_failure, first_line

_TRIED = "DDAD_XLA_FLAGS_TRIED"
"""Variable of the environment: flags that XLA took, before this program started itself again."""
_OF_MEMORY = {"RESOURCE_EXHAUSTED", "Out of memory", "out of memory"}
"""Words of JAX and XLA for memory that is short."""


def in_a_line(error: BaseException, workdir: Path | None = None) -> InputError | None:
    """What a user is to read of ``error``; None where it is none of the machine's failures.

    workdir: is named where the system does not say which file could not be written.
    """
    if isinstance(error, OSError) and (
        failure := disk_failure(error, f"a file of {workdir}" if workdir else "an output")
    ):
        return failure
    if isinstance(error, MemoryError) or (
        isinstance(error, jax.errors.JaxRuntimeError) and any(words in str(error) for words in _OF_MEMORY)
    ):
        return InputError(
            f"out of memory ({first_line(error, 160)}). Take a smaller --config.train.batch_size, "
            "--config.adapt.batch_size or --config.sample.batch_size, or a smaller --config.data.size"
        )
    return None


def require_devices() -> str:
    """JAX's devices wake; the name of their platform.

    Raises:
      InputError: they do not.
    """
    _require_flags()
    try:
        return jax.default_backend()
    except (RuntimeError, ValueError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS")
        named = f"JAX_PLATFORMS={asked}" if asked else "JAX_PLATFORMS (not set)"
        raise InputError(
            f"{named}: no such device can be used here ({first_line(error)}). Expected a platform that this machine "
            "and the installed jaxlib have: JAX_PLATFORMS=cpu runs everywhere, unset takes the best one there is"
        ) from None


def _require_flags() -> None:
    """XLA ends the process over a flag that it does not know, so a process of its own has to try them, once."""
    given = os.environ.get("XLA_FLAGS", "")
    if not given.strip() or os.environ.get(_TRIED) == given:
        return
    code = "from jaxlib import xla_client; xla_client.make_cpu_client()"
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, errors="replace")
    if tried.returncode and (complaints := [line for line in tried.stderr.splitlines() if "XLA_FLAGS" in line]):
        raise InputError(f"XLA_FLAGS={given}: XLA refuses it ({complaints[0][-200:]}); mend or unset XLA_FLAGS")
    os.environ[_TRIED] = given
