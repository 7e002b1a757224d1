"""L1. Pictures brought onto a reference picture before they are resized, with their masks."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ddad_jax.data import ImageSet
from ddad_jax.data.load import Mask, Picture, image_set, mask_notes, mask_of
from ddad_jax.data.read import Size, read_full, resized
from ddad_jax.vision.registration import Reference, Registration, register, warped


class Aligned(NamedTuple):
    """images and notes: as ``load_pictures`` gives them; found: what became of each, by its name."""

    images: ImageSet
    found: Mapping[str, Registration]
    notes: tuple[str, ...] = ()


def load_aligned(
    pictures: Sequence[Picture],
    size: Size,
    reference: Reference,
    *,
    orient: bool,
    any_nonzero: bool = False,
) -> Aligned:
    """``load_pictures`` with registration in between: picture and mask are warped at their own size, then resized.

    A picture whose registration is refused is taken as it is, its mask too; ``found`` says so.
      Deviation: the thesis warps whatever homography comes out.

    Args:
      pictures, size, orient, any_nonzero: as of ``load_pictures``.
      reference: what they are brought onto.

    Raises:
      InputError: as ``load_pictures``.

    Source: line clearance thesis, section 3.4, "Image Registration".
    """
    found: dict[str, Registration] = {}
    masks: dict[str, Mask] = {}

    def mask(picture: Picture, size: Size) -> np.ndarray | None:
        if not picture.masks:
            return None
        masks[picture.name] = own = mask_of(picture, size, any_nonzero=any_nonzero, orient=orient)
        return own.pixels

    def read(picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
        full = read_full(picture.path, orient=orient)
        found[picture.name] = registration = register(full, reference)
        if not registration.accepted:
            return resized(full, size), mask(picture, size)
        image = resized(warped(full, registration, reference.size), size)
        own = mask(picture, (full.shape[0], full.shape[1]))
        if own is None:
            return image, None
        moved = warped(own, registration, reference.size)
        return image, resized(moved.astype(np.uint8) * 255, size) > 127

    images = image_set(pictures, size, read)
    notes = mask_notes(pictures, masks)
    return Aligned(images, {picture.name: found[picture.name] for picture in pictures}, notes)
