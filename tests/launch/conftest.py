"""What these tests share: a python that starts at once, tiny data, and the results of one process, not launched."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import quick_python
import tiny_runs
from launched import DEVICES, HOW, SETTINGS, Bench


@pytest.fixture(scope="session")
def quick(quick: Path, compiled_once: str) -> Iterator[Path]:
    """In place of python; those that it starts, and whatever they start, find what it does."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in quick_python.environment(compiled_once).items():
            patch.setenv(name, value)
        yield quick


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
