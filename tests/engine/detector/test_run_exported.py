"""The script that runs an exported detector: JAX, NumPy, flatbuffers, and one line for everything that is wrong."""

import dataclasses
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jax import export
from PIL import Image
from test_exported import SIZE, pictures, rising, written

from ddad_jax.data.read import read_image
from ddad_jax.engine.detector import run_exported

SCRIPT = Path(run_exported.__file__)
BLOCKED = ("ddad_jax", "experiments", "flax", "optax", "orbax", "absl", "ml_collections", "PIL", "cv2")
WITHOUT = f"""
import runpy, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
runpy.run_path(sys.argv[0], run_name="__main__")
"""
STRIKE = """
import os, zipfile
from pathlib import Path
def strike(now):
    if now:
        os.kill(os.getpid(), {number})
Path.is_file = lambda path: path.name == "a.ddad" and strike(True)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("exported"), rising())


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, paths = tmp_path_factory.mktemp("arrays"), []
    for i, picture in enumerate(pictures(3)):
        np.save(folder / f"{i}.npy", picture)
        paths.append(folder / f"{i}.npy")
    return paths


def test_it_runs_elsewhere_with_jax_numpy_and_flatbuffers_alone(file: Path, arrays: list[Path], tmp_path: Path) -> None:
    script = shutil.copy(SCRIPT, tmp_path / "run_exported.py")
    maps = tmp_path / "maps"
    code = WITHOUT.replace("sys.argv[0]", f"{str(script)!r}").replace(
        "import runpy, sys", "import runpy, sys; sys.argv[0] = 'x'"
    )
    command = [sys.executable, "-I", "-c", code, str(file), *map(str, arrays), "--maps", str(maps)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = rising()(pictures(3))
    for row, path, score, anomaly in zip(rows, arrays, np.asarray(found.scores), np.asarray(found.maps), strict=True):
        assert row["score"] == pytest.approx(float(score), rel=1e-5)
        said = {"picture": str(path), "threshold": 0.5, "pixel_threshold": 0.25, "model": "abc"}
        assert row.items() >= {**said, "anomalous": row["score"] > 0.5}.items()
        np.testing.assert_allclose(np.load(row["map"]), anomaly, atol=1e-5 * np.abs(anomaly).max())
    assert len(rows) == len(list(maps.iterdir())) == 3


@pytest.mark.parametrize("module", ["jax", "none of them"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_a_line(tmp_path: Path, module: str, number: int, status: int) -> None:
    """Among the imports, and later."""
    code = WITHOUT.replace("raise ImportError(name)", f"raise ImportError(name)\n        strike(name == {module!r})")
    code = code.replace("class Blocked", f"{STRIKE.format(number=int(number))}class Blocked")
    code = code.replace("sys.argv[0]", repr(str(SCRIPT)))
    done = subprocess.run([sys.executable, "-c", code, "a.ddad", "a.png"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (status, 1) and "stopped by" in done.stderr, done.stderr


def test_pictures_of_one_stem_have_a_map_each_and_the_longest_names_too(file: Path, tmp_path: Path) -> None:
    long = "ä" * 125 + ".npy"
    paths = [tmp_path / "a/0.npy", tmp_path / "b/0.npy", tmp_path / "b/0.png", tmp_path / long]
    for path, picture in zip(paths, pictures(4), strict=True):
        path.parent.mkdir(exist_ok=True)
        np.save(path, picture) if path.suffix == ".npy" else Image.fromarray(picture).save(path)
    (tmp_path / "maps").mkdir()
    rows = list(run_exported.exported_rows(run_exported.load_exported(file), paths, tmp_path / "maps"))
    assert len(list((tmp_path / "maps").iterdir())) == 4
    for row, anomaly in zip(rows, np.asarray(rising()(pictures(4)).maps), strict=True):
        np.testing.assert_allclose(np.load(row["map"]), anomaly, atol=1e-5 * np.abs(anomaly).max())


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "RGBA", "LA"])
def test_picture_files_are_read_as_those_the_model_learnt_from(tmp_path: Path, mode: str) -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (37, 51, 4), np.uint8)
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.fromarray(rgba).convert(mode).save(path)
    np.testing.assert_array_equal(run_exported.read_input(path, [SIZE, SIZE]), read_image(path, SIZE))


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 51, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        run_exported.read_input(tmp_path / "a.png", [SIZE, SIZE]), read_image(tmp_path / "a.png", SIZE)
    )


def told(file: Path, left_out: str = "", program: bytes = b"", **values: Any) -> None:
    """The file with other words in its ddad.json, or with another program and the checksum of that."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    said = {**json.loads(parts["ddad.json"]), **values}
    said.pop(left_out, None)
    if program:
        parts["program"], said["sha256"]["program"] = program, hashlib.sha256(program).hexdigest()
    parts["ddad.json"] = json.dumps(said).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def other_program(file: Path, **changes: Any) -> None:
    with zipfile.ZipFile(file) as archive:
        program = export.deserialize(bytearray(archive.read("program")))
    told(file, program=bytes(dataclasses.replace(program, **changes).serialize()))


def changed_weights(file: Path) -> None:
    """Whole for the zip, but not what was exported."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    np.savez(buffer, **{"0": np.zeros(3)})
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**parts, "arrays.npz": buffer.getvalue()}.items():
            archive.writestr(name, content)


def no_zip(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda file: file.unlink(), "no such file; name the one that experiments.export wrote, or"),
    "no version": (lambda file: told(file, left_out="jax"), "its ddad.json does not say jax; copy it again"),
    "no threshold": (lambda file: told(file, left_out="threshold"), "does not say threshold; copy it again"),
    "another format": (lambda file: told(file, format=9), "format 9 of the file, this script reads 2"),
    "of before": (lambda file: told(file, format=1), "written beside it, or export the model again"),
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-300]), "no exported detector, or a damaged one"),
    "half of it": (lambda file: file.write_bytes(file.read_bytes()[:900]), "no exported detector, or a damaged one"),
    "another zip": (no_zip, "no exported detector, or a damaged one"),
    "other arrays": (changed_weights, "checksum of arrays.npz does not hold"),
    "another platform": (
        lambda file: other_program(file, platforms=("tpu",)),
        "is for tpu; this JAX runs on cpu. Export it again",
    ),
    "two others": (lambda file: other_program(file, platforms=("cuda", "tpu")), "is for cuda, tpu; this JAX"),
    "a later convention": (lambda file: other_program(file, calling_convention_version=99), "calling convention 99 of"),
    "an earlier one": (lambda file: other_program(file, calling_convention_version=1), "calling convention 1 of JAX"),
    "fields unknown here": (lambda file: other_program(file, nr_devices=0), "a program for 0 devices')). Install JAX"),
    "no program": (lambda file: told(file, program=b"\xff" * 99), "cannot read the program that JAX"),
    "StableHLO alone": (lambda file: told(file, program=b"ML\xefR" * 99), "or export the model again"),
}


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        run_exported.main(argv)
    printed = capsys.readouterr()
    assert stopped.value.code == 2 and printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_cannot_be_run_is_one_line(
    file: Path, arrays: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    own = Path(shutil.copy(file, tmp_path / "model.ddad"))
    break_it, says = WRONG[name]
    break_it(own)
    assert says in refused([str(own), str(arrays[0])], capsys)


def test_without_flatbuffers_it_says_what_to_install(
    file: Path, arrays: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jax._src.export.serialization", None)
    assert "needs flatbuffers (pip install flatbuffers)" in refused([str(file), str(arrays[0])], capsys)


def test_a_flipped_bit_anywhere_is_noticed(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for at in np.linspace(40, len(whole) - 400, 7).astype(int):
        (tmp_path / "a.ddad").write_bytes(whole[:at] + bytes([whole[at] ^ 8]) + whole[at + 1 :])
        with pytest.raises(run_exported.Refused, match=r"a\.ddad: .*(damaged|checksum)"):
            run_exported.load_exported(tmp_path / "a.ddad")


def test_a_picture_that_cannot_be_judged_is_one_line(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "small.npy", np.zeros((8, 8, 3), np.uint8))
    np.save(tmp_path / "float.npy", np.zeros((SIZE, SIZE, 3)))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(np.full((9, 9), 70_000, np.int32)).save(tmp_path / "deep.tif")
    for name, says in {
        "small.npy": f"uint8 (8, 8, 3); expected uint8 ({SIZE}, {SIZE}, 3)",
        "float.npy": "float64",
        "text.npy": "cannot be read as an array",
        "text.png": "cannot be read as a picture",
        "deep.tif": "pixel values from 70000 to 70000; expected 0 to 65535",
        "gone.png": "cannot be read as a picture",
    }.items():
        error = refused([str(file), str(tmp_path / name)], capsys)
        assert says in error and name in error
    for batch in ("-1", "100000000"):
        assert f"--batch={batch}" in refused([str(file), str(tmp_path / "small.npy"), f"--batch={batch}"], capsys)


def test_a_bad_picture_takes_no_other_with_it(
    file: Path, arrays: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_exported.main([str(file), *map(str, arrays)])
    expected = [json.loads(line)["score"] for line in capsys.readouterr().out.splitlines()]
    bad = [tmp_path / "a.npy", tmp_path / "b.npy", tmp_path / "c.npy"]
    with pytest.raises(SystemExit) as stopped:
        run_exported.main([str(file), *map(str, [bad[0], arrays[0], arrays[1], *bad[1:], arrays[2]])])
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["picture"] for row in rows] == [str(path) for path in arrays]
    np.testing.assert_allclose([row["score"] for row in rows], expected, rtol=1e-5)
    assert [line.split(":")[1].strip() for line in printed.err.splitlines()] == [str(path) for path in bad]


@pytest.mark.parametrize("failed", [AssertionError(), ValueError("odd"), RuntimeError("no backend")])
def test_devices_that_are_not_there_are_one_line(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failed: Exception
) -> None:
    def wake() -> str:
        raise failed

    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(run_exported.jax, "default_backend", wake)
    with pytest.raises(SystemExit) as end:
        run_exported.main([str(file), "picture.npy"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: JAX_PLATFORMS=cuda: no such device here")
