"""--list and --plan: what there is to make, what of it is there, and nothing run."""

import textwrap
from collections.abc import Sequence

from experiments.papers.cells import filled
from experiments.papers.epochs import epochs_there
from experiments.papers.index import FIGURES, TABLES, described
from experiments.papers.running import Ask, State, everything, folder_of
from experiments.papers.table import Table
from experiments.plan import plan


def catalogue(ask: Ask) -> str:
    """Each table with its data, cost and command, and which categories the workdir holds."""
    parts = []
    for name in (*TABLES, *FIGURES):
        found = described(name)
        parts += [found.heading, f"  data: {found.data}", _wrapped(f"cost: {found.cost}"), f"  {found.command}",
                  f"  there: {_there(found.table, ask)} (in {ask.folder})", ""]  # fmt: skip
    return "\n".join(parts)


def planned(states: Sequence[State]) -> str:
    """A line a run: what it still has to do."""
    lines, trained = [], set()
    for state in states:
        unet = state.folder.parent / "unet"
        todo = []
        if not state.trained and unet not in trained:
            minutes = state.run.config.train.max_minutes
            steps = f"train at most {state.run.config.train.steps} steps"
            todo.append(f"{steps} or {minutes:g} minutes" if minutes else steps)
            trained.add(unet)
        if state.run.config.adapt.epochs and not (state.folder / "adapt" / "chosen.json").exists():
            todo.append(f"adapt for at most {state.run.config.adapt.epochs} epochs")
        if state.missing:
            asked = plan(state.run.config, sweep=True)
            many = f"{len(asked.recon)} reconstructions of each picture, {len(asked.score)} scores of each"
            todo.append(f"at most {many}")
        said = f"skipped: {state.skipped}" if state.skipped else "; ".join(todo) if state.missing else "there already"
        lines.append(f"{state.folder}: {said}")
    open_runs = [state for state in states if state.missing and not state.skipped]
    lines.append(f"runs: {len(states)}; with something to do: {len(open_runs)}; trainings: {len(trained)}")
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 116, initial_indent="  ", subsequent_indent="    ")


def _there(table: Table, ask: Ask) -> str:
    found = everything(table, ask)
    if table.epochs:
        done = [
            category
            for (_, category), runs in found.items()
            if runs and all(epochs_there(folder_of(ask, run)) for run, _ in runs)
        ]
        return ", ".join(done) or "nothing"
    parts: list[str] = []
    for block in table.blocks:
        data = block.printed.data
        sheet = filled(block, {category: runs for (of, category), runs in found.items() if of == data})
        parts += sheet.run
    return ", ".join(dict.fromkeys(parts)) or "nothing"
