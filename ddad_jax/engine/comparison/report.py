"""What a comparison leaves: its tables as CSV, JSON lines and Markdown, and one page."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ddad_jax.engine.comparison import page
from ddad_jax.engine.comparison.agreement import kind_rows, lone_finds
from ddad_jax.engine.comparison.figures import cost_figure, side_by_side
from ddad_jax.engine.comparison.plan import ComparedRun, Comparison
from ddad_jax.engine.comparison.recommendation import Recommended, recommended
from ddad_jax.engine.comparison.rows import RunOutcome, outcomes_of
from ddad_jax.engine.comparison.table import AVERAGE, ComparedGroup, Published, group_rows, groups_of, published_rows
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store.tables import Row, column_cells, format_table, plain, write_csv, write_jsonl, write_text

PRINTED = (
    "method",
    "image_auroc",
    "pixel_auroc",
    "aupro_30",
    "recall",
    "f1",
    "f1_gain",
    "ms_1",
    "fit_seconds",
    "doubt",
)


def write_comparison(
    comparison: Comparison,
    runs: Sequence[ComparedRun],
    settings_of: Callable[[ComparedRun], Settings],
    folder: Path,
    published: Published | None,
) -> str:
    """comparison.csv, groups.csv, runs.csv and published.csv with their .jsonl, comparison.md, the figures, and
    comparison.html last; what to print.

    runs: all of the comparison, finished or not.
    """
    outcomes = outcomes_of(runs, settings_of, comparison.power.kg_per_kwh)
    groups = {group.name: group_rows(comparison, outcomes, group) for group in groups_of(comparison)}
    beside = _beside(comparison, outcomes, published) if published else []
    rows, of_groups = groups[AVERAGE], [row for name, found in groups.items() if name != AVERAGE for row in found]
    of_runs = [one.row for one in outcomes]
    kinds, lone = kind_rows(outcomes), lone_finds(outcomes)
    for name, table in {
        "comparison": rows, "groups": of_groups, "runs": of_runs, "published": beside, "by_kind": kinds,
        "lone_finds": lone,
    }.items():  # fmt: skip
        if table:
            write_csv(folder / f"{name}.csv", table)
            write_jsonl(folder / f"{name}.jsonl", table)
    advice = recommended(rows, margin=comparison.margin, pictures=comparison.pictures)
    write_text(
        folder / "comparison.md", _markdown(comparison, groups, advice, beside, published.notes if published else ())
    )
    first = next(((one.run.data, one.run.seed) for one in outcomes if one.scores is not None), None)
    shown = [one for one in outcomes if (one.run.data, one.run.seed) == first]
    figures = folder / "figures"
    content = page.ComparisonPage(
        comparison, groups, of_runs, beside, kinds, lone, advice,
        cost_figure(rows, figures / "cost.png"),
        side_by_side(shown, figures / "side_by_side.png") if first else None,
        f"{first[0].name}, seed {first[1]}" if first else "",
        {one.run.name: one.run.workdir / "report.html" for one in outcomes if one.scores is not None},
        published.notes if published else (),
    )  # fmt: skip
    write_text(folder / "comparison.html", page.comparison_page(content, folder))
    write_text(folder / "comparison.json", json.dumps(plain(_settings(comparison)), indent=1))
    said = "\n".join(f"{one.role}: {one.method} ({one.sentence})" for one in advice)
    return f"{format_table(rows, PRINTED)}\n\n{said or page.NOTHING}\npage: {folder / 'comparison.html'}"


def _beside(comparison: Comparison, outcomes: Sequence[RunOutcome], published: Published) -> list[dict[str, Any]]:
    names = {method.name: method.published_as or method.name for method in comparison.methods}
    each = [ComparedGroup(data.name, (data.name,)) for data in comparison.data]
    rows = [row for group in each for row in group_rows(comparison, outcomes, group)]
    return published_rows([{**row, "published_as": names[row["method"]]} for row in rows], published)


def _settings(comparison: Comparison) -> dict[str, Any]:
    return comparison._asdict()


def _markdown(
    comparison: Comparison, groups: Mapping[str, Sequence[Row]], advice: Sequence[Recommended], beside: Sequence[Row],
    notes: Sequence[str],
) -> str:  # fmt: skip
    parts = [f"# {page.title_of(comparison)}\n"]
    parts += [f"- **{one.role}**: {one.method}. {one.sentence}." for one in advice] or [f"- {page.NOTHING}"]
    for name, rows in groups.items():
        parts.append(f"\n## {page.group_title(name)}\n\n{page.CAPTION}\n")
        for columns in (page.ACCURACY, page.AT_THRESHOLD, page.COST):
            parts.append(f"{_markdown_table(page.told(rows), columns)}\n")
    if beside:
        columns = {name: page.paper_name(name) for row in beside for name in row}
        parts.append(f"\n## Beside the paper\n\n{_markdown_table(beside, columns)}\n")
        parts += [f"- {note}" for note in notes]
    return "\n".join(parts)


def _markdown_table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    shown = {key: head for key, head in columns.items() if any(row.get(key) not in (None, "") for row in rows)}
    cells = [[c.replace("|", "\\|") for c in column_cells([row.get(key) for row in rows])] for key in shown]
    lines = [shown.values(), ["---"] * len(shown), *zip(*cells, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
