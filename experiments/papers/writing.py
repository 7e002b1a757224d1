"""What a table leaves beside its runs: NAME.csv, NAME.md, NAME.html, and for a figure NAME.png."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.engine.report.page import page
from ddad_jax.engine.report.parts import picture
from ddad_jax.engine.report.table import escape
from ddad_jax.engine.store.tables import write_csv, write_text
from experiments.papers import epoch_table, figures, rendering
from experiments.papers.cells import filled
from experiments.papers.running import Ask, State, everything
from experiments.papers.table import Table
from experiments.papers.words import footnotes, head


class TableSection(NamedTuple):
    """A table as it is told, three times. above, below: what stands there, a paragraph or a note each."""

    above: list[str]
    text: str
    markdown: str
    html: str
    below: list[str]


def write_paper_table(table: Table, ask: Ask, states: Sequence[State]) -> str:
    """Every file of the table, each replaced as a whole; the text for the terminal."""
    figure = table.name.startswith("figure")
    base, found = ask.folder / (table.name if figure else f"table{table.name}"), everything(table, ask)
    records, parts, caption = list[dict[str, Any]](), list[TableSection](), ""
    if table.epochs:
        curves = epoch_table.category_curves(ask, found)
        above, below = epoch_table.table_captions(table, ask, states)
        told = epoch_table.curves_text(table, curves)
        parts.append(TableSection(above, told, f"```\n{told}\n```", f"<pre>{escape(told)}</pre>", below))
        records = epoch_table.curve_records(curves)
        drawn = figures.epoch_curves(curves, base.with_suffix(".png"))
        caption = "Solid: both distances. Dashed: features alone."
    else:
        sheets = [
            filled(block, {c: runs for (of, c), runs in found.items() if of == block.printed.data},
                   published=ask.published)
            for block in table.blocks
        ]  # fmt: skip
        for sheet in sheets:
            above, below = head(sheet, ask), footnotes(sheet, ask, states)
            shown = rendering.sheet_text(sheet), rendering.markdown(sheet), rendering.html(sheet, above[0])
            parts.append(TableSection(above, *shown, below))
            records += rendering.sheet_records(sheet)
        drawn = figures.bars(sheets[0], base.with_suffix(".png")) if figure else None
        caption = "Filled: ours. Outlines: those of the paper."
    write_csv(base.with_suffix(".csv"), records, columns=None if records else ["table"])
    write_text(base.with_suffix(".md"), "\n".join(_marked(part) for part in parts) + _linked(drawn, caption))
    title = parts[0].above[0]
    picture_of = f"<section>{picture(drawn, title, caption)}</section>" if drawn else ""
    write_text(base.with_suffix(".html"), page(title, "", "".join(map(_section, parts)) + picture_of))
    kinds = (".md", ".html", ".csv", *([".png"] if drawn else []))
    texts = ["\n".join([*part.above, "", part.text, "", *_notes(part)]) for part in parts]
    return "\n\n".join([*texts, "files: " + ", ".join(str(base.with_suffix(kind)) for kind in kinds)])


def _marked(part: TableSection) -> str:
    title, *others = part.above
    return "\n\n".join([f"## {title}", *others, part.markdown, "\n".join(_notes(part))]) + "\n"


def _linked(drawn: Path | None, caption: str) -> str:
    return f"\n![{caption}]({drawn.name})\n" if drawn else ""


def _section(part: TableSection) -> str:
    title, *others = (escape(line) for line in part.above)
    loud = [f"<strong>{line}</strong>" if line.startswith("NOT ") else line for line in others]
    paragraphs = "".join(f"<p>{line}</p>" for line in loud)
    notes = "".join(f"<li>{escape(note)}</li>" for note in part.below)
    return f"<section><h2>{title}</h2>{paragraphs}{part.html}<ul>{notes}</ul></section>"


def _notes(part: TableSection) -> list[str]:
    return [f"- {note}" for note in part.below]
