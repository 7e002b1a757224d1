"""How good the choice of a point was, once labels are known: for people to read, nothing is chosen by it."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from ddad_jax.engine.report.table import is_defined, setting_columns
from ddad_jax.engine.store.tables import Row

METRIC = "image_auroc"


class Hindsight(NamedTuple):
    """Of image AUROCs on test pictures, each the mean of a point's seeds. points: P with one. rank: of the selected
    point, 1 + how many are better. ties: other points as good as it. regret: of the best one over it. correlation:
    Spearman's of these AUROCs with those on the synthetic defects, over the points; NaN where the points have none, or
    all are alike."""

    points: int
    rank: int
    ties: int
    regret: float
    correlation: float

    def sentence(self) -> str:
        tied = f", level with {self.ties} others" if self.ties else ""
        text = (
            f"rank {self.rank} of {self.points} points by image AUROC on test pictures{tied}, {self.regret:.3f} behind "
            "the best (the regret)"
        )
        if np.isfinite(self.correlation):
            text += f"; synthetic and real image AUROC correlate at {self.correlation:.2f} over the points (Spearman)"
        return text


def hindsight(rows: Sequence[Row]) -> Hindsight | None:
    """None where fewer than two points have an image AUROC, or the selected one has none."""
    settings = [name for name in setting_columns(list(rows[0]) if rows else []) if name not in ("seed", "selected")]
    by_point: dict[str, list[Row]] = {}
    for row in rows:
        if is_defined(row.get(METRIC)):
            by_point.setdefault(repr([row.get(name) for name in settings]), []).append(row)
    selected = [at for at, point in enumerate(by_point.values()) if any(row.get("selected") for row in point)]
    if len(by_point) < 2 or not selected:
        return None
    real = np.array([np.mean([row[METRIC] for row in point]) for point in by_point.values()])
    # Means of the same numbers in another order differ in the last bits.
    real, own = np.round(real, 9), np.round(real[selected[0]], 9)
    rank, ties = 1 + int((real > own).sum()), int((real == own).sum()) - 1
    correlation = float("nan")
    every = itertools.chain.from_iterable(by_point.values())
    if all(is_defined(row.get(f"synthetic_{METRIC}")) for row in every):
        synthetic = np.array([np.mean([row[f"synthetic_{METRIC}"] for row in point]) for point in by_point.values()])
        if np.ptp(real) > 0 and np.ptp(synthetic) > 0:
            correlation = float(spearmanr(synthetic, real).statistic)
    return Hindsight(len(real), rank, ties, float(real.max() - own), correlation)
