"""The table of all grid points in a report: sortable, the selected row and the label-picked row marked."""

import html
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ddad_jax.engine.figures.curves import PARAMETERS
from ddad_jax.engine.figures.parts import NAMES
from ddad_jax.engine.store.tables import Row, column_cells, columns_of, is_number
from ddad_jax.metrics import METRICS

MAX_ROWS = 300
"""Of a table that stands in the page as it is; a script shows all rows, a few at a time."""
COSTS = ("ms_per_image", "unet_calls", "whole_calls")
SELECTED, BY_LABEL = "★ selected", "◆ best by label"


def escape(text: Any) -> str:
    """Text that is safe inside an element and inside a quoted attribute; control characters become spaces."""
    kept = "".join(c if c.isprintable() or c in "\n\t" else " " for c in str(text))
    return html.escape(kept, quote=True)


def is_defined(value: Any) -> bool:
    """Whether a metric has a value: a finite number."""
    return is_number(value) and math.isfinite(value)


def best_by_label(rows: Sequence[Row], metric: str = "image_auroc") -> Row | None:
    """The row with the highest metric, the selected one where it ties for it; None where none is defined.

    Picking it looks at the test labels: it is shown so that nobody mistakes it for a result.
    """
    defined = [row for row in rows if is_defined(row.get(metric))]
    return max(defined, key=lambda row: (row[metric], bool(row.get("selected"))), default=None)


class Columns(NamedTuple):
    """The rows of a sweep as a table has them. names: keys of the columns in which the rows differ, metrics always;
    cells: their text; agreed: name and text of what all rows agree in, by key; marks: SELECTED, BY_LABEL or "" of each
    row."""

    names: list[str]
    cells: dict[str, list[str]]
    agreed: dict[str, tuple[str, str]]
    marks: list[str]

    @property
    def same(self) -> str:
        """What all rows agree in, in words."""
        return ", ".join(f"{name} = {text}" for name, text in self.agreed.values())


def setting_columns(names: Sequence[str]) -> list[str]:
    """Of the columns of rows, what these are of, whatever the method: it stands before the first metric."""
    return list(itertools.takewhile(lambda name: name not in METRICS, names))


def columns(rows: Sequence[Row], best: Row | None) -> Columns:
    """``points_table``'s columns."""
    marks = [SELECTED if row.get("selected") else BY_LABEL if best is not None and row is best else "" for row in rows]
    present = [name for name in columns_of(rows) if name != "selected"]
    order = dict.fromkeys((*PARAMETERS, *setting_columns(present), *METRICS, *COSTS, *present))
    ordered = [name for name in order if name in present]
    cells = {name: column_cells([row.get(name) for row in rows]) for name in ordered}
    varying = [name for name in ordered if name in METRICS or len(set(cells[name])) > 1]
    agreed = {name: (NAMES.get(name, name), cells[name][0]) for name in ordered if name not in varying}
    return Columns(varying, cells, agreed, marks)


def points_table(rows: Sequence[Row], best: Row | None, *, max_rows: int = MAX_ROWS) -> str:
    """An HTML table of the rows, the marked ones first; "" for no rows.

    Columns in which all rows agree are put into a sentence instead.

    Args:
        rows: result rows.
        best: the row of ``rows`` that ``best_by_label`` found; marked unless it is selected itself.
        max_rows: further rows are left to results.csv, which the table then says.
    """
    if not rows:
        return ""
    found = columns(rows, best)
    varying, cells, marks, same = found.names, found.cells, found.marks, found.same
    order = sorted(range(len(rows)), key=lambda i: (SELECTED, BY_LABEL, "").index(marks[i]))[:max_rows]
    numeric = {name: any(is_number(row.get(name)) for row in rows) for name in varying}
    head = "".join(_head(NAMES.get(name, name), name, numeric[name]) for name in varying)
    body = []
    for i in order:
        kind = {SELECTED: ' class="selected"', BY_LABEL: ' class="by-label"'}.get(marks[i], "")
        parts = [f'<th scope="row" class="mark" data-v="{i + 1}">{escape(f"{i + 1} {marks[i]}".strip())}</th>']
        parts += [_data(rows[i].get(name), cells[name][i], numeric[name]) for name in varying]
        body.append(f"<tr{kind}>{''.join(parts)}</tr>")
    notes = [f"{len(rows)} points."]
    if len(rows) > max_rows:
        notes = [f"{max_rows} of {len(rows)} points are shown; all are in results.csv."]
    agreed = f"<details><summary>The same in every row</summary><p class='soft'>{escape(same)}</p></details>"
    return (
        f'<p class="soft">{escape(" ".join(notes))} Choose a column heading to sort.</p>'
        '<div class="scroll" role="region" aria-label="All grid points" tabindex="0">'
        f'<table class="points"><thead><tr>{_head("point", "point", False)}{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>{agreed if same else ''}"
    )


def _head(label: str, key: str, numeric: bool) -> str:
    kind = ' class="num"' if numeric else ""
    return f'<th scope="col"{kind}><button type="button" title="{escape(key)}">{escape(label)}</button></th>'


def _data(value: Any, cell: str, numeric: bool) -> str:
    # An empty data-v tells the sorting script that the value is undefined.
    number = repr(float(value)) if is_defined(value) else ""
    attribute = f' class="num" data-v="{number}"' if numeric else ""
    return f"<td{attribute}>{escape(cell)}</td>"
