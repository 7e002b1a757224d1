"""The page of a comparison: what to deploy and by which rules, the tables, the figures, who finds what."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.engine.comparison.plan import Comparison
from ddad_jax.engine.comparison.recommendation import RULES, Recommended
from ddad_jax.engine.comparison.table import AVERAGE
from ddad_jax.engine.figures.parts import NAMES as OF_METRICS
from ddad_jax.engine.report.page import page
from ddad_jax.engine.report.parts import picture, plain_table
from ddad_jax.engine.report.table import escape
from ddad_jax.engine.store.tables import Row, is_number

NOTHING = "No method can be recommended yet: each has a run missing, or a doubt in its row."
NAMES = {
    **OF_METRICS,
    "method": "method", "group": "over", "recall": "recall", "precision": "precision", "f1": "F1",
    "accuracy": "accuracy", "peeked_recall": "recall, by labels", "peeked_precision": "precision, by labels",
    "peeked_f1": "F1, by labels", "peeked_accuracy": "accuracy, by labels",
    "fit_seconds": "learning (s)", "ms_1": "ms/picture", "ms_8": "ms/picture of 8",
    "gmac": "GMAC/picture", "model_mib": "model (MiB)", "fit_kwh": "learning (kWh)", "fit_co2_kg": "learning (kg CO2)",
}  # fmt: skip
ACCURACY = {
    "rank_image_auroc": "rank",
    "method": "method",
    "image_auroc": "image AUROC",
    "image_auroc_interval": "95 % over pictures",
    "image_auroc_sd": "sd over seeds",
    "behind": "behind the best",
    "behind_interval": "95 % of that",
    "image_ap": "image AP",
    "pixel_auroc": "pixel AUROC",
    "pixel_auroc_sd": "its sd",
    "pixel_ap": "pixel AP",
    "aupro_30": "AUPRO@0.3",
    "aupro_05": "AUPRO@0.05",
    "sets": "data sets",
    "doubt": "doubt",
    "note": "note",
}
AT_THRESHOLD = {
    "rank_f1": "rank",
    "method": "method",
    "recall": "recall",
    "recall_interval": "95 % over pictures",
    "precision": "precision",
    "f1": "F1",
    "f1_interval": "95 %",
    "f1_sd": "sd over seeds",
    "accuracy": "accuracy",
    "peeked_recall": "recall, by labels",
    "peeked_precision": "precision, by labels",
    "peeked_f1": "F1, by labels",
    "peeked_accuracy": "accuracy, by labels",
    "f1_gain": "F1 gained by peeking",
}
COST = {
    "method": "method",
    "fit_seconds": "learning (s)",
    "fit_cpu_seconds": "learning (CPU s)",
    "ms_1": "ms/picture",
    "ms_8": "ms/picture of 8",
    "compile_s": "compiling (s)",
    "gmac": "GMAC/picture",
    "parameters": "parameters",
    "model_mib": "model (MiB)",
    "fit_peak_gib": "memory, learning (GiB)",
    "judge_peak_gib": "memory, judging (GiB)",
    "device_peak_gib": "of the accelerator",
    "fit_wh": "learning (Wh)",
    "judge_wh": "judging (Wh)",
    "fit_co2_g": "learning (g CO2)",
    "judge_co2_g": "judging (g CO2)",
    "cost_failure": "not measured",
}
CAPTION = (
    "Means over data sets, of each over its seeds. Intervals are of redrawn test pictures, the same for all methods: "
    "where that of what a method is behind the best holds 0, these pictures do not tell the two apart. The best is of "
    "those without a doubt. Verdicts are those of the threshold that rests on held-out normal pictures alone; the "
    "columns by labels are of that of the best F1 on the test, which nobody may use: the last column is what a method "
    "would gain by such peeking."
)
MOST = 60
"""Rows of a list of pictures; the CSV has them all."""


class ComparisonPage(NamedTuple):
    """groups: name -> rows of ``table.group_rows``, AVERAGE first. runs, beside, kinds, lone: rows of the other tables.
    shown: whose pictures stand side by side. reports: of the runs, by their name. notes: of the paper's numbers."""

    comparison: Comparison
    groups: Mapping[str, Sequence[Row]]
    runs: Sequence[Row]
    beside: Sequence[Row]
    kinds: Sequence[Row]
    lone: Sequence[Row]
    advice: Sequence[Recommended]
    cost: Path | None
    side_by_side: Path | None
    shown: str
    reports: Mapping[str, Path]
    notes: Sequence[str] = ()


def title_of(comparison: Comparison) -> str:
    return f"{len(comparison.methods)} methods on {', '.join(data.name for data in comparison.data[:6])}" + (
        f" and {len(comparison.data) - 6} more" if len(comparison.data) > 6 else ""
    )


def group_title(name: str) -> str:
    return "All data sets" if name == AVERAGE else name[:1].upper() + name[1:]


def told(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows with what only people read: intervals in a cell, watt hours and grams."""
    found = []
    for row in rows:
        shown = {name: None if is_number(v) and not math.isfinite(v) else v for name, v in row.items()}
        for name in ("image_auroc", "recall", "f1", "behind"):
            if shown.get(f"{name}_low") is not None:
                shown[f"{name}_interval"] = f"{row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f}"
        for name, unit in (("fit_kwh", "fit_wh"), ("judge_kwh", "judge_wh"), ("fit_co2_kg", "fit_co2_g"),
                           ("judge_co2_kg", "judge_co2_g")):  # fmt: skip
            if shown.get(name) is not None:
                shown[unit] = 1e3 * row[name]
        found.append(shown)
    return found


def comparison_page(content: ComparisonPage, folder: Path) -> str:
    """The whole page, for a file in ``folder``."""
    c = content.comparison
    header = (
        f"<p>{escape(f'{len(c.methods)} methods, {len(c.data)} data sets, seeds')} "
        f"{escape(', '.join(map(str, c.seeds)))}: {escape(_states(content.runs))}</p>"
    )
    sections = {
        "What to deploy": _advice(content),
        "Accuracy and cost": picture(
            content.cost, "Image AUROC and F1 over milliseconds and energy, a mark a method",
            "Bars are 95 % over test pictures. The grey line joins the methods that no other beats in both.", least=900,
        ),
        **{group_title(name): _tables(rows, c) for name, rows in content.groups.items()},
        "Beside the paper": _beside(content.beside, content.notes),
        "Side by side": picture(
            content.side_by_side, "The same test pictures through all methods",
            f"{content.shown}: from pictures that most methods judge wrongly to those that all judge rightly, of every "
            "kind. Maps of a row share a scale. White in the second row: the true defect.", least=900,
        ),
        "Who finds what": _finds(content),
        "Runs": _runs(content, folder),
    }  # fmt: skip
    main = "".join(_section(title, inner) for title, inner in sections.items() if inner)
    return page(title_of(c), header, main)


def _section(title: str, inner: str) -> str:
    key = "".join(character for character in title.lower() if character.isalnum()) or "section"
    head = f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{escape(title)}</h2>'
    return f"{head}{inner}</section>\n"


def _states(runs: Sequence[Row]) -> str:
    counts = {state: sum(row["state"] == state for row in runs) for state in ("done", "failed", "missing")}
    return ", ".join(f"{n} runs {state}" for state, n in counts.items() if n)


def _advice(content: ComparisonPage) -> str:
    tiles = "".join(
        f'<div class="tile"><h3>{escape(one.role[:1].upper() + one.role[1:])}</h3><span class="value">'
        f"{escape(one.method)}</span><p>{escape(one.sentence)}.</p></div>"
        for one in content.advice
    )
    c = content.comparison
    rules = "".join(f"<li>{escape(rule)}</li>" for rule in RULES)
    said = f"Within the margin is within {c.margin:g} of image AUROC; energy is for {c.pictures} pictures."
    doubts = "".join(
        f"<li>{escape(row['method'])}: {escape(row['doubt'])}.</li>" for row in content.groups[AVERAGE] if row["doubt"]
    )
    return (
        (f'<div class="tiles">{tiles}</div>' if tiles else f"<p>{escape(NOTHING)}</p>")
        + f'<details><summary>The rules</summary><ul class="soft">{rules}</ul><p class="soft">{escape(said)} The test '
        "pictures decide here, so this is a choice by test labels: it holds for new pictures as far as the intervals "
        "say.</p></details>" + (f"<h3>Not to be recommended here</h3><ul>{doubts}</ul>" if doubts else "")
    )


def _tables(rows: Sequence[Row], c: Comparison) -> str:
    shown = told(rows)
    cost = plain_table(shown, COST, label="What the methods cost")
    energy = sorted({str(row["energy"]) for row in rows if row.get("energy")})
    devices = ", ".join(sorted({str(row["device"]) for row in rows if row.get("device")})) or "this machine"
    said = (
        "Learning is the whole process that learns, reading and compiling included; milliseconds are medians of whole "
        f"verdicts on {escape(devices)}, compiling apart; judging is of {c.pictures} pictures. "
        f"CO2: {c.power.kg_per_kwh:g} kg a kWh." + (f" Energy: {escape('; '.join(energy))}." if energy else "")
    )
    return (
        f'<p class="soft">{escape(CAPTION)}</p>'
        + plain_table(shown, ACCURACY, label="Accuracy of the methods")
        + "<h3>At the threshold in use, and at one chosen by labels</h3>"
        + plain_table(shown, AT_THRESHOLD, label="Verdicts of the methods")
        + (f'<h3>Cost</h3><p class="soft">{said}</p>{cost}' if cost else "")
    )


def _beside(rows: Sequence[Row], notes: Sequence[str]) -> str:
    columns = {name: paper_name(name) for row in rows for name in row}
    table = plain_table(told(rows), columns, label="Our numbers beside the paper's")
    return table and (
        '<p class="soft">The paper\'s numbers are of its own networks, splits, machines and thresholds; '
        "a dash is a method or a data set that was not run here with all seeds, or not all of the sets that a mean is "
        f'over: a row "mean of" has the paper\'s mean over those that were.</p>{table}'
        + (f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>" if notes else "")
    )


def paper_name(name: str) -> str:
    """What stands above a column of ``table.published_rows``."""
    own, _, paper = name.partition(", ")
    return NAMES.get(own, own) + (f", {paper}" if paper else "")


def _finds(content: ComparisonPage) -> str:
    methods = [method.name for method in content.comparison.methods]
    kinds = plain_table(
        content.kinds, {"kind": "kind", "data": "data set", "pictures": "pictures", **{m: m for m in methods}},
        label="Share of each kind of defect that each method finds",
    )  # fmt: skip
    if not kinds:
        return ""
    alone = [row for row in content.lone if row["found_by"]]
    nobody = len(content.lone) - len(alone)
    said = (
        f"{len(alone)} defective pictures are found by one method alone, {nobody} by none (lone_finds.csv has them "
        "all). A method that finds what others miss is worth an ensemble."
    )
    columns = {"found_by": "found by", "kind": "kind", "data": "data set", "picture": "picture"}
    table = plain_table(alone[:MOST], columns, label="Defects that one method alone finds")
    return (
        '<p class="soft">Shares at the threshold in use, the kind that is found least first. A method finds a picture '
        "where it does with more than half of the seeds.</p>"
        f"{kinds}<p>{escape(said)}</p>{table}"
    )


def _runs(content: ComparisonPage, folder: Path) -> str:
    lines = "".join(
        f'<li><a href="{escape(Path(os.path.relpath(path, folder)).as_posix())}">{escape(name)}</a></li>'
        for name, path in content.reports.items()
    )
    failed = "".join(
        f"<li>{escape(row['method'])} on {escape(row['data'])}, seed {row['seed']}: "
        f"{escape(row['why'] or 'not there yet')}</li>"
        for row in content.runs
        if row["state"] != "done"
    )
    unmeasured = "".join(
        f"<li>{escape(row['method'])} on {escape(row['data'])}, seed {row['seed']}: {escape(row['cost_failure'])}</li>"
        for row in content.runs
        if row.get("cost_failure")
    )
    return (
        (f"<h3>Without a result</h3><ul>{failed}</ul>" if failed else "")
        + (f"<h3>Costs that could not be measured</h3><ul>{unmeasured}</ul>" if unmeasured else "")
    ) + (f"<details><summary>Reports of the runs</summary><ul>{lines}</ul></details>" if lines else "")
