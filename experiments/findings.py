"""What the selected point makes of the test pictures: thresholds from normal pictures alone, and what they decide."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from ddad_jax.metrics.at_threshold import per_defect
from experiments import verdicts
from experiments.calibrating import Normal, Thresholds, calibrate
from experiments.model import Data
from experiments.plan import SETTINGS
from experiments.scoring import cropped

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """What the selected point makes of the test pictures. warnings: on the thresholds. verdicts, defects, rules: rows
    of scores.csv, per_defect.csv and thresholds.csv."""

    judged: verdicts.Judged
    thresholds: Thresholds
    warnings: list[str]
    verdicts: list[dict[str, Any]]
    defects: list[dict[str, Any]]
    rules: list[dict[str, Any]]


def found_of(
    c: ConfigDict, workdir: Path, data: Data, rows: list[dict[str, Any]], chosen: dict[str, np.ndarray]
) -> Found:
    """Thresholds first, from normal pictures alone; then what they make of the test pictures."""
    selected = next(row for row in rows if row["selected"])
    made = {name: selected[name] for name in (*SETTINGS, "crop", "clip", "normalise", "adapt_epoch")}
    # Rows of before there were optimised grids visit what their grid says.
    made |= {"times": selected["times"]} if "times" in selected else {}
    # With normalise = "batch", as published, there is no ratio to keep: every test batch makes its own.
    made |= {"ratio": selected["ratio"]} if c.score.normalise == "held_out" else {}
    seen = data.view.watched if selected["mask_before"] or selected["mask_after"] else None
    watched = None if seen is None else cropped(seen[None], c.score.crop)[0]
    scored = chosen["normal_scores"]
    normal = Normal(scored, chosen["normal_maps"], data.n_held_out, watched)
    thresholds, warnings = calibrate(workdir / "calibration.json", made, c.threshold, normal)
    test = data.test
    judged = verdicts.Judged(test, chosen["scores"], chosen["maps"], cropped(test.masks, c.score.crop))
    truth = (test.labels, judged.masks, test.has_mask, test.defects)
    image, pixel = thresholds.score.value, thresholds.of_pixels.value
    unlike = verdicts.unlike(judged, chosen["normal_scores"])
    for sentence in unlike:
        log.warning("%s", sentence)
    return Found(
        judged,
        thresholds,
        [*warnings, *unlike],
        verdicts.verdict_rows(c, judged, thresholds),
        per_defect(judged.maps, judged.scores, *truth, threshold=image, pixel_threshold=pixel),
        verdicts.rule_rows(judged, thresholds),
    )
