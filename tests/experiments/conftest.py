"""What these tests share: a small folder of pictures, and programs that are each compiled once a session."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
import tiny_runs
from jax.experimental.compilation_cache import compilation_cache

from experiments.model import Data, load_data

SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@pytest.fixture(scope="package", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The folder of compiled programs, for subprocesses (JAX_COMPILATION_CACHE_DIR)."""
    folder = str(tmp_path_factory.mktemp("compiled"))
    settings = {**SETTINGS, "jax_compilation_cache_dir": folder}
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield folder
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def data(root: Path) -> Data:
    return load_data(tiny_runs.config(root))
