"""What to deploy, in words, by rules that are written down.

1. Fit to be recommended is a method with all its runs and with nothing against its image AUROC (``table``'s doubt).
2. The most accurate has the highest mean image AUROC. As good as it are those within the margin.
3. Fastest: of those as good, the one of the fewest milliseconds a picture, one picture at a time.
4. Cheapest: of all that are fit, the one of the least energy for learning once and judging the pictures that the
   comparison names; told with what it gives up.
5. Best in use: the highest mean F1 at the threshold that no label has chosen.

The first row of the table wins a tie. Figures of the test pictures decide here, so a recommendation is a choice by
test labels: it holds for new pictures as far as the intervals say, and is no result to quote.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ddad_jax.engine.store.tables import Row

RULES = (
    "Only methods with all their runs, and with an image AUROC whose interval lies above that of chance and of a "
    "distance of whole pictures, are recommended.",
    "Fastest: among those within the margin of the highest image AUROC, the fewest milliseconds a picture.",
    "Cheapest: the least energy for learning once and judging so many pictures.",
    "Best in use: the highest F1 at the threshold that rests on normal pictures alone.",
)
"""As a page says them."""


class Recommended(NamedTuple):
    """role: "most accurate", "fastest", "cheapest" or "best in use". sentence: why, with its figures."""

    role: str
    method: str
    sentence: str


def recommended(rows: Sequence[Row], *, margin: float, pictures: int) -> list[Recommended]:
    """By the rules above.

    Args:
      rows: of ``table.group_rows`` over all data sets. margin: of image AUROC. pictures: of the energy for judging.

    Returns nothing where no method is fit; a role is missing where its figure is unknown of all.
    """
    fit = [row for row in rows if not row["doubt"]]
    if not fit:
        return []
    best = max(fit, key=lambda row: row["image_auroc"])
    level = [row for row in fit if row["image_auroc"] >= best["image_auroc"] - margin]
    others = [row["method"] for row in level if row is not best]
    beside = f"; as good within {margin:g}: {', '.join(others)}" if others else f"; none other is within {margin:g}"
    if alike := [row["method"] for row in fit if row is not best and row["behind_low"] <= 0]:
        beside += f"; not told apart from it by these pictures: {', '.join(alike)}"
    found = [Recommended("most accurate", best["method"], f"image AUROC {_with_interval(best, 'image_auroc')}{beside}")]
    if timed := [row for row in level if math.isfinite(row["ms_1"])]:
        fastest = min(timed, key=lambda row: row["ms_1"])
        told = f"{fastest['ms_1']:.3g} ms a picture at image AUROC {_with_interval(fastest, 'image_auroc')}"
        found.append(Recommended("fastest", fastest["method"], f"{told}{_slower(fastest, timed)}"))
    if metered := [row for row in fit if math.isfinite(row["kwh"])]:
        cheapest = min(metered, key=lambda row: row["kwh"])
        loss = best["image_auroc"] - cheapest["image_auroc"]
        told = f"{1e3 * cheapest['kwh']:.3g} Wh to learn and to judge {pictures} pictures"
        gives = f", {loss:.3f} of image AUROC behind {best['method']}" if cheapest is not best else ""
        found.append(Recommended("cheapest", cheapest["method"], f"{told}{gives}"))
    if judged := [row for row in fit if math.isfinite(row["f1"])]:
        in_use = max(judged, key=lambda row: row["f1"])
        told = f"F1 {_with_interval(in_use, 'f1')} at a threshold that saw no label: recall {in_use['recall']:.3f}, "
        peeking = (
            f"precision {in_use['precision']:.3f}; a threshold chosen by labels would have {in_use['peeked_f1']:.3f}"
        )
        found.append(Recommended("best in use", in_use["method"], told + peeking))
    return found


def _with_interval(row: Row, name: str) -> str:
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})"


def _slower(fastest: Row, timed: Sequence[Row]) -> str:
    others = [row for row in timed if row is not fastest]
    if not others:
        return ""
    next_one = min(others, key=lambda row: row["ms_1"])
    return f"; next {next_one['method']} with {next_one['ms_1']:.3g} ms"
