"""The paper's numbers as data: numbers.json, with where each stands and where the paper contradicts itself.

``mean_of`` and ``averages_that_differ`` recompute the printed averages, so that a test can hold the list of
contradictions against the numbers themselves. Rows of several tables that state one result are listed once, as
"repeated"; where they differ is computed.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("numbers.json")

Value = tuple[float | None, ...]
"""A cell: a number for each metric of its row or column; None where the paper has a dash."""

AVERAGE = "average"
"""A column beside the categories."""

WORDS = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro_30": "PRO",
    "seconds": "seconds per image",
}
"""Metric -> what people read. All but the seconds are in per cent."""


class Printed(NamedTuple):
    """A row of one method or setting. cells: of ``Numbers.columns``; average: as printed, None where none is.
    metrics: of the row, None for those of the table."""

    cells: tuple[Value, ...]
    average: Value | None
    metrics: tuple[str, ...] | None


class Numbers(NamedTuple):
    """A table of the paper, or one of its two halves.

    where: in the paper. data: mvtec | visa | mtd. kind: "categories" has a column for each, "averages" only averages
    over them, "epochs" curves. across: what the paper has side by side, "methods" or the columns. columns: categories,
    or names of averages. notes: where the paper is at odds with itself or its text. doubtful: (row, column).
    """

    title: str
    where: str
    data: str
    kind: str
    across: str
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    column_metrics: dict[str, tuple[str, ...]]
    rows: dict[str, Printed]
    notes: tuple[str, ...]
    doubtful: frozenset[tuple[str, str]]

    def metrics_of(self, row: str, column: str) -> tuple[str, ...]:
        own = self.rows[row].metrics if row in self.rows else None
        return own or self.column_metrics.get(column) or self.metrics

    def cell(self, row: str, column: str) -> Value | None:
        """None where the paper has no such row or column."""
        if row not in self.rows or column not in self.columns:
            return None
        return self.rows[row].cells[self.columns.index(column)]


@functools.cache
def tables() -> dict[str, Numbers]:
    """Name, such as "12" or "4-visa" -> its numbers."""
    return {name: _numbers(found) for name, found in json.loads(FILE.read_text("utf-8"))["tables"].items()}


def listed_differences() -> list[dict[str, Any]]:
    """Printed averages that are not the mean of their row, as numbers.json lists them."""
    return list(json.loads(FILE.read_text("utf-8"))["averages_that_differ"])


def mean_of(values: Sequence[Value]) -> Value:
    """Column by column; None where one of them is."""
    columns = zip(*values, strict=True)
    return tuple(None if None in column else sum(column) / len(column) for column in columns)


def average_of(numbers: Numbers, row: str) -> Value:
    """As printed, or the mean of the row where the paper prints none."""
    printed = numbers.rows[row]
    return printed.average or mean_of(printed.cells)


def averages_that_differ(tolerance: float = 0.0501) -> list[tuple[str, str, str]]:
    """(table, row, metric) of every printed average that rounding does not explain."""
    found = []
    for name, table in tables().items():
        for row, printed in table.rows.items():
            if printed.average is None or table.kind != "categories":
                continue
            metrics = printed.metrics or table.metrics
            for metric, mean, said in zip(metrics, mean_of(printed.cells), printed.average, strict=True):
                if mean is not None and said is not None and abs(mean - said) > tolerance:
                    found.append((name, row, metric))
    return found


def repeated_results() -> list[list[tuple[str, str]]]:
    """The (table, row) that state one result, a list for each result."""
    return [[(table, row) for table, row in places] for places in json.loads(FILE.read_text("utf-8"))["repeated"]]


def stated(name: str, row: str) -> dict[tuple[str, str], float]:
    """(category or AVERAGE, metric) -> number of a row, without dashes and doubtful digits."""
    table = tables()[name]
    by_category = table.kind == "categories"
    cells = [(column, cell) for column, cell in zip(table.columns, table.rows[row].cells, strict=True)]
    printed = table.rows[row].average
    said = {
        (column if by_category else AVERAGE, metric): number
        for column, cell in (*cells, *([(AVERAGE, printed)] if printed else []))
        if (row, column) not in table.doubtful
        for metric, number in zip(table.metrics_of(row, column), cell, strict=True)
    }
    return {at: number for at, number in said.items() if number is not None}


def repeats_that_differ(name: str) -> list[str]:
    """What a table prints otherwise than another that states the same result, a sentence for each row."""
    sentences = []
    for places in repeated_results():
        for row in (row for table, row in places if table == name):
            parts = [_told(at, number, name, places) for at, number in stated(name, row).items()]
            if told := "; ".join(part for part in parts if part):
                sentences.append(f"{row}: {told}.")
    return sentences


def _told(at: tuple[str, str], here: float, name: str, places: list[tuple[str, str]]) -> str:
    """ "wood pixel AUROC 95.0 here and in Table 13, 95.3 in Tables 6 and 19"; "" where all agree."""
    found: dict[float, list[str]] = {here: []}
    for table, row in places:
        number = stated(table, row).get(at)
        if table != name and number is not None:
            found.setdefault(number, []).append(table.partition("-")[0])
    if len(found) == 1:
        return ""
    column, metric = at
    same = f" and in {_tables(found[here])}" if found[here] else ""
    others = ", ".join(f"{number} in {_tables(where)}" for number, where in found.items() if number != here)
    return f"{column.replace('_', ' ')} {WORDS[metric]} {here} here{same}, {others}"


def _tables(names: list[str]) -> str:
    *first, last = names
    return f"Tables {', '.join(first)} and {last}" if first else f"Table {last}"


def contradictions(name: str) -> list[str]:
    """What a reader of the table should know of the paper's own numbers, one sentence each."""
    table = tables()[name]
    averages = [
        f"{one['row']}: the paper prints the average {one['printed']} for {WORDS[one['metric']]}, its values have the "
        f"mean {one['mean']}."
        for one in listed_differences()
        if one["table"] == name
    ]
    return [*table.notes, *repeats_that_differ(name), *averages]


def _numbers(found: dict[str, Any]) -> Numbers:
    return Numbers(
        title=found["title"],
        where=found["where"],
        data=found["data"],
        kind=found["kind"],
        across=found["across"],
        columns=tuple(found["columns"]),
        metrics=tuple(found["metrics"]),
        column_metrics={name: tuple(metrics) for name, metrics in found.get("column_metrics", {}).items()},
        rows={
            name: Printed(
                tuple(tuple(cell) for cell in row["cells"]),
                tuple(row["average"]) if row.get("average") else None,
                tuple(row["metrics"]) if "metrics" in row else None,
            )
            for name, row in found["rows"].items()
        },
        notes=tuple(found["notes"]),
        doubtful=frozenset((row, column) for row, columns in found["doubtful"].items() for column in columns),
    )
