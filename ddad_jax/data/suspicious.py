"""L1. What is odd about the pictures of a data set: said before hours of training, and nothing is refused for it.

Pictures without light or contrast, all the same, grey among colour, of other proportions or another resolution, and
test pictures that are (nearly) training pictures or each other. Two pictures are nearly the same where they differ by
less than `CLOSE` grey levels, and by far less than pictures of this data set do: identical parts before a fixed camera,
or frames next to each other, are as close among themselves, and are no copies.
"""

from collections.abc import Sequence

import numpy as np

from ddad_jax.data import ImageSet
from ddad_jax.data.read import resized

DARK = 24
"""Of 255: the brightest of a picture of 12 bits saved in 16 is 15, of one of 10 bits 3."""
NARROW = 16
"""Grey levels from the darkest to the brightest."""
CLOSE = 1.5
"""Root mean square difference of two thumbnails, in grey levels of 255."""
FAR_CLOSER = 0.2
"""Copies are closer than this share of what is usual between neighbours of the data set."""
STRETCHED = 1.1
"""Times as wide for its height as any training picture, or as narrow: all are brought to one size, and lines bend."""
COARSER = 1.5
"""Times as large as any training picture, or as small: at one size it is sharper or more blurred."""
BLOCK = 512
"""Pictures compared with as many others at once: all pairs of a large data set fill the memory."""
_SIDE, _NAMED = 32, 3
_STRETCH = "scale the values to the full range before they are saved (12 bits in 16: times 16), all by the same factor"


def suspicious(train: ImageSet, test: ImageSet) -> list[str]:
    """A sentence for each oddity, with how many, some names, and the cure; none where all is as usual.

    Args:
      train, test: all pictures as they were loaded.
    """
    return [*_light(train, test), *_colour(train, test), *_sizes(train, test), *_copies(train, test)]


def _light(train: ImageSet, test: ImageSet) -> list[str]:
    notes = []
    names = [*(f"train: {name}" for name in train.names), *(f"test: {name}" for name in test.names)]
    span = np.array([_span(image) for images in (train.images, test.images) for image in images]).reshape(-1, 2)
    darkest, brightest = span[:, 0], span[:, 1]
    flat = darkest == brightest
    for odd, what in (
        (flat, "show one value everywhere: look at them, and remove those that show nothing"),
        (
            ~flat & (brightest < DARK),
            f"are nearly black, nothing in them is above {DARK} of 255: {_STRETCH}; take out what shows nothing",
        ),
        (
            ~flat & (darkest > 255 - DARK),
            f"are nearly white, nothing in them is below {255 - DARK} of 255: expose less",
        ),
        (
            ~flat & (brightest >= DARK) & (darkest <= 255 - DARK) & (brightest - darkest < NARROW),
            f"use fewer than {NARROW} of 256 grey levels: {_STRETCH}",
        ),
    ):
        if odd.any():
            notes.append(f"{odd.sum()} of {len(odd)} pictures {what} ({_some(np.array(names)[odd])})")
    return notes


def _span(image: np.ndarray) -> tuple[float, float]:
    """The darkest and the brightest value but for one in a thousand: a dead pixel makes no light."""
    step = max(1, max(image.shape[:2]) // 256)
    values = image[::step, ::step]
    if step > 1 and values.min() == values.max():
        values = image
    if values.min() == values.max():
        return float(values.min()), float(values.min())
    low, high = np.percentile(values, (0.1, 99.9))
    return float(low), max(float(high), float(low) + 0.5)


def _colour(train: ImageSet, test: ImageSet) -> list[str]:
    """Where all training pictures are of one sort; pictures of one value are of no sort."""
    grey, greys = (np.array([_is_grey(image) for image in part.images], bool) for part in (train, test))
    if not len(grey) or not len(greys) or 0 < grey.sum() < len(grey):
        return []
    odd = (greys != grey[0]) & (np.ptp(test.images.reshape(len(greys), -1), axis=1) > 0)
    if not odd.any():
        return []
    kinds = ("grey", "in colour") if grey[0] else ("in colour", "grey")
    return [
        f"all training pictures are {kinds[0]}, but {odd.sum()} of {len(odd)} test pictures are {kinds[1]} "
        f"({_some(np.array(test.names)[odd])}): they differ from normal ones by that alone; save all of them alike"
    ]


def _is_grey(image: np.ndarray) -> bool:
    return bool((image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all())


def _sizes(train: ImageSet, test: ImageSet) -> list[str]:
    """Test pictures whose file is unlike any training picture's; a range that training covers is none of our business.

    Nothing where sizes are not known.
    """
    if not train.sizes or not test.sizes:
        return []
    learnt, shown = np.array(train.sizes, float), np.array(test.sizes, float)
    ratios, sides = learnt[:, 1] / learnt[:, 0], np.sqrt(learnt.prod(1))
    ratio, side = shown[:, 1] / shown[:, 0], np.sqrt(shown.prod(1))
    stretched = (ratio > ratios.max() * STRETCHED) | (ratio < ratios.min() / STRETCHED)
    coarser = ~stretched & ((side > sides.max() * COARSER) | (side < sides.min() / COARSER))
    usual = "{} x {}".format(*max(set(train.sizes), key=train.sizes.count))
    notes = []
    for odd, what in (
        (stretched, "have proportions that no training picture has: all are brought to one size, so these are "
         "stretched otherwise; crop or record them alike"),
        (coarser, "are far larger or smaller than any training picture: brought to one size they are sharper or more "
         "blurred, which may count as a difference; record them alike"),
    ):  # fmt: skip
        if odd.any():
            named = [f"{test.names[i]} of {test.sizes[i][0]} x {test.sizes[i][1]}" for i in np.flatnonzero(odd)]
            notes.append(
                f"{odd.sum()} of {len(odd)} test pictures {what} ({_some(named)}; training: {usual}, height x width)"
            )
    return notes


def _copies(train: ImageSet, test: ImageSet) -> list[str]:
    if not len(train.names) or not len(test.names):
        return []
    seen, shown = _thumbnails(train.images), _thumbnails(test.images)
    notes = []
    if len(seen) > 1 and _identical(train.images):
        notes.append(f"all {len(seen)} training pictures are the same one: copies teach nothing; add others")
    bound = 0.0
    if len(seen) > 1:
        bound = min(CLOSE, FAR_CLOSER * float(np.median(_nearest(seen, seen, others=True)[1])))
    pairs = _pairs(_nearest(shown, seen), bound, test, train)
    if pairs:
        n = len({i for i, _ in pairs})
        named = _some([f"{test.names[i]} = {train.names[j]}" for i, j in pairs])
        notes.append(
            f"{n} of {len(shown)} test pictures are training pictures, or nearly ({named}): their scores say nothing "
            "of new pictures; take them out of the one or the other"
        )
    twins = [(i, j) for i, j in _pairs(_nearest(shown, shown, others=True), bound, test, test) if i < j]
    if twins:
        apart = [(i, j) for i, j in twins if test.labels[i] != test.labels[j]]
        named = _some([f"{test.names[i]} = {test.names[j]}" for i, j in apart or twins])
        good = f", {len(apart)} of these pairs once as good and once as a defect" if apart else ""
        notes.append(
            f"{len({j for _, j in twins})} of {len(shown)} test pictures are there twice, or nearly{good} ({named}): "
            "each counts for two; keep one of each"
        )
    return notes


def _pairs(
    nearest: tuple[np.ndarray, np.ndarray], bound: float, rows: ImageSet, columns: ImageSet
) -> list[tuple[int, int]]:
    """(row, column) of the same picture: each row's nearest, of the same bytes or within the bound."""
    return [
        (i, int(j))
        for i, (j, d) in enumerate(zip(*nearest, strict=True))
        if d < bound or (d < 0.01 and np.array_equal(rows.images[i], columns.images[j]))
    ]


def _identical(images: np.ndarray) -> bool:
    return all(np.array_equal(images[0], image) for image in images[1:])


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """float32 [n, 32 * 32], the sum of red, green and blue: whole numbers, so that distances are exact."""
    thumbnails = np.empty((len(images), _SIDE * _SIDE), np.float32)
    for row, image in zip(thumbnails, images, strict=True):
        row[:] = resized(image, _SIDE).sum(-1, dtype=np.float32).ravel()
    return thumbnails


def _nearest(rows: np.ndarray, columns: np.ndarray, *, others: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Of each row its nearest column, the first of several, and how far it is; one block in memory at a time.

    Args:
      rows, columns: thumbnails [n, d], [m, d].
      others: rows and columns are the same pictures, and none is its own neighbour.

    Returns:
      indices int [n] and root mean square differences float64 [n], in grey levels; infinite where there is no other.
    """
    of_columns = np.einsum("md,md->m", columns, columns, dtype=np.float64)
    index, squares = np.zeros(len(rows), int), np.full(len(rows), np.inf)
    for top in range(0, len(rows), BLOCK):
        a = rows[top : top + BLOCK].astype(np.float64)
        here, of_a = np.arange(top, top + len(a)), (a**2).sum(1)
        for left in range(0, len(columns), BLOCK):
            b = columns[left : left + BLOCK].astype(np.float64)
            block = a @ b.T
            block *= -2
            block += of_a[:, None]
            block += of_columns[left : left + BLOCK]
            if others and left == top:
                np.fill_diagonal(block, np.inf)
            column = block.argmin(1)
            least = block[np.arange(len(a)), column]
            closer = least < squares[here]
            index[here[closer]], squares[here[closer]] = column[closer] + left, least[closer]
    return index, np.sqrt(squares / rows.shape[1]) / 3


def _some(names: Sequence[str] | np.ndarray) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(str, names[:_NAMED])) + more
