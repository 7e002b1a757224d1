"""L1. A list of picture files becomes an `ImageSet`, in the list's order, read by several threads."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddad_jax.data import DataSet, ImageSet
from ddad_jax.data.mask_values import Rule
from ddad_jax.data.read import Encoded, Size, read_mask_values, read_sized
from ddad_jax.errors import InputError

GOOD = "good"
"""The one kind that is not a defect."""


class Picture(NamedTuple):
    """Where one picture lies and what is known of it before it is opened; what is in no file of its own, as one."""

    path: Path | Encoded
    name: str
    """As in `ImageSet.names`."""
    defect: str = GOOD
    masks: tuple[Path | Encoded, ...] = ()
    """Files whose defective pixels together are the mask; none: it is not known, or the picture is normal."""


class Pictures(NamedTuple):
    """What a data set holds before anything is opened."""

    name: str
    train: list[Picture]
    test: list[Picture]
    recordings: tuple[str, ...] = ()
    """As in `DataSet`, and so are the notes."""
    notes: tuple[str, ...] = ()
    any_nonzero: bool = False
    """As of ``load_pictures``, of all its masks."""


class Loaded(NamedTuple):
    """Pictures in memory. notes: what is worth telling of how their masks were understood."""

    image_set: ImageSet
    notes: tuple[str, ...]


class Mask(NamedTuple):
    """Of one picture. pixels: bool [h, w], True = defective. rules: by which each of its files was understood."""

    pixels: np.ndarray
    rules: tuple[Rule, ...]


def data_set(found: Pictures, size: Size, *, orient: bool) -> DataSet:
    """Both parts in memory; what is said of masks is said of the test's, where all are.

    Arguments as of ``load_pictures``.
    """
    train, test = (
        load_pictures(part, size, orient=orient, any_nonzero=found.any_nonzero) for part in (found.train, found.test)
    )
    return DataSet(found.name, train.image_set, test.image_set, found.recordings, (*found.notes, *test.notes))


def load_pictures(
    pictures: Sequence[Picture],
    size: Size,
    *,
    orient: bool,
    any_nonzero: bool = False,
    threads: int | None = None,
) -> Loaded:
    """Reads every picture and mask; row i of the result is ``pictures[i]`` however the threads ran.

    Args:
      pictures: what to read; may be empty.
      size: in pixels, at least 1; the side of a square or (height, width).
      orient: whether pictures and masks are turned as their EXIF tag says; False where masks were drawn on the pixels
        as they are stored.
      any_nonzero: every value of a mask but 0 is a defect, where masks hold class numbers; see `ddad_jax.data.read`.
      threads: how many read at once; None = the processor's cores plus two, for the disk's sake.

    Raises:
      InputError: the first picture (in the list's order) that cannot be used; a normal picture whose mask marks a
        defect; a size below 1.
    """
    masks: dict[str, Mask] = {}
    sizes: dict[str, tuple[int, int]] = {}

    def read(picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
        image, sizes[picture.name] = read_sized(picture.path, size, orient=orient)
        if not picture.masks:
            return image, None
        masks[picture.name] = mask = mask_of(picture, size, any_nonzero=any_nonzero, orient=orient)
        return image, mask.pixels

    images = image_set(pictures, size, read, threads=threads)
    images = images._replace(sizes=tuple(sizes[name] for name in images.names))
    return Loaded(images, mask_notes(pictures, masks))


def mask_of(picture: Picture, size: Size, *, any_nonzero: bool = False, orient: bool = True) -> Mask:
    """The mask of a picture that has one; arguments as of ``load_pictures``.

    Raises:
      InputError: a file that cannot be used, or is hardly a mask; a defect in a picture that is normal.
    """
    parts = [
        read_mask_values(file, size, image=picture.path, any_nonzero=any_nonzero, orient=orient, must_be_mask=True)
        for file in picture.masks
    ]
    pixels = np.any([part.share > 0.5 for part in parts], axis=0)
    if picture.defect == GOOD and pixels.any():
        raise InputError(
            f"{picture.masks[0]} marks a defect in {picture.path}, which lies among the normal pictures. Move the "
            "picture to the folder of its defect, or remove the mask."
        )
    return Mask(pixels, tuple(part.rule for part in parts))


_RULES: dict[Rule, str] = {
    "classes": "hold grey levels with sharp edges, taken for classes: every level but black is a defect "
    "(draw them in black and white where that is not meant)",
    "soft edges": "have grey edges, cut at one half of their white",
    "soft classes": "hold classes with grey edges, cut at one half of the darkest class",
}


def mask_notes(pictures: Sequence[Picture], masks: Mapping[str, Mask]) -> tuple[str, ...]:
    """A sentence for each rule that is not the plain one, and for masks that seem to be inverted, with the first file.

    Args:
      pictures: in their order; masks: of those that have one, by their name.
    """
    drawn = [(picture, masks[picture.name]) for picture in pictures if picture.name in masks]
    files = [(file, rule) for picture, mask in drawn for file, rule in zip(picture.masks, mask.rules, strict=True)]
    notes = []
    for rule in _RULES:
        if of_rule := [file for file, one in files if one == rule]:
            notes.append(mask_note(rule, of_rule, len(files)))
    if inverted := [picture.masks[0] for picture, mask in drawn if _seems_inverted(mask.pixels)]:
        notes.append(
            f"{len(inverted)} of {len(drawn)} masks mark all of the picture's border and more than half of it "
            f"({inverted[0]} for one): are black and white exchanged? White is what is defective"
        )
    return tuple(notes)


def mask_note(rule: Rule, files: Sequence[Path | Encoded], n: int) -> str:
    """That so many of ``n`` masks were understood by a rule other than the plain one."""
    return f"{len(files)} of {n} masks {_RULES[rule]} ({files[0]} for one)"


def _seems_inverted(pixels: np.ndarray) -> bool:
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return bool(border.all() and pixels.mean() > 0.5)


def image_set(
    pictures: Sequence[Picture],
    size: Size,
    read: Callable[[Picture], tuple[np.ndarray, np.ndarray | None]],
    *,
    threads: int | None = None,
) -> ImageSet:
    """``load_pictures`` with another way to read: ``read`` gives a picture and its mask, if it has one, at ``size``.

    Raises:
      InputError: the first that ``read`` raises, in the list's order; a size below 1.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise InputError(f"size {size}: the side of the images in pixels must be at least 1, for example 256.")
    n = len(pictures)
    images = np.zeros((n, height, width, 3), np.uint8)
    masks = np.zeros((n, height, width), bool)

    def fill(i: int) -> None:
        images[i], mask = read(pictures[i])
        if mask is not None:
            masks[i] = mask

    # Pillow releases the interpreter's lock while it decodes and resizes, so threads are enough.
    with ThreadPoolExecutor(threads or (os.cpu_count() or 1) + 2) as pool:
        for _ in pool.map(fill, range(n)):
            pass  # drawing the results one by one raises the first error and cancels what has not begun
    good = np.array([p.defect == GOOD for p in pictures], bool)
    return ImageSet(
        images=images,
        labels=np.where(good, 0, 1).astype(np.int32),
        masks=masks,
        has_mask=good | np.array([bool(p.masks) for p in pictures], bool),
        defects=tuple(p.defect for p in pictures),
        names=tuple(p.name for p in pictures),
    )
