"""How XLA compiles for tests: soon done rather than fast to run, since most of a test's time goes into compiling."""

import os
import subprocess
import sys

QUICK = (
    "--xla_backend_optimization_level=0",
    # Each fusion would go through the passes of MLIR, which take longer than those of LLVM.
    "--xla_cpu_use_fusion_emitters=false",
    # Modules of LLVM for one program, each with costs of its own.
    "--xla_cpu_parallel_codegen_split_count=1",
)


def flags(given: str) -> str:
    """XLA_FLAGS: those given and the quick ones that they do not name."""
    missing = [flag for flag in QUICK if flag.partition("=")[0] not in given]
    # They come and go between versions of XLA, which ends a process whose flags it does not know.
    if missing and not _starts(missing):
        missing = [flag for flag in missing if _starts([flag])]
    return " ".join([given, *missing]).strip()


def added(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a process, with the quick flags of this one where XLA_FLAGS is another."""
    given = environment.get("XLA_FLAGS", "")
    quick = [flag for flag in os.environ["XLA_FLAGS"].split() if flag in QUICK and flag.partition("=")[0] not in given]
    return environment | {"XLA_FLAGS": " ".join([given, *quick]).strip()}


def _starts(flags: list[str]) -> bool:
    code = "from jaxlib import xla_client; xla_client.make_cpu_client()"
    environment = os.environ | {"XLA_FLAGS": " ".join(flags)}
    return not subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).returncode
