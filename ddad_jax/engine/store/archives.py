"""Reading a .npz that an earlier run left: whole, or refused by its name."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from ddad_jax.errors import InputError

_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading says of a file that is cut off, has other bytes than were written, or is none of ours at all; a flipped
bit in a header may ask for a password or a compression that nobody knows, which zipfile calls a RuntimeError."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of the file, by name; their checksums hold.

    Raises:
      InputError: it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except _DAMAGED as error:
        # What NumPy and zipfile say advises on their own arguments.
        why = getattr(error, "strerror", None) or f"damaged: {type(error).__name__}"
        raise InputError(f"{path}: cannot be read ({why}); expected what a run wrote there. Delete it") from None
