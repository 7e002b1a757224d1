"""L1. From picture files to arrays: every pixel format to 8-bit RGB, resized as the published code does.

Order of events: decode and turn upright (``decode``), bring to 8 bits (``eight_bits``), resize with Pillow's bilinear
filter (antialiased when shrinking, rounded to uint8), aspect ratio not kept.
Releases of Pillow before 13 round differently: a shrunken picture may differ by one grey level there.

How each pixel format becomes 8-bit RGB:

- grey, 1-bit: the value in all three channels (1-bit: 0 and 255);
- palette, CMYK, YCbCr, Lab, HSV: Pillow's conversion;
- transparency of any kind: composited over black, because the colour stored under a transparent pixel
  is arbitrary and must not reach the network;
- 16-bit grey: round(value / 257), so that 65535 becomes 255 and nothing is clipped. A 12-bit camera's
  values must be shifted up before they are saved, else they come out dark: no picture is stretched by
  its own maximum, since that would make a score depend on the brightest pixel;
- 16-bit colour: Pillow keeps the upper byte;
- floating point: values must lie in [0, 1].
"""

from pathlib import Path

import numpy as np
from PIL import Image

from ddad_jax.data.decode import Encoded, opened_picture, size_of, unreadable
from ddad_jax.data.decode import decode as _decode
from ddad_jax.data.eight_bits import to_eight_bits as _to_eight_bits
from ddad_jax.data.eight_bits import wide_values as _wide_values
from ddad_jax.data.mask_values import NOISE, MaskValues, is_textured, understood
from ddad_jax.errors import InputError

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif"})
LOSSY_SUFFIXES = JPEG_SUFFIXES | {".webp"}
SUFFIXES = LOSSY_SUFFIXES | {".png", ".apng", ".bmp", ".dib", ".tif", ".tiff"}
"""Endings taken for pictures, in any case."""

Size = int | tuple[int, int]
"""What a picture is resized to: the side of a square, or (height, width); pixels."""


def named_as_picture(name: Path | str) -> bool:
    """Whether a file's name ends as those of pictures do; of a file in a folder, ``listing.is_picture`` asks more."""
    return Path(name).suffix.lower() in SUFFIXES


def expanded(path: Path | str, what: str) -> Path:
    """``path`` with the home folder that ~ or ~NAME stands for; what: the flag or file it comes from.

    Raises:
      InputError: no home folder of that user is known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{what}: {path}: no home folder of that user is known; write the whole path") from None


Source = str | Path | Encoded
"""Where a picture is read from."""


def read_image(path: Source, size: Size, *, orient: bool = True) -> np.ndarray:
    """One picture as the network's input before scaling.

    Args:
      path: a file ending in one of `SUFFIXES`, or its bytes; of several frames the first is taken.
      size: of the result in pixels, the side of a square or (height, width).
      orient: turn the picture upright as its EXIF tag says.
        Deviation: the published code ignores the tag, so a telephone's pictures lie on their side;
        False does the same. Files without the tag are unaffected.

    Returns:
      uint8 [h, w, 3], RGB.

    Raises:
      InputError: the file is missing, not a picture, truncated, or holds values with no 8-bit meaning.

    Source: DDAD, published code, data set class (resize); formats beyond RGB and grey are ours.
    """
    return read_sized(path, size, orient=orient)[0]


def read_sized(path: Source, size: Size, *, orient: bool = True) -> tuple[np.ndarray, tuple[int, int]]:
    """``read_image``, and the (height, width) that the picture had before it was resized."""
    picture = _to_eight_bits(_decode(_source(path), orient), _source(path))
    resized = picture.resize(_width_height(size), Image.Resampling.BILINEAR)
    return _rgb(resized), (picture.height, picture.width)


def read_full(path: Source, *, orient: bool = True) -> np.ndarray:
    """A picture at its own size: uint8 [h, w, 3], RGB; ``resized`` makes of it what ``read_image`` gives.

    Args:
      path, orient: as of ``read_image``.

    Raises:
      InputError: as ``read_image``.
    """
    return _rgb(_to_eight_bits(_decode(_source(path), orient), _source(path)))


def resized(pixels: np.ndarray, size: Size) -> np.ndarray:
    """``read_image`` of a picture in memory, bit for bit.

    Args:
      pixels: uint8 [h, w, 3] or [h, w].
      size: as of ``read_image``.
    """
    return np.asarray(Image.fromarray(pixels).resize(_width_height(size), Image.Resampling.BILINEAR))


def read_mask(
    path: Source,
    size: Size,
    *,
    image: Source | None = None,
    any_nonzero: bool = False,
    orient: bool = True,
) -> np.ndarray:
    """A ground-truth mask at the one rule all default metrics share: m = (resized value / full scale) > 0.5.

    Args:
      path, size, image, any_nonzero, orient: see `read_mask_float`.

    Returns:
      bool [h, w], True = defective. A defect thinner than about half a pixel of the result vanishes.
        Deviation: the published metrics read one grey-edged mask at two rules (> 0 for pixel AUROC, = 1 for
        the regions of PRO); they get the grey edges from `read_mask_float`.

    Raises:
      InputError: see `read_mask_float`.
    """
    return read_mask_float(path, size, image=image, any_nonzero=any_nonzero, orient=orient) > 0.5


def read_mask_float(
    path: Source,
    size: Size,
    *,
    image: Source | None = None,
    any_nonzero: bool = False,
    orient: bool = True,
) -> np.ndarray:
    """A ground-truth mask resized like its image, with the grey edges the resize leaves.

    What its grey values mean is decided by `ddad_jax.data.mask_values`: black and white, classes, soft edges. In a
    colour mask the brightest channel counts; in a palette mask every colour but black is a class.

    Args:
      path: the mask's file.
      size: of the result in pixels, the side of a square or (height, width).
      image: the picture it belongs to; when given, both must be of the same size before resizing.
      any_nonzero: every value but 0 is full scale, whatever else the values look like (VisA's class numbers).
        Deviation: the published code reads masks as grey values only; files of 0 and 255 are unaffected.
      orient: as in `read_image`; applies to the mask and, for the comparison of sizes, to its image.

    Returns:
      float32 [h, w] in [0, 1].

    Raises:
      InputError: the file is unreadable, or its size differs from its image's; both files are named.

    Source: DDAD, published code, data set class.
    """
    return read_mask_values(path, size, image=image, any_nonzero=any_nonzero, orient=orient).share


def read_mask_values(
    path: Source,
    size: Size,
    *,
    image: Source | None = None,
    any_nonzero: bool = False,
    orient: bool = True,
    must_be_mask: bool = False,
) -> MaskValues:
    """`read_mask_float`, and by which rule the values were understood; arguments and errors are its own.

    Args:
      must_be_mask: refuse what is hardly one: a photograph, a drawing on another ground than black.
    """
    path = _source(path)
    picture = _decode(path, orient)
    if image is not None:
        _require_same_size(path, picture, _source(image), orient)
    values, full_scale = _mask_values(picture, path)
    if must_be_mask and not any_nonzero:
        _require_mask(path, picture, values, full_scale)
    if any_nonzero:
        meant = MaskValues((values > 0).astype(np.float32), "plain")
    else:
        meant = understood(values, full_scale, indexed=picture.mode in ("P", "PA"), lossy=_is_lossy(path))
    eight_bit = np.round(meant.share * 255).astype(np.uint8)
    resized = Image.fromarray(eight_bit).resize(_width_height(size), Image.Resampling.BILINEAR)
    return meant._replace(share=np.asarray(resized, np.float32) / np.float32(255))


def image_size(path: Source, *, orient: bool = True) -> tuple[int, int]:
    """(height, width) in pixels of a picture as `read_image` sees it before resizing.

    Raises:
      InputError: the file is missing, not a picture, or too large to be read.
    """
    return size_of(_source(path), orient)


def _rgb(picture: Image.Image) -> np.ndarray:
    pixels = np.asarray(picture)
    return np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 2 else pixels


def _width_height(size: Size) -> tuple[int, int]:
    """As Pillow takes it."""
    return (size, size) if isinstance(size, int) else (size[1], size[0])


def encoded(path: Path) -> Encoded:
    """A picture's file as it is.

    Raises:
      InputError: it is missing or cannot be read.
    """
    try:
        return Encoded(str(path), path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from error


def _source(path: Source) -> Path | Encoded:
    return Path(path) if isinstance(path, str) else path


def _is_lossy(path: Path | Encoded) -> bool:
    with opened_picture(path) as picture:
        return picture.format in ("JPEG", "WEBP")


def _mask_values(picture: Image.Image, path: Path | Encoded) -> tuple[np.ndarray, float]:
    if picture.mode.startswith("I") or picture.mode == "F":
        return _wide_values(picture, path)
    if picture.has_transparency_data:
        layers = np.asarray(picture.convert("RGBA"))
        ink, alpha = layers[layers[..., 3] > 0][:, :3], layers[..., 3]
        if ink.size and (ink == ink[0]).all() and alpha.min() < alpha.max():
            return alpha.astype(np.float64), 255.0  # drawn in one ink, which may be black, on nothing
    values = np.asarray(_to_eight_bits(picture, path)).astype(np.float64)
    return (values.max(-1) if values.ndim == 3 else values), 255.0


def _require_mask(path: Path | Encoded, picture: Image.Image, values: np.ndarray, full_scale: float) -> None:
    """Not what is read with a result, but a wrong one: a photograph, or a drawing on another ground than black.

    Raises:
      InputError: it is one of these.
    """
    mend = "Expected a mask: black where the part is sound, white where it is not"
    black = NOISE * values.max(initial=0) if _is_lossy(path) else 0.0
    if values.min() > black:
        levels = values if picture.mode.startswith("I") or picture.mode == "F" else _to_eight_bits(picture, path)
        colours = np.unique(np.asarray(levels).reshape(values.size, -1)[:: max(1, values.size // 2**20)], axis=0)
        if len(colours) > 1:
            raise InputError(f"{path}: is taken for a mask, but holds no black. {mend}.")
    if is_textured(values, full_scale):
        raise InputError(f"{path}: is taken for a mask, but looks like a photograph. {mend}.")


def _require_same_size(mask_path: Path | Encoded, mask: Image.Image, image_path: Path | Encoded, orient: bool) -> None:
    expected, found = image_size(image_path, orient=orient), (mask.height, mask.width)
    if found != expected:
        hint = ""
        if orient and found == image_size(image_path, orient=False):
            turned = "The mask fits the image as it is stored, before its EXIF tag turns it"
            hint = f" {turned}: save the picture upright, or turn the mask."
        raise InputError(
            f"mask {mask_path} is {found[0]} x {found[1]} pixels (height x width), but its image "
            f"{image_path} is {expected[0]} x {expected[1]}. Save the mask at the image's size.{hint}"
        )
