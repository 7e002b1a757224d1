"""Run an exported detector: ``python run_exported.py FILE.ddad PICTURE... [--maps FOLDER]``; one JSON line a picture.

Needs JAX, NumPy, flatbuffers and nothing else. A picture is a .npy of uint8 [h, w, 3], RGB, of the model's size; where
Pillow is installed any picture file of any size will do, resized as the model's training pictures were.
"""

import argparse
import hashlib
import io
import json
import os
import signal
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":  # at once, also while JAX is imported: nothing is lost, each row is out when it is known

    def _end(number: int, _: object) -> None:
        os.write(2, f"stopped by {'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'}\n".encode())
        os._exit(128 + number)

    for _number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(_number) is not signal.SIG_IGN:
            signal.signal(_number, _end)

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

FORMAT = 2
"""Of the files this script reads."""
MOST = 1024
"""Pictures in one call: more take memory that no device has, and save no time."""
LONGEST = 200
"""Bytes of a picture's name that the name of its map takes over; a file system takes 255 in all."""
PICTURES = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP")
"""Formats of picture files, where Pillow reads them."""
MOST_PIXELS = 10**9
"""Of a picture file, by its header."""
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, TypeError, RuntimeError)
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, NotImplementedError,
               struct.error)  # fmt: skip
_NEEDED = ("picture", "batch", "advised_batch", "jax", "threshold", "pixel_threshold", "model_id")


class Model(NamedTuple):
    """told: what the file says of itself. batch: pictures in one call. run: pictures uint8 [n, h, w, 3] -> maps
    [n, m, m], scores [n]."""

    told: dict[str, Any]
    batch: int
    run: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Refused(Exception):
    """What the user can mend, in one line."""


def load_exported(path: Path, batch: int = 0) -> Model:
    """The detector in the file, checked part by part.

    Args:
      batch: pictures in one call, where the file leaves it open; 0: as it says.
    """
    header, parts = _parts(path)
    exported = _program(path, parts["program"], header["jax"])
    with np.load(io.BytesIO(parts["arrays.npz"]), allow_pickle=False) as archive:
        arrays = [jnp.asarray(archive[f"{i}"]) for i in range(len(archive.files))]
    size = header["batch"] or batch or header["advised_batch"]
    program = jax.jit(exported.call)

    def run(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps, scores = [], []
        for first in range(0, len(pictures), size):
            # One shape for all calls: the last one is filled up with its own last picture.
            rows = np.minimum(np.arange(first, first + size), len(pictures) - 1)
            given, valid = pictures[rows], min(size, len(pictures) - first)
            outputs = program(arrays, given, np.array([seed(picture) for picture in given], np.uint32))
            maps.append(np.asarray(outputs[0])[:valid])
            scores.append(np.asarray(outputs[1])[:valid])
        return np.concatenate(maps), np.concatenate(scores)

    return Model(header, size, run)


def seed(picture: np.ndarray) -> int:
    """Of a picture's noise, from its own content."""
    return zlib.crc32(np.ascontiguousarray(picture).data)


def _parts(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    mend = "copy it again from where it was made, or export it again"
    if not path.is_file():
        raise Refused(f"{path}: no such file; name the one that experiments.export wrote, or {mend}")
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read("ddad.json"))
            file_format = header["format"]
            if file_format != FORMAT:
                mend = "use the run_exported.py that was written beside it, or export the model again"
                raise Refused(f"{path}: format {file_format} of the file, this script reads {FORMAT}: {mend}")
            parts = {name: archive.read(name) for name in header["sha256"]}
            parts["program"], parts["arrays.npz"]  # noqa: B018
    except _BROKEN as error:
        raise Refused(f"{path}: no exported detector, or a damaged one ({error}); {mend}") from None
    if missing := [name for name in _NEEDED if name not in header]:
        raise Refused(f"{path}: its ddad.json does not say {', '.join(missing)}; {mend}")
    for name, content in parts.items():
        if hashlib.sha256(content).hexdigest() != header["sha256"][name]:
            raise Refused(f"{path}: the checksum of {name} does not hold: the file was changed; {mend}")
    return header, parts


def _program(path: Path, serialised: bytes, made_with: str) -> export.Exported:
    """The program, for this JAX and its device. made_with: the version of JAX that exported it."""
    mend = f"Install JAX {made_with}, or export the model again"
    try:
        program = export.deserialize(bytearray(serialised))
        if program.nr_devices != 1:  # fields that this JAX does not know come out as nothing, and raise nothing
            raise ValueError(f"a program for {program.nr_devices} devices")
    except ImportError:
        raise Refused(f"{path}: reading its program needs flatbuffers (pip install flatbuffers)") from None
    except _UNREADABLE as error:
        reason = f"JAX {jax.__version__} cannot read the program that JAX {made_with} wrote ({error!r})"
        raise Refused(f"{path}: {reason}. {mend}") from None
    platform = export.default_export_platform()
    if platform not in program.platforms:
        made_for = ", ".join(program.platforms)
        mend = f"Export it again with --platforms={platform}, or set JAX_PLATFORMS to one of those"
        raise Refused(f"{path}: its program is for {made_for}; this JAX runs on {platform}. {mend}")
    version, lowest, highest = (
        program.calling_convention_version,
        export.minimum_supported_calling_convention_version,
        export.maximum_supported_calling_convention_version,
    )
    if not lowest <= version <= highest:
        here = f"JAX {jax.__version__} reads {lowest} to {highest}"
        raise Refused(f"{path}: calling convention {version} of JAX {made_with}; {here}. {mend}")
    return program


def read_input(path: Path, picture: Sequence[int]) -> np.ndarray:
    """A picture as the program takes it: uint8 [h, w, 3]."""
    height, width = picture
    if path.suffix.lower() == ".npy":
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise Refused(f"{path}: cannot be read as an array ({error})") from None
        if array.dtype != np.uint8 or array.shape != (height, width, 3):
            raise Refused(f"{path}: {array.dtype} {array.shape}; expected uint8 {(height, width, 3)}, RGB: an array is "
                          "taken as it is, a picture file is resized")  # fmt: skip
        return array
    try:
        from PIL import Image
    except ImportError:
        raise Refused(f"{path}: reading picture files needs Pillow (pip install pillow); or give .npy arrays of uint8 "
                      f"{(height, width, 3)}") from None  # fmt: skip
    upright = _to_eight_bits(_decoded(path), path)
    return np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR).convert("RGB"))


# --- As ddad_jax/data/decode.py and eight_bits.py have them: the model learnt from pictures that were read like that --


def _decoded(path: Path) -> Any:
    """The first frame, upright."""
    from PIL import Image, UnidentifiedImageError

    if Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < 2 * MOST_PIXELS:
        Image.MAX_IMAGE_PIXELS = 2 * MOST_PIXELS
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
             7: "TRANSVERSE", 8: "ROTATE_90"}  # fmt: skip
    try:
        with path.open("rb") as file, Image.open(file, formats=PICTURES) as picture:  # not by name: see there
            tags = getattr(picture, "tag_v2", {}) if picture.format == "TIFF" else {}
            width, height = (tags[256], tags[257]) if 256 in tags and 257 in tags else picture.size
            if width * height > MOST_PIXELS:
                raise _too_large(path, f"{height} x {width}")
            turn = _orientation(picture)
            picture.load()
            if turn == 1 or _orientation(picture) == 1:  # a TIFF is turned while it is decoded
                return picture.copy()
            return picture.transpose(Image.Transpose[turns[turn]])
    except Image.DecompressionBombError:
        raise _too_large(path, "far more") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        why = "no picture of these formats" if isinstance(error, UnidentifiedImageError) else error
        raise Refused(f"{path}: cannot be read as a picture ({why}); {', '.join(PICTURES)} are read") from None


def _too_large(path: Path, size: str) -> Refused:
    return Refused(f"{path}: {size} pixels (height x width); at most {MOST_PIXELS // 10**6} million in one picture are "
                   "read; save it smaller")  # fmt: skip


def _orientation(picture: Any) -> int:
    if picture.format == "PNG":
        picture.load()
    try:
        orientation = picture.getexif().get(0x0112, 1)
    except (SyntaxError, ValueError, EOFError, struct.error, KeyError, TypeError, IndexError):
        return 1
    return int(orientation) if isinstance(orientation, (int, float)) and orientation in range(1, 9) else 1


def _to_eight_bits(picture: Any, path: Path) -> Any:
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture)
        full_scale = 1.0 if picture.mode == "F" else 65535.0
        if not (values.min() >= 0 and values.max() <= full_scale):
            raise Refused(f"{path}: pixel values from {values.min():g} to {values.max():g}; expected 0 to "
                          f"{full_scale:g} (mode {picture.mode}); save it as 8-bit or 16-bit PNG or TIFF")  # fmt: skip
        narrow = np.empty(values.shape, np.uint8)
        for top in range(0, len(values), 256):
            rows = slice(top, top + 256)
            narrow[rows] = np.round(values[rows].astype(np.float64) * (255.0 / full_scale)).astype(np.uint8)
        return Image.fromarray(narrow)
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        black = Image.new("RGBA", layers.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, layers).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def exported_rows(model: Model, paths: Sequence[Path], maps: Path | None = None) -> Iterator[dict[str, Any] | Refused]:
    """What is printed of each picture, in order, or why it cannot be judged; its map is left in the folder ``maps``."""
    header, size = model.told, model.batch
    for first in range(0, len(paths), size):
        some = [_tried(path, header["picture"]) for path in paths[first : first + size]]
        good = [picture for picture in some if not isinstance(picture, Refused)]
        judged = iter(zip(*model.run(np.stack(good)), strict=True)) if good else iter(())
        for number, (path, picture) in enumerate(zip(paths[first : first + size], some, strict=True), start=first):
            if isinstance(picture, Refused):
                yield picture
                continue
            anomaly, score = next(judged)
            score = float(score)
            row = {"picture": str(path), "score": score, "threshold": header["threshold"]}
            # A score that is not a number is no reason to let a picture pass.
            row |= {"anomalous": not score <= header["threshold"], "pixel_threshold": header["pixel_threshold"]}
            row["model"] = header["model_id"]
            if maps:
                # The number makes it one of its own; a name that the file system only just takes is cut.
                stem = os.fsdecode(os.fsencode(path.stem)[:LONGEST])
                row["map"] = str(maps / f"{number:05d}_{stem}.npy")
                np.save(row["map"], anomaly)
            yield row


def _tried(path: Path, picture: Sequence[int]) -> np.ndarray | Refused:
    try:
        return read_input(path, picture)
    except Refused as error:
        return error


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="what experiments.export wrote")
    parser.add_argument("picture", type=Path, nargs="+")
    parser.add_argument("--maps", type=Path, help="folder for the anomaly maps, float32 .npy of the model's size")
    parser.add_argument("--batch", type=int, default=0, help="pictures in one call; default: as the file says")
    asked = parser.parse_args(argv)
    try:
        if not 0 <= asked.batch <= MOST:
            raise Refused(f"--batch={asked.batch}: expected 1 to {MOST}, or 0 for what the file says")
        if asked.maps:
            asked.maps.mkdir(parents=True, exist_ok=True)
        try:
            jax.default_backend()
        except (RuntimeError, ValueError, AssertionError) as error:  # the last where this JAX has no such plugin
            asked_for, why = os.environ.get("JAX_PLATFORMS", ""), str(error) or type(error).__name__
            reason = f"JAX_PLATFORMS={asked_for}: no such device here ({why})"
            raise Refused(f"{reason}; JAX_PLATFORMS=cpu runs everywhere") from None
        left_out = 0
        for row in exported_rows(load_exported(asked.file, asked.batch), asked.picture, asked.maps):
            if isinstance(row, Refused):
                left_out += 1
                print(f"error: {row}", file=sys.stderr)
            else:
                print(json.dumps(row), flush=True)
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if left_out:
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
