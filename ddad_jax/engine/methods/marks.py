"""Marks, the probability that a pixel is damaged, to maps and image scores."""

from dataclasses import dataclass
from typing import NamedTuple

from ddad_jax.engine.methods.trained.sections import TrainedScoreSettings
from ddad_jax.engine.settings.setting import setting, whole_number
from ddad_jax.image import gaussian_blur, mean_filter
from ddad_jax.types import Array


class Marked(NamedTuple):
    """From marks to maps and scores. Fields: as in ``MarkScoreSettings``; sigma: in pixels."""

    window: int = 21
    sigma: float = 0.0
    standardise: bool = False
    mask_after: bool = False


@dataclass(frozen=True)
class MarkScoreSettings(TrainedScoreSettings):
    """From marks to a map, and to the picture's score."""

    window: int = setting(
        21, whole_number(1, 256), "side of the squares whose largest mean is the picture's score, in pixels of a 256 "
        "px image; published 21",
    )  # fmt: skip


def judged_marks(marks: Array, cheap: Marked, size: int) -> tuple[Array, Array]:
    """Maps and image scores of probabilities that a pixel is damaged, [b, h, w]; size: in pixels."""
    side = 2 * round((cheap.window * size / 256 - 1) / 2) + 1
    maps = gaussian_blur(marks, cheap.sigma) if cheap.sigma else marks
    return maps, mean_filter(marks, max(1, side)).max((1, 2))
