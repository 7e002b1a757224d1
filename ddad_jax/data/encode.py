"""L1. Picture files as bytes that any decoder turns into the pixels `ddad_jax.data.read` sees.

A published 8-bit PNG or JPEG goes into a record as it is. Of everything else decoders make different things (16 bits
cut off, transparency kept, the EXIF turn ignored, TIFF and WebP unknown): it becomes a PNG of the pixels that
`read_image` resizes, so that nothing changes for the network and other programs see the same.
"""

import io
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from ddad_jax.data import DataSet, ImageSet
from ddad_jax.data.decode import opened_picture, orientation
from ddad_jax.data.load import GOOD, Picture, Pictures
from ddad_jax.data.read import Encoded, Source, image_size, read_full, read_mask_float

_BIT_DEPTH = 24  # of a PNG: the byte of its header that holds the bits of a channel


class Plain(NamedTuple):
    """An 8-bit PNG or JPEG, grey or RGB, upright; its (height, width) in pixels."""

    data: bytes
    size: tuple[int, int]


def plain_image(source: Encoded, *, orient: bool = True) -> Plain:
    """The file's own bytes where they are plain already, else a PNG of its pixels, turned upright if ``orient``.

    It is decoded in any case, so that a damaged file is found now.

    Raises:
      InputError: as `read_image`.
    """
    pixels = read_full(source, orient=orient)
    return Plain(source.data if _is_plain(source, orient) else png(pixels), pixels.shape[:2])


def plain_mask(source: Encoded, *, image: Source, any_nonzero: bool = False, orient: bool = True) -> Plain:
    """The same of a mask; what is not plain grey becomes 0 to 255, as `read_mask_float` understands it.

    Raises:
      InputError: as `read_mask_float`; the mask is of another size than ``image``.
    """
    size = image_size(source, orient=orient)
    levels = read_mask_float(source, size, image=image, any_nonzero=any_nonzero, orient=orient)
    if _is_plain(source, orient, modes=("L",)):
        return Plain(source.data, size)
    return Plain(png(np.round(levels * 255).astype(np.uint8)), size)


def png(pixels: np.ndarray) -> bytes:
    """uint8 [h, w] or [h, w, 3] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _is_plain(source: Encoded, orient: bool, modes: tuple[str, ...] = ("L", "RGB")) -> bool:
    """Of a file that can be read."""
    with opened_picture(source) as picture:
        return (
            picture.format in ("PNG", "JPEG")
            and picture.mode in modes
            and (picture.format == "JPEG" or source.data[_BIT_DEPTH] == 8)  # 16-bit colour is opened as RGB, too
            and not picture.has_transparency_data
            and getattr(picture, "n_frames", 1) == 1
            and not (orient and orientation(picture) != 1)
        )


def as_files(data: DataSet) -> Pictures:
    """Pictures that were never files, as the PNG they would be: ``load_pictures`` gives the data set at its own size.

    They are encoded whenever they are read, so that the arrays are all that is in memory.
    """

    def pictures(part: ImageSet) -> list[Picture]:
        found = []
        for i, (name, defect) in enumerate(zip(part.names, part.defects, strict=True)):
            mask = Encoded(f"mask of {name}", partial(_png_of_mask, part.masks[i]))
            known = defect != GOOD and part.has_mask[i]
            found.append(Picture(Encoded(name, partial(png, part.images[i])), name, defect, (mask,) if known else ()))
        return found

    return Pictures(data.name, pictures(data.train), pictures(data.test), data.recordings, data.notes)


def _png_of_mask(mask: np.ndarray) -> bytes:
    return png(mask.astype(np.uint8) * 255)
