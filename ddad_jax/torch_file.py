"""L1. Reading PyTorch state dicts without PyTorch: .pth (zip and legacy pickle) and .safetensors.

A .pth file is a pickle, and a pickle can run any program. The unpickler here knows the handful of
names a state dict needs, all of them our own inert stand-ins, and refuses every other name before
anything is imported or called.
"""

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from ddad_jax.errors import InputError

SUFFIXES = ("", ".pth", ".pt", ".safetensors")
"""Accepted endings; none at all because the published DDAD code names its checkpoints "feat3" or "2000"."""

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_DTYPES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

_WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training programs put the state dict beside their optimiser's."""

_BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What the unpickler and the zip reader may raise on bytes that are not what they claim to be."""


class _StorageType(NamedTuple):
    dtype: np.dtype


class _Storage(NamedTuple):
    dtype: np.dtype
    key: str
    offset: int


class _Tensor(NamedTuple):
    """A tensor as the pickle describes it: a strided view of a storage, in elements."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _RebuildTensor:
    # No instance attributes and nothing global: a pickle can also *set* attributes on what it is given.
    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
        whole = (offset, *size, *stride)
        if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in whole):
            raise pickle.UnpicklingError("a tensor without a storage, or with a negative size")
        return _Tensor(storage, offset, tuple(size), tuple(stride))


class _RebuildParameter:
    __slots__ = ()

    def __call__(self, tensor: Any, *_: Any) -> Any:
        return tensor


class _StateDictUnpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, path: Path):
        super().__init__(stream, encoding="utf-8")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _RebuildTensor()
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _RebuildParameter()
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        raise InputError(
            f"{self._path}: refused, nothing was executed: the file asks for {module}.{name}, and only "
            "tensors are read; save the network's state_dict(), or convert the file to .safetensors"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _location, _numel, *view = pid
        offset = view[0][1] if view and view[0] is not None else 0
        if kind != "storage" or not isinstance(storage_type, _StorageType) or type(offset) is not int:
            raise pickle.UnpicklingError(f"unknown persistent object {kind!r}")
        return _Storage(storage_type.dtype, str(key), offset)


def _array(tensor: _Tensor, storages: Callable[[str], memoryview]) -> np.ndarray:
    storage, _, size, stride = tensor
    dtype = storage.dtype
    count = math.prod(size)
    if count == 0:
        return np.zeros(size, dtype)
    data = storages(storage.key)
    # More elements than the storage holds (stride 0) would let a small file ask for any memory.
    if count * dtype.itemsize > len(data):
        raise pickle.UnpicklingError(f"a tensor of shape {size} is larger than its storage")
    begin = (storage.offset + tensor.offset) * dtype.itemsize
    # This constructor checks that the strided view stays inside the buffer.
    return np.ndarray(size, dtype, data, begin, [n * dtype.itemsize for n in stride]).copy(order="C")


def _tensors(found: Any, storages: Callable[[str], memoryview], path: Path) -> dict[str, np.ndarray]:
    for wrapper in _WRAPPERS:
        if isinstance(found, dict) and isinstance(dict.get(found, wrapper), dict):
            found = dict.get(found, wrapper)
            break
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a state dict, names with tensors, found a {type(found).__name__}")
    state = {}
    for name, value in dict.items(found):
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise InputError(
                f"{path}: entry {name!r} is a {type(value).__name__}, expected a tensor; "
                f"a state dict may stand alone or under one of {', '.join(_WRAPPERS)}"
            )
        state[name] = _array(value, storages)
    return state


def _read_zip(data: bytes, path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickles = [n for n in archive.namelist() if n.endswith("/data.pkl") or n == "data.pkl"]
        if len(pickles) != 1:
            raise InputError(f"{path}: a zip file without a data.pkl is not a PyTorch file")
        folder = pickles[0].removesuffix("data.pkl")

        def read(name: str) -> bytes:
            # PyTorch stores without compression; what is compressed may unfold to any size.
            if archive.getinfo(folder + name).compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(f"{name} is compressed, PyTorch never does that")
            return archive.read(folder + name)

        if folder + "byteorder" in archive.namelist() and read("byteorder").strip() != b"little":
            raise InputError(f"{path}: written on a big-endian machine; save it again on another")
        found = _StateDictUnpickler(io.BytesIO(read("data.pkl")), path).load()
        return _tensors(found, lambda key: memoryview(read(f"data/{key}")), path)


def _read_legacy(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """Pickles (magic, protocol, machine, the dict, storage keys), then each storage: int64 n, n numbers."""
    stream = io.BytesIO(data)

    def load() -> Any:
        return _StateDictUnpickler(stream, path).load()

    if load() != _LEGACY_MAGIC:
        raise pickle.UnpicklingError("the first number is not PyTorch's")
    if load() != _LEGACY_PROTOCOL:
        raise pickle.UnpicklingError("unknown version of the legacy format")
    machine = load()
    if not isinstance(machine, dict) or dict.get(machine, "little_endian") is not True:
        raise InputError(f"{path}: written on a big-endian machine; save it again on another")
    sizes: dict[str, int] = {}

    class Unpickler(_StateDictUnpickler):
        def persistent_load(self, pid: Any) -> _Storage:
            storage = super().persistent_load(pid)
            sizes[storage.key] = storage.dtype.itemsize
            return storage

    found = Unpickler(stream, path).load()
    parts: dict[str, memoryview] = {}
    for key in map(str, load()):
        (numel,) = struct.unpack("<q", stream.read(8))
        begin, length = stream.tell(), numel * sizes[key]
        if numel < 0 or begin + length > len(data):
            raise EOFError("the file ends inside a tensor")
        parts[key] = memoryview(data)[begin : begin + length]
        stream.seek(begin + length)
    return _tensors(found, parts.__getitem__, path)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged or not a .safetensors file ({error}); fetch it again") from error


def _without_module(state: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    if len(plain) != len(state):
        raise InputError(f"{path}: the same tensor is there with and without the prefix 'module.'")
    return plain


def read_state_dict(path: Path | str) -> dict[str, np.ndarray]:
    """The tensors of a weights file by name, as C-ordered arrays of the type they have in the file.

    Reads .safetensors, and PyTorch's zip and legacy (before 1.6) formats under .pth, .pt or no ending
    at all. A state dict inside {"state_dict": ...}, {"model": ...} or {"model_state_dict": ...} is
    found; the prefix "module." of data-parallel training is dropped. bfloat16 comes as ml_dtypes' type.

    Raises:
      InputError: no such file, another ending, a truncated or foreign file, or a pickle that asks for
        anything but tensors (nothing of it is executed).
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        endings = ", ".join(s for s in SUFFIXES if s)
        raise InputError(f"{path}: weights are read from {endings} or files without ending, not {path.suffix}")
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
    if path.suffix.lower() == ".safetensors":
        return _without_module(_read_safetensors(path), path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    reader = _read_zip if data[:4] == b"PK\x03\x04" else _read_legacy
    try:
        return _without_module(reader(data, path), path)
    except InputError:
        raise  # a ValueError too, and already worded
    except _BROKEN as error:
        raise InputError(
            f"{path}: truncated, damaged or not a PyTorch file; fetch it again ({type(error).__name__}: {error})"
        ) from error
