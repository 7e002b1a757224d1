"""Reading .pth and .safetensors: what PyTorch wrote comes back, what is not tensors never runs.

``torch_files/zip.pth`` and ``legacy.pth``: ``torch.save`` of torch 2.13.0 (the second with
``_use_new_zipfile_serialization=False``) of {"state_dict": EXPECTED under "module." names, "epoch": 3};
"transposed", "tail" and "every_third" are views of one storage, "parameter" is a torch.nn.Linear's.
"""

import collections
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from ddad_jax.errors import InputError
from ddad_jax.torch_file import read_state_dict

FILES = Path(__file__).parent / "torch_files"
BASE = np.arange(24, dtype=np.float32)
EXPECTED: dict[str, np.ndarray] = {
    "plain": BASE.reshape(2, 3, 4),
    "transposed": BASE.reshape(4, 6).T,
    "tail": BASE[20:],
    "every_third": BASE[1::3],
    "parameter.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "parameter.bias": np.array([-1, -2], np.float32),
    "half": np.array([0.5, -1.25, 65504], np.float16),
    "bfloat": np.array([1.5, -3.0, 2.0**100], ml_dtypes.bfloat16),
    "double": np.array([1 / 3]),
    "counter": np.array(7),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
    "int8": np.array([-128, 127], np.int8),
}
LEGACY_HEAD = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))


def _assert_equal(state: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(state) == list(expected)
    for name, value in expected.items():
        assert state[name].dtype == value.dtype and state[name].flags.c_contiguous, name
        np.testing.assert_array_equal(state[name], value, err_msg=name)


def _zip(path: Path, pickled: bytes, storages: dict[str, bytes], **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        for name, data in entries.items():
            archive.writestr(f"archive/{name}", data)
    return path


def _legacy(path: Path, pickled: bytes, storages: dict[str, bytes]) -> Path:
    parts = [struct.pack("<q", len(data) // 4) + data for data in storages.values()]
    path.write_bytes(LEGACY_HEAD + pickled + pickle.dumps(list(storages), 2) + b"".join(parts))
    return path


WRITERS: list[Callable[[Path, bytes, dict[str, bytes]], Path]] = [_zip, _legacy]


def _global(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def _text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value)) + value.encode()


def _integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(b"I%d\n" % v for v in values) + b"t"


def _state_pickle(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """{"a": a float tensor of that size and stride in storage "0"}, in PyTorch's opcodes."""
    storage = b"(" + _text("storage") + _global("torch", "FloatStorage") + _text("0") + _text("cpu")
    storage += b"I8\ntQ"
    tensor = _global("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + b"I%d\n" % offset
    tensor += _integers(size) + _integers(stride) + b"I00\n" + _global("collections", "OrderedDict") + b")RtR"
    return b"\x80\x02}" + _text("a") + tensor + b"s."


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth"])
def test_what_torch_wrote_comes_back(name: str) -> None:
    _assert_equal(read_state_dict(FILES / name), EXPECTED)


def test_a_checkpoint_without_ending_is_read(tmp_path: Path) -> None:
    (tmp_path / "feat3").write_bytes((FILES / "legacy.pth").read_bytes())
    _assert_equal(read_state_dict(tmp_path / "feat3"), EXPECTED)


def test_safetensors_come_back_without_their_module_prefix(tmp_path: Path) -> None:
    expected = {k: np.ascontiguousarray(EXPECTED[k]) for k in ("counter", "half", "plain", "transposed")}
    safetensors.numpy.save_file({f"module.{k}": v for k, v in expected.items()}, tmp_path / "w.safetensors")
    state = read_state_dict(tmp_path / "w.safetensors")
    _assert_equal({k: state[k] for k in sorted(state)}, expected)


@pytest.mark.parametrize("write", WRITERS)
def test_strided_and_shifted_views(write: Callable[..., Path], tmp_path: Path) -> None:
    storage = {"0": np.arange(8, dtype="<f4").tobytes()}
    state = read_state_dict(write(tmp_path / "w.pth", _state_pickle((2, 3), (1, 2), offset=1), storage))
    np.testing.assert_array_equal(state["a"], [[1, 3, 5], [2, 4, 6]])


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((2, 5), (5, 1), 0),
        ((8,), (1,), 1),
        ((2,), (8,), 0),
        ((10**9,), (0,), 0),
        ((2,), (-1,), 1),
        ((2,), (1,), -1),
    ],
)
def test_a_view_outside_its_storage_is_refused(
    write: Callable[..., Path], size: Any, stride: Any, offset: int, tmp_path: Path
) -> None:
    storage = {"0": np.arange(8, dtype="<f4").tobytes()}
    with pytest.raises(InputError, match=r"w\.pth: truncated, damaged or not a PyTorch file"):
        read_state_dict(write(tmp_path / "w.pth", _state_pickle(size, stride, offset), storage))


class _Runs:
    """Unpickled by the standard unpickler, it creates a file."""

    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.witness)!r}, 'w').close()",)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_malicious_pickle_does_not_run(write: Callable[..., Path], protocol: int, tmp_path: Path) -> None:
    witness = tmp_path / "it_ran"
    payload = pickle.dumps({"state_dict": {"a": _Runs(witness)}}, protocol)
    pickle.loads(payload)
    assert witness.exists(), "the payload is meant to work where it is let"
    witness.unlink()
    with pytest.raises(InputError, match=r"w\.pth: refused, nothing was executed: .*builtin(__|s)\.exec"):
        read_state_dict(write(tmp_path / "w.pth", payload, {}))
    assert not witness.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("collections", "OrderedDict.fromkeys"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch.serialization", "_load"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("torch", "ComplexFloatStorage"),
    ],
)
def test_every_name_outside_the_list_is_refused_by_name(module: str, name: str, tmp_path: Path) -> None:
    dotted = b"\x80\x04" + _text(module) + _text(name) + b"\x93."
    with pytest.raises(InputError, match=rf"asks for {module}\.{name}"):
        read_state_dict(_zip(tmp_path / "w.pth", dotted, {}))


@pytest.mark.parametrize(("module", "name"), [("torch._utils", "_rebuild_tensor_v2"), ("collections", "OrderedDict")])
def test_a_pickle_cannot_set_attributes_on_what_it_is_given(module: str, name: str, tmp_path: Path) -> None:
    state = b"(" + b"N}" + _text("__doc__") + _text("changed") + b"st"
    before = collections.OrderedDict.__doc__
    with pytest.raises(InputError, match="damaged or not a PyTorch file"):
        read_state_dict(_zip(tmp_path / "w.pth", b"\x80\x02" + _global(module, name) + state + b"b.", {}))
    assert collections.OrderedDict.__doc__ == before


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth"])
def test_a_truncated_file_is_told(name: str, tmp_path: Path) -> None:
    whole = (FILES / name).read_bytes()
    for keep in (0, 3, 40, len(whole) // 2, len(whole) - 4):
        (tmp_path / name).write_bytes(whole[:keep])
        with pytest.raises(InputError, match=rf"{name}: truncated, damaged or not a PyTorch file"):
            read_state_dict(tmp_path / name)


def test_garbage_is_told_whatever_the_garbage(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    rng = np.random.default_rng(0)
    for head in (b"", b"PK\x03\x04", b"\x80\x02", LEGACY_HEAD, b"<!DOCTYPE html>"):
        for _ in range(20):
            path.write_bytes(head + rng.bytes(200))
            with pytest.raises(InputError, match=r"w\.pth"):
                read_state_dict(path)


def test_flipped_bytes_never_raise_anything_but_input_errors(tmp_path: Path) -> None:
    whole = (FILES / "legacy.pth").read_bytes()
    rng = np.random.default_rng(1)
    for at in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[at] = rng.integers(256)
        (tmp_path / "w.pth").write_bytes(damaged)
        try:
            read_state_dict(tmp_path / "w.pth")  # a flip inside a number or a name goes unnoticed
        except InputError as error:
            assert "w.pth" in str(error)


def test_damaged_safetensors_and_foreign_zips_are_told(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match=r"w\.safetensors: damaged"):
        read_state_dict(tmp_path / "w.safetensors")
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("readme.txt", "no weights here")
    with pytest.raises(InputError, match="without a data.pkl"):
        read_state_dict(tmp_path / "w.pth")


def test_compressed_and_big_endian_zips_are_refused(tmp_path: Path) -> None:
    pickled, storage = _state_pickle((8,), (1,)), {"0": bytes(32)}
    with pytest.raises(InputError, match="big-endian"):
        read_state_dict(_zip(tmp_path / "w.pth", pickled, storage, byteorder=b"big"))
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickled)
    with pytest.raises(InputError, match="compressed"):
        read_state_dict(tmp_path / "w.pth")


def test_what_is_no_state_dict_is_told(tmp_path: Path) -> None:
    for content, message in (
        ([1, 2], "found a list"),
        ({"epoch": 3}, "entry 'epoch' is a int, expected a tensor"),
        ({"model": {"a": {}}}, "entry 'a' is a dict"),
    ):
        with pytest.raises(InputError, match=message):
            read_state_dict(_zip(tmp_path / "w.pth", pickle.dumps(content, 2), {}))


def test_wrong_ending_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights\.onnx: weights are read from \.pth, \.pt, \.safetensors"):
        read_state_dict(tmp_path / "weights.onnx")
    with pytest.raises(InputError, match="no such weights file"):
        read_state_dict(tmp_path / "absent.pth")
    with pytest.raises(InputError, match="no such weights file"):
        read_state_dict(tmp_path)


def test_the_same_name_with_and_without_module_is_refused(tmp_path: Path) -> None:
    twice = {"a": np.zeros(2, np.float32), "module.a": np.ones(2, np.float32)}
    safetensors.numpy.save_file(twice, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="with and without the prefix"):
        read_state_dict(tmp_path / "w.safetensors")
