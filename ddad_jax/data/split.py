"""L1. Parts of an `ImageSet`, above all the normal pictures held out of training, and its fingerprint."""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ddad_jax.data import DataSet, ImageSet
from ddad_jax.data.batches import image_seed
from ddad_jax.errors import InputError
from ddad_jax.metrics.thresholds import tuning_size


def hold_out(
    train: ImageSet, *, fraction: float = 0.15, minimum: int = 4, seed: int = 0, recordings: Sequence[str] = ()
) -> tuple[ImageSet, ImageSet]:
    """Keeps normal pictures from training; constants, thresholds and stopping times are measured on them, without
    labels.

    n_held = min(max(round(fraction n), minimum), floor(n / 2)), drawn by ``seed``; both parts keep the order. Where
    pictures come from recordings, whole recordings are held out, as many as reach n_held, all but one at most: frames
    next to each other show nearly the same, so a held-out one beside its neighbours would promise too low a score.
      Deviation: the published code trains on every normal picture and chooses on the test set.

    Args:
      train: at least 2 pictures.
      fraction: share held out, in (0, 1).
      minimum: held out at least, where the set has twice as many.
      seed: of the draw; the same seed, number of pictures and recordings give the same parts.
      recordings: the one each picture comes from, [n]; empty, or all the same: single pictures are drawn.

    Returns:
      (fit, held_out), disjoint, together ``train``, neither empty.

    Raises:
      InputError: fewer than 2 pictures; fraction or minimum out of range; recordings of other pictures.
    """
    n = len(train.names)
    if n < 2:
        raise InputError(
            f"{n} training image(s): at least 2 are needed, one to learn from and one held out. "
            f"Add normal pictures to train/good."
        )
    if not 0 < fraction < 1:
        raise InputError(f"held-out fraction {fraction}: expected a number between 0 and 1, for example 0.15.")
    if minimum < 1:
        raise InputError(f"held-out minimum {minimum}: expected at least 1.")
    if len(recordings) not in (0, n):
        raise InputError(f"recordings of {len(recordings)} pictures: expected {n}, one a training picture, or none.")
    n_held, random = min(max(round(fraction * n), minimum), n // 2), np.random.default_rng(seed)
    if len(set(recordings)) > 1:
        held = _whole_recordings(np.asarray(recordings), n_held, random)
    else:
        held = np.isin(np.arange(n), random.permutation(n)[:n_held])
    return subset(train, np.flatnonzero(~held)), subset(train, np.flatnonzero(held))


def _whole_recordings(recordings: np.ndarray, n_held: int, random: np.random.Generator) -> np.ndarray:
    """bool [n], the pictures of drawn recordings."""
    held = np.zeros(len(recordings), bool)
    for name in random.permutation(np.unique(recordings))[:-1]:
        held |= recordings == name
        if held.sum() >= n_held:
            break
    return held


def split_held_out(
    held_out: ImageSet, *, share: float, seed: int = 0, recordings: Sequence[str] = ()
) -> tuple[ImageSet, ImageSet] | None:
    """Parts held-out pictures into those that choose and those that give thresholds; both keep the order.

    n_tuning = ``tuning_size(n, share)``. Which part a picture goes to depends on its own pixels, the seed and how many
    there are, never on its name or place; equal pictures stay together. Where pictures come from several recordings
    whole ones are parted: in drawn order each that still fits into n_tuning, or the smallest where none does. Of one
    recording, or where a part would have a single frame, the first n_tuning frames choose, as frames next to each other
    show nearly the same.

    Args:
      share: of those that choose, in (0, 1).
      recordings: the one each picture comes from, [n]; empty: unknown.

    Returns:
      (tuning, calibration), disjoint, together ``held_out``; None where they are too few to be parted.
    """
    n = len(held_out.names)
    size = tuning_size(n, share)
    if not size:
        return None
    if len(set(recordings)) == 1:
        chosen = np.arange(n) < size
    else:
        of = list(recordings) or [str(image_seed(image)) for image in held_out.images]
        sizes = {name: of.count(name) for name in dict.fromkeys(of)}
        taken: list[str] = []
        for name in sorted(sizes, key=lambda name: (zlib.crc32(f"{seed}/{name}".encode()), name)):
            if sum(sizes[one] for one in taken) + sizes[name] <= size:
                taken.append(name)
        chosen = np.isin(of, taken or [min(sizes, key=lambda name: (sizes[name], name))])
    if recordings and not 2 <= chosen.sum() <= n - 2:
        chosen = np.arange(n) < size
    if chosen.all():  # nothing but copies of one picture
        return None
    return subset(held_out, np.flatnonzero(chosen)), subset(held_out, np.flatnonzero(~chosen))


def balanced(dataset: DataSet) -> DataSet:
    """Moves normal pictures from training to the test until it has as many normal pictures as defective ones.

    m = min(defective - normal of the test, floor(n / 2)); nothing where m <= 0. Which pictures go depends on their
    names alone, in the order of CRC-32. Where pictures come from several recordings, whole ones go, each that still
    fits, so that the test shows no neighbour of a training picture; of a single recording, its last m frames. Those
    that went come last in the test, in training's order; a note says how many.

    Source: Cools et al. (2025), section 3.2, which moves them without saying which.
    """
    train, test = dataset.train, dataset.test
    n, defective = len(train.names), int(test.labels.sum())
    m = min(2 * defective - len(test.labels), n // 2)
    if m <= 0:
        return dataset
    recordings = dataset.recordings
    if len(set(recordings)) == 1:
        moved = np.arange(n) >= n - m
    else:
        of = list(recordings) or list(train.names)
        sizes = Counter(of)
        taken: set[str] = set()
        for name in sorted(sizes, key=lambda name: (zlib.crc32(name.encode()), name)):
            if sizes[name] <= m:
                taken.add(name)
                m -= sizes[name]
        moved = np.isin(of, sorted(taken))
    note = (
        f"{dataset.name}: {int(moved.sum())} of {n} normal training pictures were moved to the test, which now has "
        f"{len(test.labels) - defective + int(moved.sum())} normal and {defective} defective ones"
    )
    return dataset._replace(
        train=subset(train, np.flatnonzero(~moved)),
        test=joined(test, subset(train, np.flatnonzero(moved))),
        recordings=tuple(name for name, goes in zip(recordings, moved, strict=False) if not goes),
        notes=(*dataset.notes, note),
    )


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """The pictures of both, of one size; what is known of a picture's file in only one of them is dropped."""
    arrays = ("images", "labels", "masks", "has_mask")
    sizes = (*first.sizes, *second.sizes)
    return ImageSet(
        **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in arrays},
        defects=(*first.defects, *second.defects),
        names=(*first.names, *second.names),
        sizes=sizes if len(sizes) == len(first.names) + len(second.names) else (),
    )


def subset(images: ImageSet, indices: Sequence[int] | np.ndarray) -> ImageSet:
    """The pictures at ``indices`` (int [m], in that order, repeats allowed), copied."""
    chosen = np.asarray(indices, np.int64)
    return ImageSet(
        images=images.images[chosen],
        labels=images.labels[chosen],
        masks=images.masks[chosen],
        has_mask=images.has_mask[chosen],
        defects=tuple(images.defects[i] for i in chosen),
        names=tuple(images.names[i] for i in chosen),
        sizes=tuple(images.sizes[i] for i in chosen) if images.sizes else (),
    )


def spread(n: int, most: int) -> np.ndarray:
    """At most ``most`` of the indices 0 .. n-1, evenly over them, rising: int [min(n, most)]; n, most >= 1.

    >>> spread(10, 4).tolist()
    [0, 3, 6, 9]
    """
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def images_fingerprint(images: ImageSet) -> str:
    """SHA-256 (hexadecimal) of all arrays, names and kinds in order: equal where the data were the same."""
    digest = hashlib.sha256()
    for array in (images.images, images.labels, images.masks, images.has_mask):
        digest.update(json.dumps([str(array.dtype), array.shape]).encode())
        digest.update(np.ascontiguousarray(array).data)
    digest.update(json.dumps([images.defects, images.names]).encode())
    return digest.hexdigest()
