"""L1. What a data set is once it is in memory: every picture at one square size, on the host.

The modules beside this one fill these tuples (`folder`, `visa`, `mtd`, `cans`), cut them (`split`) and
order them (`batches`). Nothing here knows of models.
"""

from typing import NamedTuple, TypeVar

import jax
import numpy as np

AnyArray = TypeVar("AnyArray", np.ndarray, jax.Array)


class ImageSet(NamedTuple):
    """n pictures of h x w (h = w) with what is known of them; *host* arrays."""

    images: np.ndarray
    """uint8 [n, h, w, 3], RGB."""
    labels: np.ndarray
    """int32 [n], 1 = anomalous."""
    masks: np.ndarray
    """bool [n, h, w], True = defective pixel; all False for good images and where the mask is unknown."""
    has_mask: np.ndarray
    """bool [n], whether the mask is known; True for every good image."""
    defects: tuple[str, ...]
    """The kind of each picture: "good", "crack", ..."""
    names: tuple[str, ...]
    """Path of each picture relative to the data set's root, with forward slashes."""
    sizes: tuple[tuple[int, int], ...] = ()
    """(height, width) in pixels of each before it was resized; empty where that is not known."""


class DataSet(NamedTuple):
    """Pictures to learn from, all normal, and pictures to be tested on."""

    name: str
    train: ImageSet
    test: ImageSet
    recordings: tuple[str, ...] = ()
    """The recording, or the part, that each picture of ``train`` shows; empty where that is not known."""
    notes: tuple[str, ...] = ()
    """What whoever takes it should be told: files that were not used, and how others were understood."""


def to_float(u8: AnyArray) -> AnyArray:
    """What the networks see: x = 2 (u8 / 255) - 1.

    Args:
      u8: uint8, any shape, 0..255; NumPy or JAX, so it also runs on the device.

    Returns:
      float32 of the same shape in [-1, 1].

    Source: DDAD, published code, data set class; division first, so that the rounding is the same.

    >>> to_float(np.array([0, 255], np.uint8)).tolist()
    [-1.0, 1.0]
    """
    return u8.astype(np.float32) / np.float32(255) * np.float32(2) - np.float32(1)
