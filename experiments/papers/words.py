"""What stands above and below a table: how to read it, what is not the paper's, where the paper is at odds."""

from collections.abc import Sequence

from experiments.papers.cells import Sheet
from experiments.papers.numbers import WORDS, contradictions
from experiments.papers.running import Ask, State
from experiments.papers.settings import DATA, PAPERS, Named, known

HOW_TO_READ = (
    "Each cell: ours, [the paper's], and ours less the paper's; \"not run\" where there is no run of ours yet. "
    "? marks digits of the paper that are doubtful. Methods without a first number are the paper's alone."
)


def head(sheet: Sheet, ask: Ask) -> list[str]:
    """Title and how the runs differ from the paper's, loudest first."""
    metrics = ", ".join(WORDS[metric] for metric in sheet.numbers.metrics)
    lines = [f"{sheet.numbers.where}: {sheet.numbers.title} ({metrics}, in %)"]
    if ask.size != "gpu":
        lines.append(
            f"NOT THE PAPER'S SIZE: --size={ask.size} is a small network at 64 or 128 px, trained for minutes. It "
            "shows that the table can be made; beside the paper's its numbers say nothing about the method."
        )
    return [*lines, HOW_TO_READ]


def footnotes(sheet: Sheet, ask: Ask, states: Sequence[State]) -> list[str]:
    """One sentence or two each."""
    numbers, of = sheet.numbers, DATA[sheet.numbers.data]
    named = [Named(numbers.data, category) for category in sheet.run]
    notes = []
    tuned = [n.category for n in named if known(n)] if ask.size == "gpu" else []
    if tuned:
        notes.append(
            "w, the length of training and the adaptation epoch of ours are the paper's for each category. They were "
            "picked with test labels in view, so these rows are no estimate for new data."
        )
    others = [n.category for n in named if not known(n) and numbers.data != "mtd"]
    if others:
        notes.append(f"{', '.join(others)}: not in the paper, run with the config's defaults.")
    if ask.size != "gpu" and sheet.run:
        notes.append("At this size w, v and layers are those of the small configs, where the table does not name them.")
        if any(name.startswith("DDAD-S") for name in sheet.rows):
            notes.append("At this size DDAD-S is the small network at half its width.")
    if sheet.steps:
        few, most = sheet.steps
        notes.append(f"Ours were trained for {few if few == most else f'{few} to {most}'} steps.")
    if numbers.data == "mtd":
        notes.append("The paper gives no w, v or length of training for MTD, and no list of its 80 %.")
        notes.append(
            "Its rule draws the training pictures one by one, so most tiles are both trained and tested on: a detector "
            "that knows no defect, only whether it has seen a tile, comes to 98 there (experiments/configs/mtd.py "
            "parts by tile; by tile it comes to 73)."
        )
    if sheet.run and not ask.published:
        notes.append("Ours in the default behaviour; --reference follows the published code's (--size=gpu).")
    if (ask.backbone or ask.size != "gpu") and ask.backbone != PAPERS and sheet.run and sheet.features:
        notes.append("Rows that name no feature extractor use EfficientNet-Lite0 unless --backbone names another; the "
                     "paper has WideResNet-101.")  # fmt: skip
    if "seconds" in {metric for cell in sheet.cells.values() for metric in cell.metrics}:
        notes.append("Seconds per image are of this machine, in batches; the paper's of a GeForce RTX 3090.")
    notes += _averages(sheet)
    reasons = {state.run.config.backbone.name: state.skipped for state in states if state.skipped}
    notes += [f"Not run, {name}: {why}" for name, why in reasons.items()]
    return [*notes, *(f"The paper: {sentence}" for sentence in contradictions(sheet.name)), f"Data: {of.name}."]


def _averages(sheet: Sheet) -> list[str]:
    counts = {cell.of for (_, _), cell in sheet.cells.items() if cell.ours is not None and cell.of != (0, 0)}
    notes = []
    for run, of in sorted(counts):
        if run == 0:
            notes.append("Averages of ours are over categories that the paper does not have.")
        elif run < of:
            notes.append(f"Averages of ours are over {run} of {of} categories, so no difference is given.")
    if sheet.same:
        told = "; ".join(f"{name} {', '.join(map(_number, value))}" for name, value in sheet.same.items())
        notes.append(f"The paper's means over its categories that were run: {told}.")
    return notes


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
