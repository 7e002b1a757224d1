"""The paper's numbers: nothing is missing, and the averages are those of their rows or known not to be."""

import itertools
import re

import pytest

from experiments.papers.numbers import (
    WORDS,
    averages_that_differ,
    contradictions,
    listed_differences,
    mean_of,
    repeated_results,
    repeats_that_differ,
    stated,
    tables,
)
from experiments.papers.overview import FIGURES, TABLES, described
from experiments.papers.settings import DATA

COUNT = {"mvtec": 15, "visa": 12}


def test_every_row_has_a_number_for_each_category_and_each_metric() -> None:
    for name, table in tables().items():
        if table.kind == "categories":
            assert len(table.columns) == COUNT[table.data], name
            assert table.columns == DATA[table.data].categories, name
        for row, printed in table.rows.items():
            assert len(printed.cells) == len(table.columns), (name, row)
            for column, cell in zip(table.columns, printed.cells, strict=True):
                metrics = table.metrics_of(row, column)
                assert len(cell) == len(metrics) and set(metrics) <= WORDS.keys(), (name, row, column)


def test_every_number_is_a_share_in_per_cent_or_a_time() -> None:
    for name, table in tables().items():
        for row, printed in table.rows.items():
            for column, cell in zip(table.columns, printed.cells, strict=True):
                top = 1.0 if table.metrics_of(row, column) == ("seconds",) else 100.0
                # GANomaly's pixel AUROC is a dash.
                assert all(v is None if v is None else 0 < v <= top for v in cell), (name, row, column, cell)


def test_averages_agree_with_their_rows_or_are_listed_as_contradictions() -> None:
    listed = [(one["table"], one["row"], one["metric"]) for one in listed_differences()]
    assert averages_that_differ() == listed and len(listed) == 16
    for one in listed_differences():
        table = tables()[one["table"]]
        at = (table.rows[one["row"]].metrics or table.metrics).index(one["metric"])
        mean, printed = mean_of(table.rows[one["row"]].cells)[at], table.rows[one["row"]].average
        assert mean is not None and printed is not None
        assert mean == pytest.approx(one["mean"], abs=0.0501) and printed[at] == one["printed"]


def test_the_headline_numbers_are_their_rows_mean() -> None:
    for table, row, mean in (("1", "DDAD-10", (99.8, 98.1)), ("2", "DDAD-10", (98.9, 97.6)), ("7", "DDAD-10", (92.3,))):
        assert mean_of(tables()[table].rows[row].cells) == pytest.approx(mean, abs=0.0501)
        assert tables()[table].rows[row].average == mean


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("16", "prints the average 95.6"),
        ("18", "thirteen pairs"),
        ("8", "prints the average 91.2"),
        ("5", "92.4 here, 92.3 in Tables 4 and 7"),
    ],
)
def test_a_table_says_where_the_paper_is_at_odds(table: str, said: str) -> None:
    assert any(said in sentence for sentence in contradictions(table))


def test_doubtful_digits_are_of_cells_that_exist() -> None:
    for table in tables().values():
        for row, column in table.doubtful:
            assert table.cell(row, column) is not None


def test_what_we_make_of_a_table_of_the_paper_has_the_papers_name() -> None:
    for name in (*TABLES, *FIGURES):
        for block in described(name).table.blocks:
            unknown = {line.name for line in block.lines} - block.printed.rows.keys()
            assert all(one.startswith("EfficientNet-Lite0") for one in unknown) or block.printed.kind == "epochs"


PLACES = [
    (first, second)
    for places in repeated_results()
    for first, second in itertools.permutations(places, 2)
    if first[0] != second[0]
]


@pytest.mark.parametrize(("here", "there"), PLACES, ids=lambda place: "-".join(place))
def test_a_table_says_where_another_has_another_number_for_the_same_result(
    here: tuple[str, str], there: tuple[str, str]
) -> None:
    """And names no place where the two agree."""
    others, name = stated(*there), there[0].partition("-")[0]
    said = [part for line in repeats_that_differ(here[0]) for part in line.rstrip(".").split("; ")]
    said = [part.removeprefix(f"{here[1]}: ") for part in said]
    for (column, metric), number in stated(*here).items():
        if (column, metric) not in others:
            continue
        other, beginning = others[column, metric], f"{column.replace('_', ' ')} {WORDS[metric]} {number} here"
        (found,) = [part for part in said if part.startswith(beginning)] or [""]
        there_said = re.search(rf"\b{re.escape(str(other))} in Tables? ((?:\d+(?:, | and )?)+)", found)
        told = there_said is not None and name in re.findall(r"\d+", there_said[1])
        assert told is (number != other), (column, metric)


def test_rows_that_are_nearly_equal_are_known_to_state_one_result() -> None:
    """So that no pair of tables is forgotten. Two settings share about half of their numbers below 100 at most."""
    known = {frozenset(pair) for pair in PLACES}
    rows = {
        (name, row): {(at, number) for at, number in stated(name, row).items() if number < 100.0}
        for name, table in tables().items()
        if table.kind == "categories"
        for row in table.rows
    }
    for (first, one), (second, two) in itertools.combinations(rows.items(), 2):
        if first[0] != second[0] and len(one & two) > 0.55 * min(len(one), len(two)) > 0:
            assert frozenset((first, second)) in known, (first, second)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("1", "wood pixel AUROC 95.0 here and in Table 13, 95.3 in Tables 6 and 19"),
        ("2", "macaroni2 image AUROC 99.2 here and in Table 14, 99.3 in Table 18"),
        ("8", "candle PRO 96.6 here, 96.1 in Table 14"),
        ("13", "leather pixel AUROC 98.2 here and in Table 19, 99.4 in Tables 1 and 6"),
        ("14", "pcb3 PRO 85.7 here, 86.6 in Table 8"),
        ("18", "fryum pixel AUROC 96.4 here, 96.9 in Tables 2 and 14"),
        ("19", "metal nut pixel AUROC 98.9 here and in Tables 6 and 13, 99.0 in Table 1"),
    ],
)
def test_what_differs_is_told_in_words(table: str, said: str) -> None:
    assert any(said in sentence for sentence in contradictions(table))


def test_the_note_on_table_17_names_the_cells_that_are_marked() -> None:
    (note,) = (one for one in tables()["17"].notes if "doubtful" in one)
    columns = tables()["17"].columns
    marked = set(columns[columns.index("screw") : columns.index("zipper") + 1])
    assert "ResNet-50+DA and ResNet-50+DA+pixel" in note and "from screw to zipper are doubtful" in note
    assert tables()["17"].doubtful == {(row, c) for row in ("ResNet-50+DA", "ResNet-50+DA+pixel") for c in marked}


@pytest.mark.parametrize(
    ("table", "row", "column", "cell"),
    [
        ("1", "RIAD", "tile", (98.7, 89.1)),
        ("2", "OmniAL", "pcb2", (99.4, 83.2)),
        ("6", "DDAD-5", "carpet", (94.3, 96.4)),
        ("7", "RD4AD", "transistor", (78.0,)),
        ("8", "SPADE", "capsules", (36.1,)),
        ("12", "w = 3", "cable", (73.5, 85.1)),
        ("13", "v = 0.8", "transistor", (92.6, 91.5)),
        ("14", "v = 8.0 (PRO)", "cashew", (63.4,)),
        ("15", "with conditioning (AUROC)", "pcb1", (95.5, 69.2)),
        ("16", "without adaptation (PRO)", "pcb3", (0.4,)),
        ("17", "WideResNet-50", "screw", (58.6, 53.5)),
        ("18", "ResNet-50+DA+pixel", "macaroni2", (83.9, 94.6)),
        ("19", "lambda_DL = 0", "wood", (96.7, 89.1)),
    ],
)
def test_a_cell_is_where_the_paper_has_it(table: str, row: str, column: str, cell: tuple[float, ...]) -> None:
    """Read by eye from the paper: a row or column that has slipped would show."""
    assert tables()[table].cell(row, column) == cell
