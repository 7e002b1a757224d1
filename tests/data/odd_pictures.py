"""One folder of odd picture files: what cameras, scanners and editors save, and what is damaged."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (20, 30, 3), np.uint8)
GREY = RGB[..., 0]
WIDE = RNG.integers(0, 65536, (20, 30), np.uint16)
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{}"/></x:xmpmeta>'


def exif(value: object) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = value
    return tags


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path: Path, depth: int, colour: int, size: tuple[int, int], rows: bytes, *, behind: bytes = b"") -> None:
    """A PNG by hand; size: (width, height); rows: filter bytes and pixels; behind: chunks behind the pixels."""
    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), behind, chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def tiff(path: Path, values: np.ndarray, tags: list[tuple[int, int, int, bytes]], order: str = "<") -> None:
    """A TIFF of one grey strip by hand; tags: (number, type, count, four bytes), besides what it needs."""
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape

    def short(number: int, value: int) -> tuple[int, int, int, bytes]:
        return number, 3, 1, struct.pack(f"{order}HH", value, 0)

    own = [short(256, width), short(257, height), short(258, 8 * values.itemsize), short(259, 1), short(262, 1),
           (273, 4, 1, struct.pack(f"{order}I", 8)), short(277, 1), short(278, height),
           (279, 4, 1, struct.pack(f"{order}I", len(data)))]  # fmt: skip
    entries = sorted([*own, *tags])
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(
        struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries
    )
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    path.write_bytes(start + data + directory + b"\0\0\0\0")


def _saved(array: np.ndarray, mode: str = "", **how: object) -> Callable[[Path], object]:
    def write(path: Path) -> object:
        picture = Image.fromarray(array)
        return (picture.convert(mode) if mode else picture).save(path, **how)

    return write


def _frames(path: Path) -> None:
    other = Image.fromarray(RGB[::-1, ::-1].copy())
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    Image.fromarray(RGB).save(path, save_all=True, append_images=[other], **lossless)


def _orientation_behind(path: Path) -> None:
    tags = exif(6).tobytes().removeprefix(b"Exif\0\0")
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    png(path, 8, 0, (30, 20), rows, behind=chunk(b"eXIf", tags))


def _sixteen_bit_colour(path: Path) -> None:
    wide = RNG.integers(0, 65536, (20, 30, 3), np.uint16)
    png(path, 16, 2, (30, 20), b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide))


def _palette(path: Path) -> None:
    Image.fromarray(RGB).quantize(16).save(path, transparency=3)


def _xmp_png(path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.format(6))
    Image.fromarray(RGB).save(path, pnginfo=info)


def _cut(path: Path) -> None:
    Image.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes()[:-400])


def _claims(path: Path) -> None:
    png(path, 8, 0, (60_000, 60_000), b"\0" * 100)


SOUND: dict[str, Callable[[Path], object]] = {
    **{f"turned{n}{suffix}": _saved(RGB, exif=exif(n)) for n in range(2, 9) for suffix in (".tif", ".png")},
    "turned.jpg": _saved(RGB, exif=exif(6)),
    "turned.webp": _saved(RGB, lossless=True, exif=exif(8)),
    "behind.png": _orientation_behind,
    "nine.png": _saved(RGB, exif=exif(9)),
    "none.jpg": _saved(RGB, exif=exif(0)),
    "damaged_exif.jpg": _saved(RGB, exif=b"Exif\0\0nonsense" + b"\xff" * 40),
    "xmp.png": _xmp_png,
    "xmp.webp": _saved(RGB, lossless=True, xmp=XMP.format(6).encode()),
    "xmp.jpg": _saved(RGB, xmp=XMP.format(5).encode()),
    "long.tif": lambda path: tiff(path, GREY, [(274, 4, 1, struct.pack("<I", 6))]),
    "text.tif": lambda path: tiff(path, GREY, [(274, 2, 2, b"6\0\0\0")]),
    "two.tif": lambda path: tiff(path, GREY, [(274, 3, 2, struct.pack("<HH", 6, 1))]),
    "big_endian.tif": lambda path: tiff(path, WIDE, [(274, 3, 1, struct.pack(">HH", 8, 0))], ">"),
    "frames.tif": _frames,
    "frames.webp": _frames,
    "frames.png": _frames,
    "wide.png": _saved(WIDE),
    "wide.tif": _saved(WIDE, exif=exif(6)),
    "twelve.tif": _saved(WIDE // 16),
    "float.tif": _saved((WIDE / 65535).astype(np.float32)),
    "ints.tif": _saved(WIDE.astype(np.int32)),
    "colour16.png": _sixteen_bit_colour,
    "bits.png": _saved(GREY, "1"),
    "bits.tif": _saved(GREY, "1", exif=exif(5)),
    "grey_alpha.png": _saved(RGB, "LA"),
    "alpha.png": _saved(np.dstack([RGB, GREY])),
    "alpha.webp": _saved(np.dstack([RGB, GREY]), lossless=True),
    "palette.png": _palette,
    "palette.bmp": _saved(RGB, "P"),
    "cmyk.jpg": _saved(RGB, "CMYK"),
    "cmyk.tif": _saved(RGB, "CMYK", exif=exif(7)),
    "lab.tif": _saved(RGB, "LAB"),
    "ycbcr.jpg": _saved(RGB, "YCbCr"),
    "CAPITALS.PNG": _saved(RGB),
}  # fmt: skip

REFUSED: dict[str, Callable[[Path], object]] = {
    "cut.png": _cut,
    "text.png": lambda path: path.write_text("no picture"),
    "nothing.jpg": lambda path: path.write_bytes(b""),
    "gif.png": lambda path: Image.fromarray(GREY).save(path, "GIF"),
    "claims.png": _claims,
    "nan.tif": _saved(np.full((20, 30), np.nan, np.float32)),
    "above.tif": _saved(np.full((20, 30), 255, np.float32)),
    "negative.tif": _saved(np.full((20, 30), -1, np.int32)),
}

PASSED_OVER: dict[str, Callable[[Path], object]] = {
    "._turned6.png": lambda path: path.write_bytes(b"\0\5\x16\7"),
    ".hidden.png": _saved(RGB),
    "folder.png": Path.mkdir,
    "notes.txt": lambda path: path.write_text("no picture"),
}


def written(folder: Path) -> list[Path]:
    """All of them; the sound ones and those refused, in the order of names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in {**SOUND, **REFUSED, **PASSED_OVER}.items():
        write(folder / name)
    return sorted(folder / name for name in (*SOUND, *REFUSED))
