"""The report's table of points: the rows that are marked, what is undefined, and how many rows it shows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from parsed_report import Page, page
from report_pages import BARE, ROWS, row, sweep

from ddad_jax.engine.report.table import best_by_label, points_table


def test_the_selected_row_and_the_peeked_row_are_marked(tmp_path: Path) -> None:
    found = page(replace(BARE, rows=ROWS), tmp_path)
    classes = [r.get("class") for r in found.all("tr")]
    assert classes == [None, "selected", "by-label", None, None, None]
    assert "The row marked ◆ (image AUROC 0.9700) was chosen by looking at test labels: do not report it." in (
        found.text
    )
    assert found.text.count("◆ best by label") == 2  # legend and row


def test_no_peeked_row_where_the_selected_one_is_best(tmp_path: Path) -> None:
    rows = [row(0, 0.97), row(3, 0.97, selected=True), row(11, 0.9)]
    assert best_by_label(rows) is rows[1]
    found = page(replace(BARE, rows=rows), tmp_path)
    assert "◆" not in found.text and [r.get("class") for r in found.all("tr")].count("selected") == 1


def test_undefined_values_are_dashes_that_sort_last() -> None:
    found = Page(points_table(ROWS, None))
    cells = [a for a in found.all("td") if a.get("class") == "num"]
    assert "nan" not in found.text.lower() and "None" not in found.text
    assert [a["data-v"] for a in cells].count("") == 2 + 5  # two image AUROCs and every AUPRO
    assert "η = 1" in found.text and "layers = layer2" in found.text


def test_the_table_is_accessible() -> None:
    found = Page(points_table(ROWS, ROWS[2]))
    assert all(a.get("scope") in ("row", "col") for a in found.all("th"))
    assert len(found.all("button")) == len([a for a in found.all("th") if a["scope"] == "col"])
    assert found.all("div")[0]["tabindex"] == "0" and found.all("div")[0]["aria-label"]


def test_a_huge_sweep_stays_small_and_keeps_the_marked_rows() -> None:
    rng = np.random.default_rng(0)
    rows = [row(w, float(rng.random()) * 0.9) for w in range(20_000)]
    rows[-1]["selected"], rows[-2]["image_auroc"] = True, 0.99
    text = points_table(rows, rows[-2], max_rows=500)
    assert len(text) < 500_000 and text.count("<tr") == 501
    assert "500 of 20000 points are shown" in text
    assert 'class="selected"' in text and 'class="by-label"' in text


def test_seeds_of_the_selected_point_are_averaged(tmp_path: Path) -> None:
    rows = [row(3, auroc, selected=True, seed=seed) for seed, auroc in enumerate((0.9, 0.96))]
    found = page(replace(BARE, rows=rows), tmp_path)
    assert "0.930" in found.text and "Mean of 2 seeds, 0.900 to 0.960" in found.text


def test_ten_thousand_rows_are_all_in_the_page(tmp_path: Path) -> None:
    found = page(replace(BARE, rows=sweep(10_000)), tmp_path)
    assert found.data["data-points"]["count"] == 10_000 and "300 of 10000 points are shown" in found.text
    assert len(found.all("tr")) == 301
