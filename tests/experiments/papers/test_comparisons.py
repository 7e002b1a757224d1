"""Papers that compare: their groups are those of the tables, and where one contradicts itself is known."""

import numpy as np
import pytest

from ddad_jax.engine.comparison.rows import VERDICT
from ddad_jax.engine.comparison.table import AVERAGE
from ddad_jax.errors import InputError
from experiments.papers.comparisons import (
    CATEGORIES,
    GROUPS,
    comparing_papers,
    published,
    published_numbers,
    tables_of,
)


def test_rows_have_a_number_for_each_column() -> None:
    for paper, found in comparing_papers().items():
        for table in found["tables"]:
            assert {len(row) for row in table["rows"].values()} == {len(table["columns"])}, (paper, table["where"])
    assert len(CATEGORIES) == len({*CATEGORIES}) == 15


@pytest.mark.parametrize("metric", ["image_auroc", "peeked_recall", "peeked_f1", "image_ap"])
@pytest.mark.parametrize("group", [AVERAGE, *GROUPS])
def test_tables_of_groups_are_means_over_the_groups(metric: str, group: str) -> None:
    benchmark = published_numbers("benchmark")
    categories = CATEGORIES if group == AVERAGE else GROUPS[group]
    differing = {
        method
        for method, columns in benchmark.items()
        if metric in columns.get("bottle", {})
        and abs(columns[group][metric] - np.mean([columns[name][metric] for name in categories])) > 2e-4
    }
    # Its Table 1 prints the AUC of DDAD in the place of its AP.
    assert differing == ({"DDAD"} if (metric, group) == ("image_ap", AVERAGE) else set())
    assert any("96.79" in note for note in comparing_papers()["benchmark"]["notes"])


def test_numbers_come_in_our_units() -> None:
    ddad = published_numbers("benchmark")["DDAD"]
    assert ddad["bottle"]["image_auroc"] == 1.0 and ddad[AVERAGE]["image_auroc"] == pytest.approx(0.9679)
    assert ddad[AVERAGE]["fit_kwh"] == pytest.approx(6400.66 / 3600) and ddad[AVERAGE]["ms_1"] == pytest.approx(127.1)
    # CO2 over energy is about the factor that it states.
    assert ddad[AVERAGE]["fit_co2_kg"] / ddad[AVERAGE]["fit_kwh"] == pytest.approx(0.475, rel=0.05)
    assert published_numbers("cans")["DDAD"]["coffee"]["aupro_30"] == 0.914
    assert published_numbers("thesis")["DDAD PO+M+NR"]["A"]["peeked_accuracy"] == pytest.approx(0.95)
    assert ("Table 3", "DDAD", 93.96) in tables_of("benchmark", "image_auroc", "rotating")


def test_what_was_chosen_on_test_data_stands_beside_ours_by_labels() -> None:
    """No paper has verdicts of a label-free threshold."""
    for paper in comparing_papers():
        columns = {name for row in published_numbers(paper).values() for of in row.values() for name in of}
        assert not columns & {*VERDICT}, paper
    assert any("three thresholds" in note for note in published("thesis").notes)


def test_means_of_papers_are_over_sets_that_are_known() -> None:
    for paper in comparing_papers():
        numbers, sets, notes = published(paper)
        columns = {column for row in numbers.values() for column in row}
        assert {AVERAGE, *GROUPS} & columns == {*sets} and notes, paper
        assert {*sets.get(AVERAGE, ())} >= columns - {*sets} or paper == "thesis"


def test_an_unknown_paper_is_refused() -> None:
    with pytest.raises(InputError, match="--config.paper=cands: expected one of benchmark, cans, thesis"):
        published_numbers("cands")
