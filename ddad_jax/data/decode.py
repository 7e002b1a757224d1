"""L1. A picture's file decoded, the one way there is: which formats, how large, which way up, and how it is refused.

``ddad_jax/engine/detector/run_exported.py`` carries a copy of ``orientation``, ``stored_size`` and ``decode``, for it
runs without this package; ``tests/data/test_odd_pictures.py`` sends odd files through both.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from ddad_jax.errors import InputError, first_line

FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP")
"""Of the files read: a fixed list, so that a file with a harmless ending cannot wake one of Pillow's rarer decoders."""

MOST_PIXELS = 10**9
"""Of one picture, by its header: decoded it takes up to 4 bytes each. A file of a few bytes may claim any size."""


class Encoded(NamedTuple):
    """A picture's file in memory, or what gets it there whenever it is read, and what messages call it."""

    name: str
    held: bytes | Callable[[], bytes]

    @property
    def data(self) -> bytes:
        return self.held if isinstance(self.held, bytes) else self.held()

    def __str__(self) -> str:
        return self.name


BROKEN = (
    OSError,  # missing, unreadable, unknown format, truncated
    SyntaxError,  # what Pillow's PNG reader raises for a damaged chunk
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

_ORIENTATION = 0x0112
_TURNS = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_LEFT_RIGHT),
    3: (Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_180),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_TOP_BOTTOM),
    5: (Image.Transpose.TRANSPOSE, Image.Transpose.TRANSPOSE),
    6: (Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_90),
    7: (Image.Transpose.TRANSVERSE, Image.Transpose.TRANSVERSE),
    8: (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270),
}
"""EXIF orientation -> what turns the stored pixels upright, and what turns them back."""


@contextmanager
def opened_picture(source: Path | Encoded) -> Iterator[Image.Image]:
    """The picture, its header read and its size bounded, its pixels not decoded yet.

    Raises:
      InputError: it is missing, of none of `FORMATS`, or larger than `MOST_PIXELS`.
    """
    # Pillow takes a picture of 179 million pixels for an attack; ours is the limit that is checked below.
    if Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < 2 * MOST_PIXELS:
        Image.MAX_IMAGE_PIXELS = 2 * MOST_PIXELS
    data = source.data if isinstance(source, Encoded) else None  # what fails to get it says so itself
    with ExitStack() as stack:
        try:
            # Not by its name: Pillow 13 would map the file of a TIFF into memory with the sides of the turned picture.
            file = stack.enter_context(source.open("rb")) if isinstance(source, Path) else io.BytesIO(data or b"")
            picture = stack.enter_context(Image.open(file, formats=FORMATS))
        except Image.DecompressionBombError:  # more than four times as many as we take
            raise _too_large(source, "far more") from None
        except BROKEN as error:
            raise unreadable(source, error) from error
        width, height = stored_size(picture)
        if width * height > MOST_PIXELS:
            raise _too_large(source, f"{height} x {width}")
        yield picture


def orientation(picture: Image.Image) -> int:
    """1 to 8 as its EXIF tag, or else its XMP, says; 1 where that is missing, damaged or no such number.

    To be asked before a TIFF's pixels are decoded: Pillow turns them and forgets the tag.
    """
    if picture.format == "PNG":
        picture.load()  # the tag may stand behind the pixels
    try:
        said = picture.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, EOFError, struct.error, KeyError, TypeError, IndexError):
        return 1  # the pixels are sound, and no viewer turns them either
    return int(said) if isinstance(said, (int, float)) and said in _TURNS else 1


def stored_size(picture: Image.Image) -> tuple[int, int]:
    """(width, height) in the file, before any turn, of a picture that is not decoded yet."""
    # The size that Pillow gives of a TIFF is that after the turn it will make, if the tag is the file's own.
    tags = getattr(picture, "tag_v2", {}) if picture.format == "TIFF" else {}
    return (int(tags[256]), int(tags[257])) if 256 in tags and 257 in tags else picture.size


def size_of(source: Path | Encoded, orient: bool) -> tuple[int, int]:
    """(height, width) of what ``decode`` gives.

    Raises:
      InputError: as ``opened_picture``.
    """
    with opened_picture(source) as picture:
        width, height = stored_size(picture)
        try:
            turned = orient and orientation(picture) >= 5
        except BROKEN as error:
            raise unreadable(source, error) from error
    return (width, height) if turned else (height, width)


def decode(source: Path | Encoded, orient: bool) -> Image.Image:
    """The first frame's pixels, turned upright if ``orient``, else as they are stored.

    Raises:
      InputError: as ``opened_picture``; it is damaged or cut off.
    """
    with opened_picture(source) as picture:
        try:
            turn = orientation(picture)
            picture.load()
            if turn == 1:
                return picture.copy()
            by_pillow = orientation(picture) == 1  # a TIFF is upright by now
        except BROKEN as error:
            raise unreadable(source, error) from error
        if orient == by_pillow:
            return picture.copy()
        return picture.transpose(_TURNS[turn][0 if orient else 1])


def unreadable(source: Path | Encoded, error: BaseException) -> InputError:
    """What is raised for a file that cannot be decoded."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{source}: no such file. Check the path, or restore the file.")
    if isinstance(error, UnidentifiedImageError):  # its own words name an object of Python
        why = "no picture of these formats"
    else:
        why = (isinstance(error, OSError) and error.strerror) or first_line(error)
    return InputError(
        f"{source}: cannot be read as an image ({why}). It may be truncated or not a picture "
        f"({', '.join(FORMATS)} are read): copy it again from its source, or remove it."
    )


def _too_large(source: Path | Encoded, size: str) -> InputError:
    return InputError(
        f"{source}: {size} pixels (height x width); at most {MOST_PIXELS // 10**6} million in one picture are read, "
        "for the memory they take. Cut it into several pictures or save it smaller, or remove it."
    )
