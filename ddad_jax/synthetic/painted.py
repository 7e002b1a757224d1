"""L1. Synthetic defects on held-out normal pictures, with exact masks: settings can be chosen without a label.

A kind (`kinds`) damages a picture; what counts as damaged is decided here, for all of them, by what
has visibly changed.
"""

import math
import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from ddad_jax.data import ImageSet
from ddad_jax.data.batches import image_seed
from ddad_jax.errors import InputError
from ddad_jax.synthetic.kinds import DEFECTS
from ddad_jax.synthetic.shapes import object_map

__all__ = ["DEFECTS", "STRENGTHS", "damage", "painted_on", "synthetic_defects", "visible_change"]

STRENGTHS = (0.35, 0.6, 1.0)
"""Subtle to obvious: a fraction of contrast and size."""
TRIES = 16
"""A draw that hardly shows (a paste onto pixels like its own) is repeated so often at most."""
LEVEL = 6
"""A pixel has visibly changed when a channel differs by so much, of 255."""
CLEAR, OVER_TEXTURE = 14.0, 1.3
"""A defect is taken when its mask differs by so much on average, and by so many times the picture's detail there;
this is for strength 0.35, and full strength must be 1.65 times as clear."""
SMALLEST, LARGEST = 0.001, {"broken": 0.35}
"""Area of a mask, as a share of the picture; six pixels at least, a tenth at most where a kind does not say more."""


def visible_change(image: np.ndarray, damaged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a person would outline; everything else is put back as it was.

    Pixels that differ by LEVEL or more, closed over those between that differ at all, without specks.

    Args:
      image: uint8 [h, w, 3]; damaged: float32 of the same shape.

    Returns:
      (uint8 [h, w, 3], mask bool [h, w]). Equal to ``image`` where the mask is False; differs everywhere else.
    """
    after = np.clip(np.round(damaged), 0, 255).astype(np.uint8)
    change = np.abs(after.astype(np.int16) - image).max(axis=2)
    size = 2 * max(1, round(np.sqrt(change.size) / 64)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    closed = cv2.morphologyEx((change >= LEVEL).astype(np.uint8), cv2.MORPH_CLOSE, disc)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(closed * (change > 0).astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    mask = (areas >= max(3, 0.05 * areas.max()))[parts]
    return np.where(mask[..., None], after, image), mask


def damage(image: np.ndarray, kind: str, strength: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One defect, a function of the arguments alone; drawn again until it shows, else the clearest of TRIES.

    Args:
      image: uint8 [h, w, 3], h and w at least 32.
      kind: a key of DEFECTS.
      strength: in (0, 1], of contrast and size.
      seed: at least 0.

    Returns:
      (uint8 [h, w, 3], mask bool [h, w]), see ``visible_change``.

    Raises:
      InputError: not one draw shows.
    """
    key = [seed, int(image_seed(image)), zlib.crc32(kind.encode()), round(1e6 * strength)]
    rng = np.random.default_rng(key)
    sound = image.astype(np.float32)
    thing = object_map(sound)
    smallest, largest = max(6.0, SMALLEST * thing.size), LARGEST.get(kind, 0.1) * thing.size
    detail = np.abs(sound - cv2.GaussianBlur(sound, (0, 0), np.sqrt(thing.size) / 32)).max(axis=2)
    best, clearest = None, 0.0
    for _ in range(TRIES):
        after, mask = visible_change(image, DEFECTS[kind](sound, rng, strength, thing))
        area = int(mask.sum())
        if area == 0:
            continue
        change = float(np.abs(after.astype(np.int16) - image)[mask].max(axis=1).mean())
        clear = change / max(CLEAR, OVER_TEXTURE * float(detail[mask].mean())) / (0.65 + strength)
        # Too large must never win over a defect of the right size, nor a speck.
        clear = min(clear, 1.0) * min(area / smallest, largest / area, 1.0)
        if clear > clearest:
            best, clearest = (after, mask), clear
        if clear >= 1.0:
            break
    if best is None:
        raise InputError(f"no {kind!r} of strength {strength:g} shows on a picture; raise it or leave that kind out")
    return best


def synthetic_defects(
    images: np.ndarray,
    *,
    seed: int,
    per_image: int = 2,
    kinds: Sequence[str] = tuple(DEFECTS),
    strengths: Sequence[float] = STRENGTHS,
) -> ImageSet:
    """Damaged copies of normal pictures, to rank settings on where no test label may be used.

    Draw m = i per_image + j of image i takes kind m mod K and strength (m + m div lcm(K, S)) mod S: all K S
    pairs come before one returns, kinds and strengths equally often. What a copy looks like depends on its
    picture, kind, strength and ``seed`` alone; only which kinds a picture gets depends on its place.

    Defects lie on the object where the picture shows one (``object_map``), otherwise anywhere.

    Args:
      images: uint8 [n, h, w, 3], h and w at least 32; normal, and not trained on.
      seed: at least 0.
      per_image: copies of each picture, 1 to K S, all different.
      kinds: keys of DEFECTS, K of them.
      strengths: S numbers in (0, 1], subtle to obvious: a fraction of contrast and size.

    Returns:
      ImageSet of n per_image pictures in the order of ``images``: labels 1, known masks, defects
      "synthetic_<kind>", names "<index of the picture>/<kind>/<strength>".

    Raises:
      InputError: no images, another dtype or shape, an unknown or repeated kind, strength outside (0, 1],
        per_image or seed out of range.
    """
    _check(images, seed, per_image, kinds, strengths)
    n, K, S = len(images) * per_image, len(kinds), len(strengths)
    turns = [(m // per_image, kinds[m % K], float(strengths[(m + m // math.lcm(K, S)) % S])) for m in range(n)]
    damaged = [damage(images[i], kind, strength, seed=seed) for i, kind, strength in turns]
    return ImageSet(
        images=np.stack([image for image, _ in damaged]),
        labels=np.ones(n, np.int32),
        masks=np.stack([mask for _, mask in damaged]),
        has_mask=np.ones(n, bool),
        defects=tuple(f"synthetic_{kind}" for _, kind, _ in turns),
        names=tuple(f"{i:04d}/{kind}/{strength:g}" for i, kind, strength in turns),
    )


def painted_on(defects: ImageSet) -> np.ndarray:
    """Which picture of those given to ``synthetic_defects`` each of its results shows, int [n]."""
    return np.array([int(name.split("/")[0]) for name in defects.names], int)


def _check(images: np.ndarray, seed: int, per_image: int, kinds: Sequence[str], strengths: Sequence[float]) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or min(images.shape[1:3]) < 32:
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}: expected uint8 [n, h, w, 3], h and w at least 32"
        )
    if len(images) == 0:
        raise InputError("no pictures to paint defects on: hold some normal pictures out of training")
    if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(DEFECTS):
        raise InputError(f"kinds {list(kinds)}: expected some of {', '.join(DEFECTS)}, each once")
    if not strengths or len(set(strengths)) < len(strengths) or not all(0 < s <= 1 for s in strengths):
        raise InputError(f"strengths {list(strengths)}: expected different numbers in (0, 1]")
    if not 1 <= per_image <= len(kinds) * len(strengths):
        raise InputError(f"per_image is {per_image}: expected 1 to {len(kinds) * len(strengths)}, kinds x strengths")
    if seed < 0:
        raise InputError(f"seed is {seed}: expected 0 or more")
