"""The folders of numbers that the methods beside DDAD are held to: where they are and what is in them.

DDAD_GOLDEN_METHODS names the folder of all; without it ``../shared/golden_methods`` is read where it exists, else the
small copy in ``tests/golden_methods``. Every test is driven by the manifest of its method, so another folder of the
same format, with other cases, seeds and sizes, runs unchanged.
"""

import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from golden_files import assert_close, tensors_of

_HERE = Path(__file__).parent
_SHARED = _HERE.parent.parent / "shared" / "golden_methods"


@functools.cache
def folder(method: str) -> Path:
    named = os.environ.get("DDAD_GOLDEN_METHODS")
    if named:
        return Path(named) / method
    return (_SHARED if (_SHARED / method / "manifest.json").exists() else _HERE / "golden_methods") / method


@functools.cache
def _read(method: str, file: str) -> dict[str, Any]:
    return json.loads((folder(method) / file).read_text())


def cases(method: str, *having: str) -> list[Any]:
    """(name, case) of all whose file has every one of these arrays."""
    manifest = _read(method, "manifest.json")
    # Some list the arrays of all files together, some those of a case with it.
    listed = manifest.get("arrays", {})
    return [
        (name, c) for name, c in manifest["cases"].items() if set(having) <= set(c.get("arrays") or listed[c["file"]])
    ]


@functools.cache
def arrays(method: str, file: str) -> dict[str, np.ndarray]:
    with np.load(folder(method) / file, allow_pickle=False) as archive:
        return {k: archive[k] for k in archive.files}


@functools.cache
def state(method: str, file: str) -> dict[str, np.ndarray]:
    """Weights by the rule of ``golden_files``, without the counters of BatchNorm, which nothing here has."""
    tensors = tensors_of(_read(method, file), f"{method}/{file}")
    return {key: value for key, value in tensors.items() if not key.endswith("num_batches_tracked")}


def held(method: str, file: str, name: str, actual: Any, least: float = 1e-6) -> None:
    """Within ten times of what float32 lost in the published code itself, of the largest value; at least ``least``."""
    observed = _read(method, "tolerances.json")["observed"].get(file, {}).get(name, {})
    assert_close(actual, arrays(method, file)[name], max(10 * observed.get("rel_to_max", 0.0), least))
