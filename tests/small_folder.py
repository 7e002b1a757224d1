"""Fixtures that tests of the engine and of its programs share: a small folder of pictures."""

from pathlib import Path

import pytest
import tiny_runs

from ddad_jax.engine.data.splits import Data, load_data


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def data(root: Path) -> Data:
    return load_data(tiny_runs.config(root))
