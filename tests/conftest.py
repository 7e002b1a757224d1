"""Every test runs with rank promotion forbidden: broadcasting over a missing axis is how batches leak.

Most of a test's time goes into compiling, so programs are optimised less than in use, and each is compiled once for
all files, workers (pytest-xdist) and subprocesses of a session.
"""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import quick_compiling

# Read when JAX wakes its devices; workers and subprocesses inherit it.
os.environ["XLA_FLAGS"] = quick_compiling.flags(os.environ.get("XLA_FLAGS", ""))

import jax  # noqa: E402
import pytest  # noqa: E402
import quick_python  # noqa: E402
from jax.experimental.compilation_cache import compilation_cache  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_enable_x64", False)


LONG = (
    "engine/test_kill_and_resume.py", "engine/test_pipeline.py", "engine/methods/test_every_method.py",
    "experiments/papers/test_line_clearance.py", "engine/methods/ddad/test_student.py", "engine/test_hosts.py",
    "engine/methods/ddad/test_grids.py", "launch/test_local.py", "engine/sweep/test_shards.py", "test_mesh.py",
    "colab/test_notebooks.py", "experiments/papers/test_paper_runs.py", "engine/search/test_search.py",
    "engine/detector/test_frames.py", "test_docs.py", "test_packaging.py", "launch/test_ssh.py", "test_golden_adapt.py",
    "test_golden_train.py", "test_golden_unet.py", "test_golden_features.py",
)  # fmt: skip
"""Files that take longest. They begin, so that no worker ends with one of them while the others have nothing left."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    at = {Path(__file__).parent / name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: at.get(item.path, len(at)))


def pytest_collection_finish() -> None:
    """What is imported now stays: the collector of garbage need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of compiled programs, for subprocesses too: of this session, or JAX_COMPILATION_CACHE_DIR."""
    own = tmp_path_factory.getbasetemp()
    # The folders of the workers lie in that of the session.
    of_session = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "compiled"
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(of_session)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compilation_cache.reset_cache()
    return folder


@pytest.fixture(scope="session")
def quick(compiled_once: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """In place of python, for ``-m MODULE``; see quick_python.py."""
    with quick_python.stand_in(tmp_path_factory.mktemp("quick"), compiled_once) as executable:
        yield executable


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)
