"""The files of a data set made of captures: pictures and masks written, no picture on both sides."""

import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ddad_jax.data.load import GOOD
from ddad_jax.data.names import folded
from ddad_jax.data.read import image_size, read_image
from ddad_jax.engine.captures.frame_choice import TRAIN, ChosenFrame
from ddad_jax.engine.captures.labelling import Drawing, frame_mask, frame_name
from ddad_jax.engine.captures.recording import Capture, Captured
from ddad_jax.errors import InputError


def require_disjoint(captures: Sequence[Capture], sides: Mapping[str, str], *, keep_bad: bool) -> None:
    """Captures on both sides share no frame, whether or not the data set takes it: what shares one shares moments.

    Args:
      captures: all that were to choose from.
      sides: recording -> "train" or "test".
      keep_bad: over- and under-exposed frames count too; they are passed over otherwise, as two pictures all black or
        white are the same without showing the same.

    Raises:
      InputError: two captures do, by the digests of their files.
    """
    blank = set() if keep_bad else {"over", "under"}
    learned: dict[str, Captured] = {}
    for capture in sorted(captures, key=lambda one: sides[one.recording] != TRAIN):
        for frame in capture.frames:
            if blank & {*frame.flags}:
                continue
            if sides[capture.recording] == TRAIN:
                learned.setdefault(frame.sha256, frame)
            elif frame.sha256 in learned:
                raise InputError(
                    f"{learned[frame.sha256].file} and {frame.file} are the same picture: the first capture is to "
                    "train on, the second to test on, but they show the same moments. Keep one of them."
                )


def write_files(
    folder: Path, pictures: Sequence[ChosenFrame], drawing: Drawing
) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """Write SIDE/KIND/RECORDING_000012.png and ground_truth/KIND/RECORDING_000012_mask.png (255 = defect).

    Args:
      folder: empty, of one category.
      pictures: those of training first.
      drawing: how regions become masks.

    Returns:
      What the manifest says of each picture, by its path in ``folder``; how many there are of everything.

    Raises:
      InputError: a picture changed since its capture or cannot be read; one to test on shows, pixel by pixel, what one
        to train on shows; a label that does not fit its picture; two pictures that would be one file.
      OSError: a file cannot be written.
    """
    files: dict[str, dict[str, Any]] = {}
    written: dict[str, str] = {}
    learned: dict[bytes, str] = {}
    counts: Counter[str] = Counter()
    for chosen in pictures:
        name = f"{chosen.capture.recording}_{frame_name(chosen.frame)}"
        key = f"{chosen.side}/{chosen.kind}/{name}.png"
        content, digest = _read(chosen)
        if chosen.side == TRAIN:
            learned.setdefault(digest, key)
        elif digest in learned:
            raise InputError(
                f"{learned[digest]} and {key} are the same picture: recording {files[learned[digest]]['recording']} is "
                f"to train on and {chosen.capture.recording} to test on, but they share frames. Keep one of them."
            )
        if (other := written.setdefault(folded(key), key)) != key or key in files:
            raise InputError(
                f"{key} and {other} would be one file. Give one of the recordings another name (--recording)."
            )
        _put(folder / key, content)
        counts[f"{chosen.side}/{chosen.kind}"] += 1
        mask = chosen.label.origin or None if chosen.kind != GOOD else None
        if chosen.kind != GOOD:
            counts[f"masks: {mask or 'not known'}"] += 1
        if mask:
            assert chosen.frame.file is not None  # kept
            drawn = frame_mask(chosen.label, chosen.frame.file, chosen.capture.size, drawing)
            _put(folder / "ground_truth" / chosen.kind / f"{name}_mask.png", _png(drawn.pixels))
            counts["regions cut off at the picture's edge"] += drawn.clipped
        files[key] = {
            "recording": chosen.capture.recording,
            "source": chosen.capture.source,
            "index": chosen.frame.index,
            "seconds": chosen.frame.seconds,
            "sha256": hashlib.sha256(content).hexdigest(),
            "mask": mask,
        }
    return files, dict(counts)


def _read(chosen: ChosenFrame) -> tuple[bytes, bytes]:
    """A picture's file and the digest of its pixels, which another way of packing them does not change."""
    path, size = chosen.frame.file, chosen.capture.size
    assert path is not None  # kept
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); capture again") from error
    if hashlib.sha256(content).hexdigest() != chosen.frame.sha256:
        raise InputError(f"{path}: was changed after the capture (its digest differs); capture again")
    if image_size(path) != size:
        raise InputError(f"{path}: is of {image_size(path)} pixels, but its capture says {size} (height, width)")
    return content, hashlib.sha256(f"{size}".encode() + read_image(path, size).tobytes()).digest()


def _png(mask: np.ndarray) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(packed, "PNG")
    return packed.getvalue()


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
