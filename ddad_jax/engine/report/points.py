"""All points of a sweep as data for the page's table and plots."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps

from ddad_jax.engine.figures.parts import NAMES
from ddad_jax.engine.report.table import BY_LABEL, SELECTED, columns, setting_columns
from ddad_jax.engine.store.tables import Row, is_number
from ddad_jax.metrics import METRICS

COSTS = ("ms_per_image", "unet_calls", "steps")
TOLD = ("w", "t_prime", "steps", "v", "image_auroc", "pixel_auroc")
"""What a plot says of the point under the pointer, besides its own axes."""


def digits(name: str) -> str:
    """The 256 colours of one of Matplotlib's maps as hexadecimal digits, six each."""
    colours = np.round(colormaps[name](np.arange(256))[:, :3] * 255).astype(np.uint8)
    return colours.tobytes().hex()


def points_data(rows: Sequence[Row], best: Row | None) -> dict[str, Any]:
    """What ``rows.js`` and ``plots.js`` show; column by column, numbers to six significant digits."""
    told = columns(rows, best)
    names, cells, marks = told.names, told.cells, told.marks
    found = [_column(name, [row.get(name) for row in rows], cells[name]) for name in names]
    return {
        "count": len(rows),
        "columns": found,
        "selected": [i for i, mark in enumerate(marks) if mark == SELECTED],
        "byLabel": [i for i, mark in enumerate(marks) if mark == BY_LABEL],
        "same": told.same,
        "agreed": [{"key": key, "name": name, "text": text} for key, (name, text) in told.agreed.items()],
        "plots": _plots(found) if len(rows) > 1 else [],
        "told": [name for name in TOLD if name in names],
        "colours": digits("viridis"),
    }


def _column(name: str, values: list[Any], cells: list[str]) -> dict[str, Any]:
    """Numbers with the decimals their cells have, or words as places in a list of them."""
    column: dict[str, Any] = {"key": name, "name": NAMES.get(name, name)}
    if all(value is None or is_number(value) for value in values):
        finite = [None if value is None or not math.isfinite(value) else float(value) for value in values]
        exponents = any("e" in cell for cell in cells)
        decimals = None if exponents else max((len(cell.partition(".")[2]) for cell in cells), default=0)
        return column | {"values": [None if v is None else _short(v) for v in finite], "decimals": decimals}
    levels = list(dict.fromkeys(cells))
    place = {level: i for i, level in enumerate(levels)}
    return column | {"levels": levels, "values": [place[cell] for cell in cells]}


def _short(value: float) -> float | int:
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() else rounded


def _plots(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The first columns of two plots: accuracy over cost, and over a setting."""
    filled = [c["key"] for c in found if any(value is not None for value in c["values"])]
    differing = [c["key"] for c in found if len({value for value in c["values"] if value is not None}) > 1]
    metrics = [name for name in METRICS if name in filled]
    settings = [name for name in setting_columns([c["key"] for c in found]) if name in differing and name != "seed"]
    if not metrics or not differing:
        return []
    across = [name for name in (*COSTS, *settings, *differing) if name in differing and name not in metrics]
    if not across:
        return []
    setting = next((name for name in settings if name != across[0]), across[0])
    other = next((name for name in settings if name != setting), "")
    second = next((name for name in ("pixel_auroc", "aupro_30") if name in metrics), metrics[0])
    return [
        {"x": across[0], "y": metrics[0], "colour": setting},
        {"x": setting, "y": second, "colour": other},
    ]
