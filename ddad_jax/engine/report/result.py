"""The section of a report that comes first: the selected point's figures, each in a box of its own."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ddad_jax.engine.figures.parts import NAMES
from ddad_jax.engine.report.content import HEADLINES, Alarms, Report, selected_rows
from ddad_jax.engine.report.table import escape, is_defined, setting_columns
from ddad_jax.engine.store.tables import DASH


def result(report: Report) -> str:
    """ "" where no row is selected."""
    selected = selected_rows(report)
    if not selected:
        return ""
    tiles = [
        _tile(report, name, meaning, [row[name] for row in selected if is_defined(row.get(name))])
        for name, meaning in HEADLINES.items()
        if any(name in row for row in selected)
    ]
    settings = {
        name: selected[0][name] for name in setting_columns(list(selected[0])) if name not in ("seed", "method")
    }
    if report.alarms is not None and math.isfinite(report.alarms.threshold):
        tiles.append(_alarm_tile(report, report.alarms))
    listed = ", ".join(f"{NAMES.get(k, k)} = {_setting(v)}" for k, v in settings.items())
    said = f"The selected point, {report.selection}" + (f": {listed}." if listed else ".")
    return f'<div class="tiles">{"".join(tiles)}</div><p class="soft">{escape(said)}</p>'


def _tile(report: Report, name: str, meaning: str, values: Sequence[float]) -> str:
    lines = [f"{meaning[0].upper()}{meaning[1:]}; 1 is perfect."]
    if name.startswith("image"):
        lines.append(f"{report.n_good} good, {report.n_defective} defective pictures.")
    if values and name in report.intervals and all(map(is_defined, report.intervals[name])):
        low, high = report.intervals[name]
        lines.append(f"95 % interval over test pictures: {low:.3f} to {high:.3f}.")
    if len(values) > 1:
        lines.append(f"Mean of {len(values)} seeds, {min(values):.3f} to {max(values):.3f}.")
    value = f"{np.mean(values):.3f}" if values else DASH
    return _box(NAMES.get(name, name), value, lines if values else ["Undefined on this test set."])


def _alarm_tile(report: Report, alarms: Alarms) -> str:
    lines = [
        f"defects found at the threshold {alarms.threshold:.4g} ({alarms.origin});",
        alarms.of_good(report.n_good),
    ]
    return _box("At a fixed threshold", f"{alarms.found} of {report.n_defective}", lines)


def _box(title: str, value: str, lines: Iterable[str]) -> str:
    said = escape(" ".join(lines))
    return f'<div class="tile"><h3>{escape(title)}</h3><span class="value">{escape(value)}</span><p>{said}</p></div>'


def _setting(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value))
    return f"{value:g}" if is_defined(value) else str(value)
