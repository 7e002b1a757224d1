"""The paper's numbers: nothing is missing, and the averages are those of their rows or known not to be."""

import pytest

from experiments.papers.index import FIGURES, TABLES, described
from experiments.papers.numbers import WORDS, averages_that_differ, contradictions, listed_differences, mean_of, tables
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


def test_the_same_result_is_the_same_in_the_tables_that_repeat_it() -> None:
    """But for the digits that the notes name."""
    one, six = tables()["1"], tables()["6"]
    differing = {c for c in one.columns if one.cell("DDAD-10", c) != six.cell("DDAD-10", c)}
    assert differing == {"wood", "hazelnut", "metal_nut"}
    assert all(one.cell("DDAD-S-10", c) == six.cell("DDAD-S-10", c) for c in one.columns)
