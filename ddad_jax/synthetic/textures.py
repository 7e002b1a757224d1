"""L1. Foreign textures: the pictures of a folder, such as DTD's, or procedural ones; *host*, seeded.

Deviation: DRAEM takes textures from DTD (5640 pictures); where a user has no such folder, eight procedural families
stand in for it.
"""

from pathlib import Path

import cv2
import numpy as np

from ddad_jax.data.read import SUFFIXES, named_as_picture, read_image
from ddad_jax.errors import InputError


def texture_pictures(folder: Path, size: int, most: int, *, seed: int) -> np.ndarray:
    """Pictures below a folder, brought to size x size, uint8 [n, size, size, 3]; at most ``most``, drawn by ``seed``.

    Raises:
      InputError: there are none, or one cannot be read.
    """
    paths = sorted(path for path in folder.rglob("*") if named_as_picture(path) and path.is_file())
    if not paths:
        raise InputError(
            f"{folder}: holds no picture ({', '.join(sorted(SUFFIXES))}); expected a folder of textures, as DTD's"
        )
    chosen = np.random.default_rng(seed).permutation(len(paths))[:most]
    return np.stack([read_image(paths[i], size) for i in sorted(chosen)])


def smooth_field(rng: np.random.Generator, size: int) -> np.ndarray:
    """Value noise of one to five octaves in cells that are longer one way, in [0, 1], float32 [size, size]."""
    field, weight = np.zeros((size, size), np.float32), 1.0
    rows, columns = 2.0 ** rng.uniform(0.5, 4.5, 2)
    for _ in range(rng.integers(1, 6)):
        cells = rng.random((int(rows) + 2, int(columns) + 2), np.float32)
        field += weight * cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC)
        rows, columns, weight = min(2 * rows, size / 2), min(2 * columns, size / 2), weight * rng.uniform(0.3, 0.8)
    low, high = field.min(), field.max()
    return (field - low) / max(float(high - low), 1e-6)


def _grid(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of pixels along a drawn direction and across it, in periods of 4 pixels to a third of the side."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(4), np.log(max(5, size / 3))))
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    return along / period, across / period


def _stripes(rng: np.random.Generator, size: int) -> np.ndarray:
    along, _ = _grid(rng, size)
    return (along % 1.0 < rng.uniform(0.2, 0.8)).astype(np.float32)


def _checks(rng: np.random.Generator, size: int) -> np.ndarray:
    along, across = _grid(rng, size)
    return ((np.floor(along) + np.floor(across)) % 2).astype(np.float32)


def _dots(rng: np.random.Generator, size: int) -> np.ndarray:
    along, across = _grid(rng, size)
    distance = np.hypot(along % 1.0 - 0.5, across % 1.0 - 0.5)
    return np.clip(4 * (rng.uniform(0.15, 0.45) - distance) + 0.5, 0, 1).astype(np.float32)


def _cells(rng: np.random.Generator, size: int) -> np.ndarray:
    """Distance to the edges between the neighbourhoods of scattered points."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    nearest, second = np.full((2, size, size), 2.0 * size, np.float32)
    for at_y, at_x in rng.uniform(0, size, (rng.integers(8, 64), 2)):
        distance = np.hypot(y - at_y, x - at_x)
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    return np.clip((second - nearest) / (size / 12), 0, 1).astype(np.float32)


def _brushed(rng: np.random.Generator, size: int) -> np.ndarray:
    grain = rng.random((size, size), np.float32)
    length = int(rng.integers(5, max(6, size // 4)))
    kernel = np.full((1, length), 1.0 / length, np.float32)
    long = cv2.filter2D(grain, -1, kernel if rng.random() < 0.5 else kernel.T)
    return np.clip((long - long.mean()) / (4 * long.std() + 1e-6) + 0.5, 0, 1)


def _marble(rng: np.random.Generator, size: int) -> np.ndarray:
    along, _ = _grid(rng, size)
    return (0.5 + 0.5 * np.sin(2 * np.pi * along + rng.uniform(2, 10) * smooth_field(rng, size))).astype(np.float32)


def _plain(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.full((size, size), rng.random(), np.float32)


FAMILIES = (smooth_field, _stripes, _checks, _dots, _cells, _brushed, _marble, _plain)


def procedural_texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """One of ``FAMILIES`` through a palette of three drawn colours, with a little grain; uint8 [size, size, 3].

    Every third one is grey, and the others more or less colourful: colour alone must not tell damage from grey parts.
    """
    field = FAMILIES[rng.integers(len(FAMILIES))](rng, size)
    palette, saturation = rng.random((3, 3)), max(0.0, rng.uniform(-0.5, 1.0))
    grey = palette.mean(1, keepdims=True)
    palette = grey + saturation * (palette - grey)
    colours = np.stack([np.interp(field, (0.0, 0.5, 1.0), palette[:, i]) for i in range(3)], -1)
    colours += rng.uniform(0, 0.06) * rng.standard_normal((size, size, 1))
    return np.clip(np.round(255 * colours), 0, 255).astype(np.uint8)


def procedural_textures(n: int, size: int, *, seed: int) -> np.ndarray:
    """uint8 [n, size, size, 3], all a function of the arguments."""
    return np.stack([procedural_texture(np.random.default_rng([seed, i]), size) for i in range(n)])
