"""Textures: a folder's pictures, or procedural ones, the same whenever they are asked for."""

from pathlib import Path

import numpy as np
import pytest
from trees import save

from ddad_jax.errors import InputError
from ddad_jax.synthetic.textures import procedural_textures, texture_pictures


def test_procedural_textures_are_a_function_of_their_seed_and_differ() -> None:
    found = procedural_textures(24, 48, seed=3)
    assert found.shape == (24, 48, 48, 3) and found.dtype == np.uint8
    np.testing.assert_array_equal(procedural_textures(5, 48, seed=3), found[:5])
    assert len({texture.tobytes() for texture in found}) == 24
    assert (found.std((1, 2)).max(-1) > 3).mean() > 0.7  # but for plain ones
    grey = (found == found[..., :1]).all((1, 2, 3))
    assert 0 < grey.sum() < 16  # colour alone does not tell them from grey parts
    assert np.abs(procedural_textures(1, 48, seed=4).astype(int) - found[:1]).max() > 0


def test_textures_of_a_folder_are_read_wherever_they_lie_in_it(tmp_path: Path) -> None:
    for i in range(5):
        (tmp_path / f"{i % 2}").mkdir(exist_ok=True)
        save(np.full((20, 30, 3), 40 * i, np.uint8), tmp_path / f"{i % 2}" / f"{i}.png")
    found = texture_pictures(tmp_path, 16, 99, seed=0)
    assert found.shape == (5, 16, 16, 3) and {*found[:, 0, 0, 0].tolist()} == {0, 40, 80, 120, 160}
    assert len(texture_pictures(tmp_path, 16, 3, seed=0)) == 3


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match=r"holds no picture .*expected a folder of textures"):
        texture_pictures(tmp_path, 16, 3, seed=0)
    with pytest.raises(InputError, match="nowhere"):
        texture_pictures(tmp_path / "nowhere", 16, 3, seed=0)
