"""Damage that trainings put on normal pictures: how much of which, and foreign textures for it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddad_jax.data.read import expanded
from ddad_jax.engine.settings.need import Need
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.setting import COUNT, TEXT, number, setting
from ddad_jax.synthetic.blending import DamageShares
from ddad_jax.synthetic.textures import procedural_textures, texture_pictures

_SHARE = number(0, 1, "a share from 0 to 1")


@dataclass(frozen=True)
class TextureSettings(Section):
    """Where foreign textures are from."""

    textures: str = setting("", TEXT, "folder of pictures, such as DTD's; empty: procedural ones")
    texture_count: int = setting(512, COUNT, "at most so many of the folder's, or procedural ones")


def texture_columns(s: TextureSettings) -> dict[str, str]:
    """What rows say of them: the folder's own name, without the path of one machine."""
    return {"textures": Path(s.textures).resolve().name if s.textures else "procedural"}


def texture_words(s: TextureSettings) -> str:
    """Where they are from, in words."""
    return "foreign textures: " + ("those of a folder" if s.textures else f"{s.texture_count} procedural ones")


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


@dataclass(frozen=True)
class DamageSettings(TextureSettings):
    """What is done to the pictures of a training."""

    perlin: float = setting(0.5, _SHARE, "of pictures that get a foreign texture behind a mask of noise; published 0.5")
    cutout: float = setting(0.0, _SHARE, "of pictures that get a white rectangle; published 0, with it 0.25 of each")
    turned: float = setting(0.3, _SHARE, "of pictures that are turned by -90 to 90 degrees besides; published 0.3")


def shares_of(s: DamageSettings) -> DamageShares:
    return DamageShares(s.perlin, s.cutout, s.turned)


def need_shares(s: DamageSettings, need: Need) -> None:
    """Not more than every picture is damaged."""
    rest = f"at most {1 - s.perlin:g}, as damage.perlin = {s.perlin:g}"
    need("damage.cutout", s.cutout + s.perlin <= 1.0, rest, ["damage.perlin"])


def damage_doubts(s: DamageSettings) -> list[str]:
    if s.perlin or s.cutout:
        return []
    return [f"--config.damage.perlin={s.perlin}: no picture is damaged, so nothing is learnt to be marked"]
