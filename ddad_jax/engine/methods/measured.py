"""What passes through the seam: pictures that are measured, what was measured, maps of it, and what a verdict keeps."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.engine.methods.point import Cheap, Costly
from ddad_jax.score import Spread
from ddad_jax.vision.tiles import Tiling


class MeasuredPictures(NamedTuple):
    """What is measured. images: uint8 [n, h, w, 3], of each picture all its tiles where there is ``tiling``; the first
    ``n_normal`` pictures are held-out normal ones that constants of a score rest on, those from ``first_test`` on test
    pictures. watched: bool [n, h, w], what of each image may be seen; None for everything."""

    images: np.ndarray
    n_normal: int
    first_test: int
    watched: np.ndarray | None = None
    tiling: Tiling | None = None

    @property
    def tiles(self) -> int:
        """Of a picture, 1 without tiles."""
        return self.tiling.count if self.tiling else 1

    @property
    def n_test(self) -> int:
        """Test pictures."""
        return len(self.images) // self.tiles - self.first_test


class Measured(NamedTuple):
    """Pictures at one costly point, on the host. evidence: the method's own, images along the first axis of its arrays.
    seconds: of each image, [n]. columns: what the rows of the point say of how it was measured. constants: arrays that
    a verdict at this point needs besides the networks."""

    costly: Costly
    evidence: Any
    seconds: np.ndarray
    columns: Mapping[str, Any]
    constants: Mapping[str, np.ndarray] = {}  # noqa: RUF012 - a tuple's default, never written to


class Mapped(NamedTuple):
    """Maps of all pictures at one cheap point, float32 [n, h, w], larger = more anomalous; before spread, mask, crop.
    scores: the method's own image scores, [n]; None where the largest value of a map is its score. columns: numbers
    taken from the normal pictures that the row, and a verdict, need."""

    cheap: Cheap
    maps: np.ndarray
    columns: Mapping[str, float]
    scores: np.ndarray | None = None


class Constants(NamedTuple):
    """What a verdict needs of the selected point besides the networks; None for what it does without.

    spread: of the maps of held-out normal images before the crop, where it standardises. own: ``Measured.constants``.
    watched: bool [h, w], where it masks. reference: the picture others are brought onto, uint8 [h, w, 3].
    """

    spread: Spread | None = None
    own: Mapping[str, np.ndarray] = {}  # noqa: RUF012 - a tuple's default, never written to
    watched: np.ndarray | None = None
    reference: np.ndarray | None = None


class Steps(NamedTuple):
    """at: which test pictures, int [m]. times: int [m, K]. x0_hat: what was predicted then, uint8 [m, K, h, w, 3]."""

    at: np.ndarray
    times: np.ndarray
    x0_hat: np.ndarray


SHOWN = ("x0", "pixel", "feature")
"""What ``Fitted.shown`` may give: a reconstruction, uint8 [m, h, w, 3], and distances, float16 [m, h, w]."""
