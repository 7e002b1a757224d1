"""L1. Every pixel format to 8 bits; ``ddad_jax.data.read`` says how, and why.

``ddad_jax/engine/detector/run_exported.py`` carries a copy of ``to_eight_bits``; ``tests/data/test_odd_pictures.py``
compares them.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from ddad_jax.data.decode import Encoded
from ddad_jax.errors import InputError

_STRIP = 256  # rows in float64 at a time: a large picture need not be so as a whole


def to_eight_bits(picture: Image.Image, path: Path | Encoded) -> Image.Image:
    """Mode "L" for grey, "RGB" for everything else.

    Raises:
      InputError: as ``wide_range``.
    """
    if is_wide(picture):
        values = np.asarray(picture)
        full_scale = wide_range(values, picture.mode, path)
        narrow = np.empty(values.shape, np.uint8)
        for top in range(0, len(values), _STRIP):
            rows = slice(top, top + _STRIP)
            narrow[rows] = np.round(values[rows].astype(np.float64) * (255.0 / full_scale)).astype(np.uint8)
        return Image.fromarray(narrow)
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        black = Image.new("RGBA", layers.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, layers).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def is_wide(picture: Image.Image) -> bool:
    """Whether its values are grey ones of more than 8 bits, or of floating point."""
    return picture.mode.startswith("I") or picture.mode == "F"


def wide_values(picture: Image.Image, path: Path | Encoded) -> tuple[np.ndarray, float]:
    """Values of more than 8 bits as float64 [h, w], and what counts as white: 65535, or 1 for floats.

    Raises:
      InputError: as ``wide_range``.
    """
    values = np.asarray(picture).astype(np.float64)
    return values, wide_range(values, picture.mode, path)


def wide_range(values: np.ndarray, mode: str, path: Path | Encoded) -> float:
    """What counts as white in a picture of that mode.

    Raises:
      InputError: a value with no meaning in 8 bits, NaN among them.
    """
    full_scale = 1.0 if mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= full_scale):  # also catches NaN
        raise InputError(
            f"{path}: pixel values from {values.min():g} to {values.max():g}; expected 0 to {full_scale:g} "
            f"(mode {mode}). Save it as 8-bit or 16-bit PNG or TIFF."
        )
    return full_scale
