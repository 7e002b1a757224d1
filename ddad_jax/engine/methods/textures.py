"""Foreign textures for methods that damage pictures: a folder of the user's, or procedural ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddad_jax.data.read import expanded
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.setting import COUNT, TEXT, setting
from ddad_jax.synthetic.textures import procedural_textures, texture_pictures


@dataclass(frozen=True)
class TextureSettings(Section):
    """Where foreign textures are from."""

    textures: str = setting("", TEXT, "folder of pictures, such as DTD's; empty: procedural ones")
    texture_count: int = setting(512, COUNT, "at most so many of the folder's, or procedural ones")


def texture_columns(s: TextureSettings) -> dict[str, str]:
    """What rows say of them: the folder's own name, without the path of one machine."""
    return {"textures": Path(s.textures).name or "procedural"}


def textures_of(s: TextureSettings, size: int, seed: int) -> np.ndarray:
    """uint8 [n, size, size, 3].

    Raises:
      InputError: the folder holds none, or one that cannot be read.
    """
    if s.textures:
        return texture_pictures(
            Path(expanded(s.textures, "--config.damage.textures")), size, s.texture_count, seed=seed
        )
    return procedural_textures(s.texture_count, size, seed=seed)
