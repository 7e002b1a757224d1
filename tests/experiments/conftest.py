"""Runs of these tests compile the same few programs over and over: each is compiled once a session."""

from collections.abc import Iterator

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

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
