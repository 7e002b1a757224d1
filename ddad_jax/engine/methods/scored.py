"""From a method's maps to those that are judged, and the scores of pictures: alike for every method."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ddad_jax.engine.methods.measured import Mapped
from ddad_jax.engine.methods.point import Cheap
from ddad_jax.pair_program import require_mask
from ddad_jax.score import Spread, in_spreads, maps_and_scores, normal_spread, standardise_apart


class Scored(NamedTuple):
    """All pictures at one cheap point. maps: [n, h, w], cropped as configured; scores: [n]; columns: of ``Mapped``;
    spread: what maps of test images are measured in; None where the point does not standardise."""

    point: Cheap
    maps: np.ndarray
    scores: np.ndarray
    columns: Mapping[str, float]
    spread: Spread | None = None

    @property
    def finite(self) -> bool:
        """False where the reconstruction diverged."""
        return bool(np.isfinite(self.scores).all())


def judged_maps(mapped: Mapped, n_scale: int, own: np.ndarray, watched: np.ndarray | None, crop: int) -> Scored:
    """Maps in the normal spread and silent where nothing is watched, as the point says, cropped and scored.

    Args:
      n_scale: the first so many pictures are the held-out normal ones that the spread rests on; a picture that is none
        of them and shows none of them is measured in it as a new one is.
      own: ``own_normal``, of the images before the test images.
      watched: bool [h, w], for points that mask after.
    """
    point, maps = mapped.cheap, mapped.maps
    normal, spread = maps[:n_scale], None
    if point.standardise and np.isfinite(normal).all():
        spread, known = normal_spread(normal), len(own)
        maps = np.empty(mapped.maps.shape, np.float32)
        maps[:known] = standardise_apart(mapped.maps[:known], normal, own)
        for i in range(known, len(maps)):
            (maps[i],) = in_spreads(mapped.maps[i : i + 1], spread)
    if point.mask_after:
        require_mask(watched)
    maps, scores = maps_and_scores(maps, watched=watched if point.mask_after else None, crop=crop)
    if mapped.scores is not None and not (point.standardise or point.mask_after or crop):
        scores = mapped.scores
    return Scored(point, maps, scores, mapped.columns, spread)
