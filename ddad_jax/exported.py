"""L5. A detector as one file that runs without this package: its program, its arrays, and what its numbers mean.

The file is a zip, nothing in it compressed and nothing pickled:

* ``program``: (arrays, pictures uint8 [b, h, w, 3], seeds uint32 [b]) -> (maps float32 [b, m, m], scores float32 [b]),
  as ``jax.export`` serialises it;
* ``arrays.npz``: weights and calibration, "0", "1", ...: the first argument;
* ``ddad.json``: the signature of the program, what the scores mean, and the SHA-256 of the other two.

``ddad_jax/engine/detector/run_exported.py`` reads the file with JAX, NumPy and flatbuffers, which JAX wants for it.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from ddad_jax.errors import InputError
from ddad_jax.picture_program import PictureProgram
from ddad_jax.types import Array

FORMAT = 2
"""Of the file: readers refuse another number. 1 held the bare StableHLO."""

PLATFORMS = ("cpu", "cuda", "tpu", "rocm")


class Lowered(NamedTuple):
    """A detector's program and what it is called with. arrays: its first argument. batch: 0 where any number of
    pictures will do."""

    program: export.Exported
    arrays: list[np.ndarray]
    batch: int


def lowered(detector: PictureProgram, size: int, *, platforms: Sequence[str], batch: int = 0) -> Lowered:
    """The program of ``detector`` for pictures [b, size, size, 3].

    Args:
      platforms: of PLATFORMS.
      batch: b; 0 for any.

    Raises:
      InputError: an unknown platform, a negative batch, a detector over several devices, or one that is told where
        each picture starts.
    """
    if not platforms or (unknown := [name for name in platforms if name not in PLATFORMS]):
        told = ", ".join(unknown) if platforms else "none"
        raise InputError(f"platforms: {told}: expected some of {', '.join(PLATFORMS)}")
    if batch < 0:
        raise InputError(f"batch = {batch}: expected a number of pictures, or 0 for any")
    if detector.mesh is not None:
        raise InputError("a detector over several devices: expected one on a single device")
    one = detector.pairs(np.zeros((1, size, size, 3), np.uint8))
    leaves, tree = jax.tree.flatten((detector.weights, detector.constants))

    def run(arrays: list[Array], pictures: Array, seeds: Array) -> tuple[Array, Array]:
        weights, constants = jax.tree.unflatten(tree, arrays)
        return tuple(detector.function(weights, detector.repeated(one, pictures, seeds), constants))  # type: ignore[return-value]

    arrays = [np.asarray(leaf) for leaf in leaves]
    (b,) = export.symbolic_shape("b") if batch == 0 else (batch,)
    shapes = (
        [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays],
        jax.ShapeDtypeStruct((b, size, size, 3), jnp.uint8),
        jax.ShapeDtypeStruct((b,), jnp.uint32),
    )
    return Lowered(export.export(jax.jit(run), platforms=list(platforms))(*shapes), arrays, batch)


def packed(found: Lowered, meaning: Mapping[str, Any]) -> bytes:
    """The content of the file.

    Args:
      meaning: what readers are told besides, under names of the caller's; plain JSON.
    """
    exported = found.program
    parts = {"program": bytes(exported.serialize()), "arrays.npz": _npz(found.arrays)}
    picture, maps = exported.in_avals[-2].shape[1:3], exported.out_avals[0].shape[1:]
    told = {
        "format": FORMAT,
        **meaning,
        "batch": found.batch,
        "picture": list(picture),
        "map": list(maps),
        "jax": jax.__version__,
        "platforms": list(exported.platforms),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {"ddad.json": json.dumps(told, indent=1).encode(), **parts}.items():
            # The same model gives the same file: no time of day in it.
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _npz(arrays: Sequence[np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{f"{i}": array for i, array in enumerate(arrays)})  # type: ignore[arg-type]
    return buffer.getvalue()
