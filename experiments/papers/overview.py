"""--list and --plan: what there is to make, what of it is there, and nothing run."""

import functools
import importlib
import inspect
import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from ddad_jax.data.listing import listed
from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.errors import InputError
from experiments.papers.cells import filled
from experiments.papers.epochs import epochs_there
from experiments.papers.running import Ask, State, everything, folder_of
from experiments.papers.table import Table

# --- All tables and figures of the paper that are experiments, by the name that --table takes.

TABLES = ("1", "2", "3", "4", "5", "6", "7", "8", "12", "13", "14", "15", "16", "17", "18", "19")
FIGURES = ("figure4", "figure7", "figure8")


class Described(NamedTuple):
    """A table and the head of its config: heading; data, command and cost as they stand there."""

    table: Table
    heading: str
    data: str
    command: str
    cost: str


def described(name: str) -> Described:
    """The table of a config in experiments/configs/paper.

    Raises:
      InputError: there is none of that name; the message lists all.
    """
    name = name.removeprefix("table")
    if name not in (*TABLES, *FIGURES):
        raise InputError(f"--table={name}: expected one of {listed((*TABLES, *FIGURES), 40)}")
    return _described(name)


@functools.cache
def _described(name: str) -> Described:
    module = importlib.import_module(f"experiments.configs.paper.{name if name in FIGURES else f'table{name}'}")
    text = inspect.getdoc(module) or ""
    parts = {part: re.search(rf"^{part}: (.*?)(?=\n\S|\Z)", text, re.M | re.S) for part in ("Data", "Command", "Cost")}
    said = {part: " ".join(found[1].split()) if found else "" for part, found in parts.items()}
    return Described(module.TABLE, text.splitlines()[0], said["Data"], said["Command"], said["Cost"])


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
            asked = ddad_plan(state.run.config, sweep=True)
            many = f"{len(asked.costly)} reconstructions of each picture, {len(asked.cheap)} scores of each"
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
