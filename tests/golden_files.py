"""The folder of numbers the parity tests compare with: where it is and how its weights are made.

DDAD_GOLDEN names the folder; without it ``../shared/golden`` is read where it exists, else the small
copy in ``tests/golden``. Every test is driven by the folder's ``manifest.json``, so another folder of
the same format, with other cases, seeds and sizes, runs unchanged.
"""

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

_HERE = Path(__file__).parent
_SHARED = _HERE.parent.parent / "shared" / "golden"


@functools.cache
def folder() -> Path:
    named = os.environ.get("DDAD_GOLDEN")
    if named:
        return Path(named)
    return _SHARED if (_SHARED / "manifest.json").exists() else _HERE / "golden"


@functools.cache
def manifest() -> dict[str, Any]:
    return json.loads((folder() / "manifest.json").read_text())


def cases(prefix: str) -> list[tuple[str, dict[str, Any]]]:
    """All (name, case) whose name starts with ``prefix``; a case that is a list is flattened."""
    found = []
    for name, case in manifest()["cases"].items():
        if name.startswith(prefix):
            found += [(c["name"], c) for c in case] if isinstance(case, list) else [(name, case)]
    return found


@functools.cache
def arrays(file: str) -> dict[str, np.ndarray]:
    with np.load(folder() / file, allow_pickle=False) as archive:
        return {k: archive[k] for k in archive.files}


@functools.cache
def state(file: str) -> dict[str, np.ndarray]:
    """The torch state dict a list of names and shapes stands for, made by the folder's rule."""
    return tensors_of(json.loads((folder() / file).read_text()), file)


def tensors_of(spec: dict[str, Any], file: str) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for i, (key, shape) in enumerate(spec["keys"]):
        if key.endswith("num_batches_tracked"):
            tensors[key] = np.zeros(shape, np.int64)
            continue
        z = np.random.default_rng([spec["seed"], i]).standard_normal(shape)
        if key.endswith(".W"):
            value = 30.0 * z
        elif len(shape) >= 2:
            value = z * np.sqrt(1.0 / np.prod(shape[1:]))
        elif key.endswith("running_mean"):
            value = 0.1 * z
        elif key.endswith("running_var"):
            value = 1.0 + 0.1 * np.abs(z)
        elif key.endswith(("weight", "gamma")):
            value = 1.0 + 0.1 * z
        else:
            value = 0.1 * z
        factor = spec.get("multiply", {}).get(key.rpartition(".")[2], 1.0)
        tensors[key] = (factor * value).astype(np.float32)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in tensors.values())).hexdigest()
    assert digest == spec["sha256"], f"{file}: the generated weights are not the ones the numbers were made with"
    return tensors


def nhwc(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, -3, -1)


def nchw(x: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(x), -1, -3)


def assert_close(actual: Any, expected: np.ndarray, relative: float, absolute: float = 0.0) -> None:
    """|actual - expected| at most ``relative`` times the largest |expected| (or ``absolute``), everywhere."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    worst, limit = np.abs(actual - expected).max(), max(relative * np.abs(expected).max(), absolute)
    assert worst <= limit, f"largest difference {worst:.3g} exceeds {limit:.3g}"
