"""All tables and figures of the paper that are experiments, by the name that --table takes."""

import functools
import importlib
import inspect
import re
from typing import NamedTuple

from ddad_jax.data.listing import listed
from ddad_jax.errors import InputError
from experiments.papers.table import Table

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
