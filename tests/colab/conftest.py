"""Where kernels find what was compiled already: by the tests of this session, by other notebooks, by themselves."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "colab")]
import running  # noqa: E402


@pytest.fixture(scope="session")
def env(compiled_once: str) -> dict[str, str]:
    return running.environment(compiled_once)
