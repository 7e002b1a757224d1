"""L1. From the pictures of a loader to examples of tensorflow-datasets.

An example holds a picture as it was published, at its own size: its PNG or JPEG bytes go into the record untouched
(`ddad_jax.data.encode` says what becomes of other files). That is also what does without TensorFlow:
``tfds.features.Image`` encodes arrays with TensorFlow, but takes encoded bytes as they are and decodes them with
OpenCV.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from ddad_jax.data.encode import plain_image, plain_mask, png
from ddad_jax.data.load import GOOD, Picture, Pictures, mask_of
from ddad_jax.data.read import Encoded, encoded, image_size

LABELS = ("normal", "anomalous")


class Item(NamedTuple):
    """One picture before it becomes an example; a file, or its bytes where it was rendered."""

    name: str
    defect: str
    image: Path | Encoded
    mask: Path | Encoded | None
    recording: str
    """As in `DataSet.recordings`; "" where that is not known."""


class Listing(NamedTuple):
    """As `DataSet`, in its order, not yet opened."""

    name: str
    train: list[Item]
    test: list[Item]
    notes: tuple[str, ...] = ()
    """As of `DataSet`."""


def of_files(pictures: Pictures, *, orient: bool = True) -> Listing:
    """What a loader would open; orient: as it would."""

    def items(part: list[Picture], recordings: tuple[str, ...]) -> list[Item]:
        of = zip(part, recordings or ("",) * len(part), strict=True)
        return [Item(p.name, p.defect, p.path, _mask(p, orient), recording) for p, recording in of]

    train, test = items(pictures.train, pictures.recordings), items(pictures.test, ())
    return Listing(pictures.name, train, test, pictures.notes)


def _mask(picture: Picture, orient: bool) -> Path | Encoded | None:
    """One file, or the union of several; a normal picture's, once it is seen to mark nothing, is none."""
    if not picture.masks or (picture.defect != GOOD and len(picture.masks) == 1):
        return picture.masks[0] if picture.masks else None
    pixels = mask_of(picture, image_size(picture.path, orient=orient), orient=orient).pixels
    return None if picture.defect == GOOD else Encoded(f"mask of {picture.path}", png(pixels.astype(np.uint8) * 255))


def listing_fingerprint(listing: Listing) -> str:
    """SHA-256 of all that is in the pictures and known of them.

    Raises:
      InputError: a file cannot be read.
    """
    found = hashlib.sha256()
    for split in (listing.train, listing.test):
        found.update(b"split")
        for item in split:
            known = [item.name, item.defect, item.recording]
            files = [hashlib.sha256(_bytes(file).data).hexdigest() for file in (item.image, item.mask) if file]
            found.update("\0".join(known + files).encode() + b"\n")
    return found.hexdigest()


def features() -> Any:
    """Of every example."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), doc="As published; grey is repeated."),
            "mask": tfds.features.Image(shape=(None, None, 1), doc="Not 0 where defective; all 0 where not known."),
            "has_mask": tfds.features.Scalar(np.bool_, doc="Whether the mask is known."),
            "label": tfds.features.ClassLabel(names=LABELS),
            "defect": tfds.features.Text(doc=f"The kind of defect, {GOOD!r} for none."),
            "name": tfds.features.Text(doc="The picture's path below the root it was read from."),
            "recording": tfds.features.Text(doc="What it was cut from; empty where that is not known."),
        }
    )


def examples(items: list[Item], *, any_nonzero: bool, orient: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    """(key, example), in order; every picture is decoded once, so that a damaged one is found now.

    Args:
      items: what to read.
      any_nonzero, orient: as of `ddad_jax.data.read.read_mask`.

    Raises:
      InputError: as `ddad_jax.data.read.read_image` and ``read_mask``.
    """
    for i, item in enumerate(items):
        source = _bytes(item.image)
        image = plain_image(source, orient=orient)
        if item.mask is None:
            mask = png(np.zeros(image.size, np.uint8))
        else:
            mask = plain_mask(_bytes(item.mask), image=source, any_nonzero=any_nonzero, orient=orient).data
        yield (
            i,
            {
                "image": image.data,
                "mask": mask,
                "has_mask": item.defect == GOOD or item.mask is not None,
                "label": LABELS[item.defect != GOOD],
                "defect": item.defect,
                "name": item.name,
                "recording": item.recording,
            },
        )


def _bytes(source: Path | Encoded) -> Encoded:
    return source if isinstance(source, Encoded) else encoded(source)
