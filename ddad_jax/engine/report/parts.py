"""Pieces of HTML that several sections of a report use: an embedded picture, a plain table."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from ddad_jax.engine.report.table import escape
from ddad_jax.engine.store.tables import Row, column_cells, is_number


def picture(path: Path | str | None, alt: str, caption: str, *, least: int = 0) -> str:
    if path is None or not Path(path).is_file():
        return ""
    png = Path(path).read_bytes()
    # Width and height stand at fixed places of a PNG; with them the page does not jump while it loads.
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    # A wide picture scrolls sideways on a narrow screen instead of shrinking until nobody can read it.
    frame = (
        f'class="picture wide" style="--least: {min(width, least)}px" '
        f'role="region" aria-label="{escape(alt)}" tabindex="0"'
        if least
        else 'class="picture"'
    )
    content = base64.b64encode(png).decode()
    return (
        f'<figure><div {frame}><img alt="{escape(alt)}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{content}"></div><figcaption>{escape(caption)}</figcaption></figure>'
    )


def plain_table(rows: Sequence[Row], columns: Mapping[str, str], *, label: str, marked: str = "") -> str:
    """An HTML table in the order of the rows; "" for no rows. A column that no row has is left out.

    Args:
        rows: the first column is their heading.
        columns: key -> what stands above it.
        label: what the table shows, for those who cannot see it.
        marked: key of the rows to highlight, where it is true.
    """
    present = {key: title for key, title in columns.items() if any(row.get(key) not in (None, "") for row in rows)}
    if not rows or not present:
        return ""
    cells = {key: column_cells([row.get(key) for row in rows]) for key in present}
    right = {key: any(is_number(row.get(key)) for row in rows) for key in present}
    kind = {key: ' class="num"' if right[key] else ' class="said"' for key in present}
    head = "".join(f'<th scope="col"{kind[key]}>{escape(title)}</th>' for key, title in present.items())
    first, *others = present
    body = []
    for i, row in enumerate(rows):
        parts = [f'<th scope="row">{escape(cells[first][i])}</th>']
        parts += [f"<td{kind[key]}>{escape(cells[key][i])}</td>" for key in others]
        highlight = ' class="selected"' if marked and row.get(marked) else ""
        body.append(f"<tr{highlight}>{''.join(parts)}</tr>")
    return (
        f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0"><table class="points plain">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )
