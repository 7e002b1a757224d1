"""What DDAD asks of its pictures before it learns."""

from pathlib import Path

import pytest
import tiny_runs

from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods.ddad.method import DDAD
from ddad_jax.engine.tracking import silent
from ddad_jax.errors import InputError


def test_adaptation_needs_two_pictures_to_pair_and_says_so_before_training(tmp_path: Path) -> None:
    c = tiny_runs.config(tiny_runs.folder(tmp_path, n_train=2), adapt__epochs=1)
    data = load_data(c)
    assert data.n_fit == 1
    with pytest.raises(InputError, match="1 normal picture is left to train on.*adapt.epochs=0"):
        DDAD().fit(c, tmp_path / "w", data, silent)
    assert not (tmp_path / "w").exists()
