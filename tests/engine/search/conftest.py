"""What these tests share: the settings of a small model that is searched over."""

from pathlib import Path
from typing import Any

import pytest
import tiny_runs

from ddad_jax.engine.methods.ddad.sections import DDADSettings

CHANGES: dict[str, Any] = {
    "synthetic_defects": 6,
    "synthetic_normals": 4,
    "sample__eta": 0.0,
    "sample__start_noise": 0.0,
}


@pytest.fixture(scope="module")
def config(root: Path) -> DDADSettings:
    return tiny_runs.config(root, **CHANGES)
