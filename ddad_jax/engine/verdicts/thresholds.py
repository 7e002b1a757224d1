"""calibration.json: what a verdict needs besides the networks, every number of it from held-out normal pictures.

Nothing here or in what this module imports has seen a label of a test picture.
"""

import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.engine.settings.threshold import ThresholdSettings
from ddad_jax.engine.store.tables import plain, write_text
from ddad_jax.metrics.thresholds import (
    PIXEL_RULES,
    RULES,
    Threshold,
    image_threshold,
    minimum_images,
    pixel_threshold,
    tuning_size,
)

log = logging.getLogger(__name__)


class Normal(NamedTuple):
    """Held-out normal pictures that chose nothing, scored as every test picture is. scores: [n]; maps: [n, h, w].
    watched: bool [h, w], what a view's mask leaves in; None: everything. available: how many pictures are held out,
    scored or not. tuning: share of the calibration pictures that chose instead of giving thresholds; 0: none.
    recordings: the one each picture comes from, [n]; empty: not known."""

    scores: np.ndarray
    maps: np.ndarray
    available: int
    watched: np.ndarray | None = None
    tuning: float = 0.0
    recordings: Sequence[str] = ()


class Thresholds(NamedTuple):
    """image, pixel: of every rule, on scores and on pixels of maps. score, of_pixels: those of the configured rules."""

    image: dict[str, Threshold]
    pixel: dict[str, Threshold]
    score: Threshold
    of_pixels: Threshold


def thresholds_of(asked: ThresholdSettings, normal: Normal) -> Thresholds:
    """By every rule; ``asked``: section ``threshold`` of the config.

    Raises:
      InputError: no held-out normal picture, or one whose map is not finite.
    """
    how: dict[str, Any] = {"level": asked.level, "delta": asked.delta, "p": asked.p, "k": asked.k}
    image = {rule: image_threshold(normal.scores, rule, recordings=normal.recordings, **how) for rule in RULES}
    of_pixels: dict[str, Any] = {"watched": normal.watched, "p": asked.pixel_p, "k": asked.k}
    pixel = {rule: pixel_threshold(normal.maps, rule, **of_pixels) for rule in PIXEL_RULES}
    return Thresholds(image, pixel, image[asked.rule], pixel[asked.pixel_rule])


def warned(asked: ThresholdSettings, found: Thresholds, normal: Normal) -> list[str]:
    """Sentences on what the configured thresholds do not hold, and the flags that mend it; often none."""
    said = []
    for what, one in (("image", found.score), ("pixel", found.of_pixels)):
        if one.warning:
            told = f"Threshold rule {one.rule} ({what}): {one.warning}."
            rule = "conformal" if one.rule in ("max", "sigma") else one.rule
            needed = minimum_images(rule, asked.level, asked.delta, asked.p)
            by_recording = one.recordings > 0 and rule != "quantile"  # which is of pictures, whosever they are
            if (one.recordings if by_recording else one.n) < needed:
                told += f" {_recorded(needed) if by_recording else _mend(needed, normal)}"
            said.append(told)
    return said


def shortage(
    asked: ThresholdSettings, scored: int, available: int, tuning: float = 0.0, recordings: Sequence[str] = ()
) -> list[str]:
    """What ``warned`` will say of the image threshold for want of pictures, to be known before a training.

    Args:
      asked: section ``threshold`` of the config.
      scored, available: as many held-out normal pictures there will be in ``Normal``; tuning, recordings: as there.
    """
    normal = Normal(np.arange(float(scored)), np.zeros((scored, 1, 1)), available, None, tuning, recordings)
    # No picture's score is known, and so no threshold: what is said of sigma does not depend on the number.
    found = thresholds_of(asked, normal)
    return warned(asked, found._replace(of_pixels=found.of_pixels._replace(warning="")), normal)


def calibration(made: Mapping[str, Any], asked: ThresholdSettings, found: Thresholds, normal: Normal) -> dict[str, Any]:
    """The content of calibration.json; made: the point and how its score is made."""
    return {
        **made,
        "threshold": found.score.value,
        "threshold_rule": found.score.rule,
        "threshold_guarantee": found.score.guarantee,
        "threshold_warnings": warned(asked, found, normal),
        "pixel_threshold": found.of_pixels.value,
        "pixel_threshold_rule": found.of_pixels.rule,
        "thresholds": {
            level: {rule: {k: v for k, v in one._asdict().items() if k != "rule"} for rule, one in rules.items()}
            for level, rules in (("image", found.image), ("pixel", found.pixel))
        },
        "threshold_settings": asked.to_dict(),
        "held_out_images": len(normal.scores),
        "held_out_recordings": found.score.recordings,
        "normal_scores": [float(score) for score in normal.scores],
    }


def calibrate(
    path: Path, made: Mapping[str, Any], asked: ThresholdSettings, normal: Normal
) -> tuple[Thresholds, list[str]]:
    """Write calibration.json; the thresholds, and what ``warned`` says of them. Of that, what ``shortage`` does not say
    is logged: the rest was before the training.

    Raises:
      InputError: as ``thresholds_of``; the file cannot be written.
    """
    found = thresholds_of(asked, normal)
    said = warned(asked, found, normal)
    before = shortage(asked, len(normal.scores), normal.available, normal.tuning, normal.recordings)
    for sentence in said:
        if sentence not in before:
            log.warning("%s", sentence)
    write_text(path, json.dumps(plain(calibration(made, asked, found, normal)), indent=1))
    return found, said


def _recorded(needed: int) -> str:
    return (
        f"Record the product on other days and set-ups, until {needed} recordings or more are held out "
        "(--config.data.held_out, in a new workdir); --config.data.hold_out=picture where the pictures of a recording "
        "are as different from each other as those of two."
    )


def _mend(needed: int, normal: Normal) -> str:
    chose, available = "", normal.available
    if normal.tuning:
        least, needed = needed, next(n for n in itertools.count(needed) if n - tuning_size(n, normal.tuning) >= needed)
        chose = f" ({least} for the threshold; the other {needed - least} choose, see --config.data.tuning)"
    most = f"--config.data.calibration={needed} or more{chose}"
    share = "--config.data.held_out, a share of at most one half"
    more = f"hold out {needed} pictures (now {available}) by {share}: of {2 * needed} normal pictures or more, and "
    mend = f"{more if available < needed else ''}set {most}"
    return f"{mend[0].upper()}{mend[1:]}, in a new workdir: training leaves them out and measures itself on them."
