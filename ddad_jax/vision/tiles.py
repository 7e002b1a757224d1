"""L1. Large pictures as overlapping tiles, and maps of tiles as one map again; *host*, NumPy alone.

A 24-pixel defect of a 2048 x 3072 picture is 2 pixels once the picture is shrunk to 256: seen tile by tile it
keeps its size. Order everywhere: picture by picture, in each from top to bottom, in a row from left to right.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np

from ddad_jax.errors import InputError


@dataclass(frozen=True)
class Tiling:
    """Where the tiles of one picture lie."""

    picture: tuple[int, int]
    """(H, W) in pixels."""
    size: int
    """Side of a tile in pixels."""
    rows: tuple[int, ...]
    """First row of each row of tiles, rising from 0 to H - size."""
    columns: tuple[int, ...]
    """First column of each column of tiles, rising from 0 to W - size."""

    @property
    def count(self) -> int:
        """k, tiles of a picture."""
        return len(self.rows) * len(self.columns)

    @property
    def origins(self) -> tuple[tuple[int, int], ...]:
        """(first row, first column) of each of the k tiles, in the order of the module."""
        return tuple((y, x) for y in self.rows for x in self.columns)


def tiling(picture: tuple[int, int], size: int, overlap: int) -> Tiling:
    """The fewest tiles that cover a picture exactly, spread evenly.

    A side of L pixels takes n = ceil((L - overlap) / (size - overlap)) tiles that begin at
    round(i (L - size) / (n - 1)): the first and the last lie flush, and neighbours share at least ``overlap``.

    Args:
      picture: (H, W) in pixels.
      size: side of a tile in pixels, at least 1.
      overlap: pixels that neighbours share at least, 0 .. size - 1. A defect not larger than it lies whole in
        some tile.

    Raises:
      InputError: a tile larger than the picture, or an overlap that leaves no progress.

    >>> tiling((100, 150), 64, 16)
    Tiling(picture=(100, 150), size=64, rows=(0, 36), columns=(0, 43, 86))
    """
    height, width = picture
    if size < 1:
        raise InputError(f"tile size {size}: expected at least 1 pixel")
    if not 0 <= overlap < size:
        raise InputError(f"tile overlap {overlap}: expected 0 to {size - 1}, less than the tile size {size}")
    if min(height, width) < size:
        raise InputError(
            f"tile size {size}: the picture is {height} x {width} pixels (height x width), smaller than one tile. "
            f"Use tiles of at most {min(height, width)}, or none"
        )
    return Tiling((height, width), size, _starts(height, size, overlap), _starts(width, size, overlap))


def tiles(picture: np.ndarray, t: Tiling) -> Iterator[np.ndarray]:
    """The tiles of one picture [H, W, ...], one after the other, as views [s, s, ...]: nothing is copied.

    Raises:
      InputError: the picture is not of the tiling's size.
    """
    if picture.shape[:2] != t.picture:
        raise InputError(
            f"a picture of {picture.shape[0]} x {picture.shape[1]} pixels (height x width), but the tiling is for "
            f"{t.picture[0]} x {t.picture[1]}. All pictures of a tiled data set must have one size"
        )
    return (picture[y : y + t.size, x : x + t.size] for y, x in t.origins)


def cut(images: np.ndarray, t: Tiling) -> np.ndarray:
    """[n, H, W, ...] -> [n k, s, s, ...], of the same type; ``tiles`` where that is too much at once.

    Raises:
      InputError: as ``tiles``.
    """
    found = np.empty((len(images) * t.count, t.size, t.size, *images.shape[3:]), images.dtype)
    for i, image in enumerate(images):
        for j, tile in enumerate(tiles(image, t)):
            found[i * t.count + j] = tile
    return found


class Tiles:
    """``cut`` of which only what is asked for is in memory: by places, by a slice, or one after another.

    Attributes:
      shape: of what ``cut`` gives. dtype: of the images.

    Args:
      images: [n, H, W, ...], or n >= 1 pictures that lie apart; none is copied.
    """

    def __init__(self, images: Sequence[np.ndarray] | np.ndarray, t: Tiling) -> None:
        self._images, self._tiling = images, t
        self.shape = (len(images) * t.count, t.size, t.size, *images[0].shape[2:])
        self.dtype = images[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (tile for image in self._images for tile in tiles(image, self._tiling))

    def __getitem__(self, places: np.ndarray | slice) -> np.ndarray:
        """A copy [m, s, s, ...] of the tiles at these places."""
        found = np.arange(len(self))[places]
        out, (origins, size) = (
            np.empty((len(found), *self.shape[1:]), self.dtype),
            (self._tiling.origins, self.shape[1]),
        )
        for row, place in enumerate(found):
            image, (y, x) = self._images[place // len(origins)], origins[place % len(origins)]
            out[row] = image[y : y + size, x : x + size]
        return out


def stitch_one(maps: Iterable[np.ndarray], t: Tiling) -> np.ndarray:
    """The k maps [s, s] of one picture's tiles, as they come, -> its map, float32 [H, W].

    M(p) = sum_i w_i(p) m_i(p) / sum_i w_i(p) over the tiles that hold p. w falls linearly towards those edges of
    a tile beyond which a neighbour goes on, over the whole width the two share; so a tile's edge has no say, no
    seam is left, and the map of a map's tiles is that map. Where there is one tile its value stands.

    Args:
      maps: an iterable of exactly k arrays, NumPy or JAX, in the order of the module.

    Raises:
      InputError: another number of maps, or of another size.
    """
    whole, found = np.zeros(t.picture, np.float32), 0
    down, across = _weights(t.picture[0], t.size, t.rows), _weights(t.picture[1], t.size, t.columns)
    columns = len(t.columns)
    for found, tile in enumerate(maps, start=1):
        if found > t.count:
            break
        m = np.asarray(tile, np.float32)
        if m.shape != (t.size, t.size):
            raise InputError(f"the map of a tile has shape {m.shape}: expected {(t.size, t.size)}")
        i, j = divmod(found - 1, columns)
        y, x = t.rows[i], t.columns[j]
        whole[y : y + t.size, x : x + t.size] += down[i][:, None] * across[j][None, :] * m
    if found != t.count:
        raise InputError(f"{found} or more maps of tiles: expected {t.count}, {len(t.rows)} x {columns} for a picture")
    return whole


def stitch(maps: np.ndarray, t: Tiling) -> np.ndarray:
    """``stitch_one`` for each of n pictures: [n k, s, s] -> float32 [n, H, W].

    Raises:
      InputError: not a whole number of pictures, or maps of another size.
    """
    if len(maps) % t.count:
        raise InputError(f"{len(maps)} maps of tiles: expected a multiple of {t.count}, the tiles of a picture")
    whole = np.empty((len(maps) // t.count, *t.picture), np.float32)
    for i in range(len(whole)):
        whole[i] = stitch_one(maps[i * t.count : (i + 1) * t.count], t)
    return whole


def tile_names(name: str, t: Tiling) -> list[str]:
    """A name for each tile: "test/dent/7.png" -> "test/dent/7_y0000_x0512.png" for the tile that begins there.

    Sorted names are in the order of the tiles.
    """
    path = PurePosixPath(name)
    digits = max(4, len(str(max(t.picture))))
    return [
        path.with_name(f"{path.stem}_y{y:0{digits}d}_x{x:0{digits}d}{path.suffix}").as_posix() for y, x in t.origins
    ]


def _starts(length: int, size: int, overlap: int) -> tuple[int, ...]:
    n = max(1, -(-(length - overlap) // (size - overlap)))
    # Rounding keeps the overlap: a step of at most size - overlap, a whole number, is not rounded above it.
    return tuple(int(at) for at in np.round(np.linspace(0, length - size, n)))


@lru_cache(maxsize=8)
def _weights(length: int, size: int, starts: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """w of each tile along one side, float32 [s], divided by the sum of all that cover a pixel.

    A product of two such divides by the sum of products, so both sides are treated apart.
    """
    # A width of 1/2 stands for none: the ramp is then at 1 from its first pixel.
    at, total, raw = np.arange(size) + 0.5, np.zeros(length), []
    for i, start in enumerate(starts):
        w = np.ones(size)
        if i > 0:
            w = np.minimum(w, at / max(starts[i - 1] + size - start, 0.5))
        if i + 1 < len(starts):
            w = np.minimum(w, at[::-1] / max(start + size - starts[i + 1], 0.5))
        raw.append(w)
        total[start : start + size] += w
    return tuple((w / total[s : s + size]).astype(np.float32) for s, w in zip(starts, raw, strict=True))
