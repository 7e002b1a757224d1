"""Which test pictures a report shows, and at what size."""

from collections.abc import Callable

import numpy as np
from skimage.measure import block_reduce

from ddad_jax.data import ImageSet
from ddad_jax.data.split import spread

SIDE = 512
"""Pictures that were cut into tiles are kept at about so many pixels a side, or fewer."""


def report_rows(test: ImageSet, scores: np.ndarray, most: int) -> np.ndarray:
    """Which test pictures a report shows, at most ``most``, rising: as many of each kind, half of them those most
    likely judged wrongly (defects of a low score, good ones of a high one), the others evenly over the ranks.

    Labels decide here what a reader looks at, and no number.
    """
    kinds = sorted(set(test.defects))
    eases = [ease(float(score), int(label)) for score, label in zip(scores, test.labels, strict=True)]
    ranked = {
        kind: sorted((i for i, d in enumerate(test.defects) if d == kind), key=eases.__getitem__) for kind in kinds
    }
    picked: list[int] = []
    # The smallest kinds first: what they leave of their share goes to the others.
    for left, kind in zip(range(len(kinds), 0, -1), sorted(kinds, key=lambda k: len(ranked[k])), strict=True):
        own, share = ranked[kind], min(len(ranked[kind]), (most - len(picked)) // left)
        worst, rest = own[: -(-share // 2)], own[-(-share // 2) :]
        picked += [*worst, *(rest[j] for j in spread(len(rest), share - len(worst)))] if share else []
    return np.array(sorted(picked), int)


def ease(score: float, label: int, threshold: float = 0.0) -> float:
    """How far a score lies on the right side of the threshold; the least is the surest wrong verdict. Within a kind the
    threshold changes no order."""
    return (score - threshold) * (1 if label else -1)


def thinned(array: np.ndarray, of_block: Callable[..., np.ndarray] = np.max, most: int = SIDE) -> np.ndarray:
    """A picture or map of at most about ``most`` pixels a side, for a page: of each block its largest value, so that a
    small defect stays in sight, or its mean."""
    side = -(-max(array.shape[:2]) // most)
    if side == 1:
        return array
    blocks = (side, side, *(1 for _ in array.shape[2:]))
    height, width = (n // side * side for n in array.shape[:2])
    return block_reduce(array[:height, :width], blocks, of_block).astype(array.dtype)
