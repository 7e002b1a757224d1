"""Programs that XLA has compiled once are read from the disk by the next run on such a machine."""

import hashlib
import logging
import os
import platform
from pathlib import Path

import jax

log = logging.getLogger(__name__)


def keep_compiled() -> None:
    """Keep what takes longer than a second to compile in ``usual_folder``, which may be deleted at any time.

    Of JAX's own variables ``JAX_COMPILATION_CACHE_DIR`` names another folder, and with
    ``JAX_ENABLE_COMPILATION_CACHE=false`` there is none.
    """
    now = jax.config.values
    if now["jax_compilation_cache_dir"] or not now["jax_enable_compilation_cache"]:
        return
    try:
        folder = usual_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        log.warning(
            "no folder for compiled programs can be made (%s), so every run compiles its own anew; "
            "JAX_COMPILATION_CACHE_DIR names another folder", error,
        )  # fmt: skip
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def usual_folder() -> Path:
    """In the user's cache, one for each kind of processor: home folders are shared by machines, and what is compiled
    for a CPU runs on its like."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "ddad_jax" / "compiled" / _processor()


def _processor() -> str:
    about = f"{platform.machine()} {platform.processor()}"
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    # x86 and Arm name them so.
    about += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"
