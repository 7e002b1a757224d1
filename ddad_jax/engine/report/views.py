"""The page about the views of a machine: a table of configurations a view, their curves, what was refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddad_jax.engine.figures.parts import NAMES
from ddad_jax.engine.report.page import page
from ddad_jax.engine.report.parts import picture, plain_table
from ddad_jax.engine.report.table import escape
from ddad_jax.engine.store.tables import Row, write_text

MEANINGS = (
    "PO: the map is silenced outside the view's mask. PRE: picture and reconstruction are masked before their "
    "distances, which also changes the scale between pixel and feature distances. M, NM: with mask, without; without, "
    "PO and PRE are the same. R: pictures brought onto the reference; NR: as they are. Accuracy and IoU are those at "
    "the configured threshold, which rests on held-out normal pictures alone. Nothing here may choose a configuration "
    "for use: that would be choosing by test labels."
)


def write_views(
    path: Path,
    rows: Sequence[Row],
    metrics: Sequence[str],
    figure: Path,
    registered: Mapping[str, Sequence[Mapping[str, str]]],
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> None:
    """Write the page, replaced as a whole.

    Args:
      rows: of all views, with "view" and "configuration". metrics: the columns to show, in their order.
      registered: view -> rows of its registration.csv.

    Raises InputError where the file cannot be written.
    """
    columns = {"configuration": "configuration", **{name: NAMES.get(name, name) for name in metrics}}
    tables = "".join(
        f"<h2>{escape(view)}</h2>"
        + plain_table([row for row in rows if row["view"] == view], columns, label=f"configurations of {view}")
        for view in registered
    )
    curves = picture(
        figure, "ROC, overlap, precision and IoU curves, a line a view", "Of each view in the configured point.",
        least=1100,
    )  # fmt: skip
    lines = "".join(f"<li>{escape(_said(view, found))}</li>" for view, found in registered.items())
    settings = escape(json.dumps(config, indent=1, default=str))
    main = (
        f'<section id="tables">{tables}</section><section id="curves"><h2>Curves</h2>{curves}</section>'
        f'<section id="registration"><h2>Registration</h2><ul>{lines}</ul></section>'
        f'<section id="reproduce"><h2>How to repeat it</h2><p><code>python -m {escape(environment["command"])}</code>'
        f"</p><details><summary>Settings</summary><pre>{settings}</pre></details></section>"
    )
    write_text(path, page("Views and their configurations", f"<p>{escape(MEANINGS)}</p>", main))


def _said(view: str, found: Sequence[Mapping[str, str]]) -> str:
    if not found:
        return f"{view}: nothing was registered."
    refused = [row for row in found if row["accepted"] != "True"]
    if not refused:
        return f"{view}: all {len(found)} pictures were brought onto the reference."
    some = "; ".join(f"{row['name']} ({row['reason']})" for row in refused[:5])
    return f"{view}: {len(refused)} of {len(found)} pictures were refused and taken as they are: {some}."
