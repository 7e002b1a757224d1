"""The settings of thresholds, apart from all that knows of pictures: labels of test pictures are out of their reach."""

from dataclasses import dataclass

from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.setting import MOST_WEIGHT, SHARE, number, one_of, setting
from ddad_jax.metrics.thresholds import PIXEL_RULES, RULES

_K = number(0, MOST_WEIGHT, f"a number from 0 to {MOST_WEIGHT:g}, usually 3")


@dataclass(frozen=True)
class ThresholdSettings(Section):
    """Above what a score is anomalous, and which pixels of a map are: from held-out normal pictures alone."""

    rule: str = setting("max", one_of(*RULES), "of scores: max | quantile | sigma | conformal | conformal_pac")
    level: float = setting(0.05, SHARE, "of normal pictures, which may raise a false alarm, for the conformal rules")
    delta: float = setting(0.05, SHARE, "conformal_pac: probability that the calibration pictures break that level")
    p: float = setting(0.99, SHARE, "quantile")
    k: float = setting(3.0, _K, "sigma: mean + k standard deviations; of pixels, too")
    pixel_rule: str = setting("max", one_of(*PIXEL_RULES), "of pixels: max | quantile | sigma")
    pixel_p: float = setting(0.995, SHARE, "quantile of pixels")
