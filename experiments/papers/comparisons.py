"""Numbers of papers that compare methods, for ``experiments.compare`` (numbers.json, "comparisons").

benchmark: Cools et al. (2025), Tables 1 to 6 and A1 to A4; cans: Huynh et al. (2025), Tables 1 and 2; thesis: the line
clearance thesis, Tables 1 to 10; diffad: Zhang et al. (2023), Table 1.
"""

import functools
import json
from typing import Any

from ddad_jax.engine.comparison.table import AVERAGE, Published
from ddad_jax.errors import InputError
from experiments.papers.numbers import FILE

GROUPS = {
    "fixed": ("bottle", "cable", "capsule", "pill", "toothbrush", "transistor", "zipper"),
    "rotating": ("hazelnut", "metal_nut", "screw"),
    "textures": ("carpet", "grid", "leather", "tile", "wood"),
}
"""The benchmark's, of MVTec AD. It names none: its Tables 2 to 4 are the means of Tables A1 to A4 over these."""

CATEGORIES = tuple(name for names in GROUPS.values() for name in names)
"""Of MVTec AD."""

SETS: dict[str, dict[str, tuple[str, ...]]] = {
    "benchmark": {AVERAGE: CATEGORIES, **GROUPS},
    "cans": {AVERAGE: ("winter_melon", "sprite", "coffee")},
    "thesis": {},
    "diffad": {AVERAGE: CATEGORIES},
}  # fmt: skip
"""Paper -> its column of several data sets -> which they are."""

OURS = {"fit_kj": ("fit_kwh", 1 / 3600), "seconds_per_picture": ("ms_1", 1e3)}
"""A paper's quantity -> our column, and our units in one of its own."""


@functools.cache
def comparing_papers() -> dict[str, dict[str, Any]]:
    """Name -> source, notes and tables as numbers.json has them."""
    return dict(json.loads(FILE.read_text("utf-8"))["comparisons"])


def published(paper: str) -> Published:
    """A paper's numbers, with what they are means over and what a reader should know of them.

    Raises:
      InputError: there is no such paper.
    """
    numbers, found = published_numbers(paper), comparing_papers()[paper]
    return Published(numbers, SETS[paper], (found["source"], *found["notes"]))


def published_numbers(paper: str) -> dict[str, dict[str, dict[str, float]]]:
    """Method -> data set, group or AVERAGE -> our column -> the number, in our units; of tables that state one
    figure twice the first.

    Raises:
      InputError: there is no such paper.
    """
    papers = comparing_papers()
    if paper not in papers:
        raise InputError(f"--config.paper={paper}: expected one of {', '.join(papers)}, or none")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for table in papers[paper]["tables"]:
        share = 0.01 if table["unit"] == "percent" else 1.0
        for method, numbers in table["rows"].items():
            for (column, metric), number in zip(table["columns"], numbers, strict=True):
                name, units = OURS.get(metric, (metric, 1.0))
                found.setdefault(method, {}).setdefault(column, {}).setdefault(name, share * units * number)
    return found


def tables_of(paper: str, metric: str, column: str = AVERAGE) -> list[tuple[str, str, float]]:
    """(where, method, number as printed) wherever the paper states the metric of the column."""
    return [
        (table["where"], method, numbers[table["columns"].index([column, metric])])
        for table in comparing_papers()[paper]["tables"]
        if [column, metric] in table["columns"]
        for method, numbers in table["rows"].items()
    ]
