"""L1. Picture files brought onto a reference picture before they are resized, with their masks."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ddad_jax.data import ImageSet
from ddad_jax.data.load import Picture, image_set
from ddad_jax.data.read import Size, image_size, read_full, read_image, read_mask, read_mask_float, resized
from ddad_jax.vision.registration import Reference, Registration, register, warped


class Aligned(NamedTuple):
    """images: as ``load`` gives them; found: what became of each, by its name."""

    images: ImageSet
    found: Mapping[str, Registration]


def load_aligned(
    pictures: Sequence[Picture], size: Size, reference: Reference, reference_size: tuple[int, int]
) -> Aligned:
    """``load`` with registration in between: picture and mask are warped at their own size, then resized.

    A picture whose registration is refused is taken as it is, its mask too; ``found`` says so.
      Deviation: the thesis warps whatever homography comes out.

    Args:
      pictures, size: as of ``load``.
      reference: what they are brought onto, and its (height, width).

    Raises:
      InputError: as ``load``.

    Source: line clearance thesis, section 3.4, "Image Registration".
    """
    found: dict[str, Registration] = {}

    def read(picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
        full = read_full(picture.path)
        found[picture.name] = registration = register(full, reference)
        if not registration.accepted:
            mask = read_mask(picture.mask, size, image=picture.path) if picture.mask else None
            return read_image(picture.path, size), mask
        image = resized(warped(full, registration, reference_size), size)
        if picture.mask is None:
            return image, None
        own = read_mask_float(picture.mask, image_size(picture.path), image=picture.path)
        moved = warped(own > 0.5, registration, reference_size)
        return image, resized(moved.astype(np.uint8) * 255, size) > 127

    images = image_set(pictures, size, read)
    return Aligned(images, {picture.name: found[picture.name] for picture in pictures})
