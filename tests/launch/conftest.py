"""What these tests share: a python that starts at once, tiny data, and the results of one process, not launched."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import quick_python
import tiny_runs
from launched import DEVICES, HOW, ROOT, SETTINGS, Bench


@pytest.fixture(scope="session")
def quick(compiled_once: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """In place of python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "data"))))
        patch.setenv("JAX_PLATFORMS", "cpu")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", compiled_once)
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
        with quick_python.stand_in(tmp_path_factory.mktemp("quick")) as executable:
            yield executable


@pytest.fixture(scope="session")
def bench(quick: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    base = tmp_path_factory.mktemp("launch")
    root = tiny_runs.folder(base / "data")
    (base / "settings.py").write_text(SETTINGS % (str(root), HOW))
    return Bench(quick, base / "settings.py")


@pytest.fixture(scope="session")
def alone(bench: Bench) -> Path:
    """The workdir that one process with ``DEVICES`` devices left."""
    workdir = bench.config.with_name("alone")
    command = ("-m", "experiments.sweep", f"--config={bench.config}", f"--workdir={workdir}")
    status, printed = bench.run(*command, XLA_FLAGS=f"--xla_force_host_platform_device_count={DEVICES}")
    assert status == 0, printed
    return workdir
