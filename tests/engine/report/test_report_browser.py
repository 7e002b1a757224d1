"""The report in a real browser: what can be clicked can be reached by keys, and nothing is loaded or complained of."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import chromium
import pytest
from chromium import Tab
from PIL import Image
from report_pages import BARE, HOSTILE, TIMES, browser, full, seen, sweep

from ddad_jax.engine.report.browser import Browser
from ddad_jax.engine.report.content import Report
from ddad_jax.engine.report.run import write_report

pytestmark = pytest.mark.drawn

ROWS = "[...document.querySelectorAll('#points tbody tr')]"
DRAWN = (
    "[...document.querySelectorAll('img')].every(i => i.complete)"
    " && [...document.querySelectorAll('canvas')].every(c => c.dataset.uri && c.width !== 300)"
)
"""Pictures are decoded and maps painted: an untouched canvas is 300 wide."""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    found = chromium.found()
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(chromium.BROWSERS)} is on the PATH")
    with chromium.tab(found, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def opened(tab: Tab, folder: Path, report: Report, **how: Any) -> Tab:
    write_report(folder / "report.html", report)
    tab.open(folder / "report.html", **how)
    return tab


@pytest.fixture
def page(tab: Tab, tmp_path: Path) -> Tab:
    return opened(tab, tmp_path, full())


def column(tab: Tab, heading: str) -> list[str]:
    """The cells of the table that is shown, under a heading."""
    heads = "[...document.querySelectorAll('#points thead th')]"
    at = tab.js(f"{heads}.findIndex(h => h.textContent === {heading!r})")
    return tab.js(f"{ROWS}.map(r => r.cells[{at}].textContent)")


def kept(asked: str) -> str:
    """The rows that a filter leaves, as an expression of the page."""
    return f"[...Array(points.count).keys()].filter(filterOf({asked!r}))"


def focus(tab: Tab, selector: str) -> None:
    tab.js(f"document.querySelector({selector!r}).focus()")


@pytest.mark.parametrize(
    "how", [{"width": 400}, {"width": 400, "script": False}, {"width": 1300, "dark": True}], ids=str
)
def test_it_opens_from_a_file_alone_without_a_complaint_and_fits(tab: Tab, tmp_path: Path, how: dict[str, Any]) -> None:
    pictures = Browser([seen(1, name=HOSTILE * 4), seen(2, steps=False), seen(3, mask=False)], 3, 0.5, 0.45)
    hostile = full(title=HOSTILE * 3, notes=[HOSTILE], config={HOSTILE: HOSTILE})
    opened(tab, tmp_path, replace(hostile, browser=pictures), **how)
    tab.until(DRAWN)
    assert tab.console == []
    assert [url for url in tab.asked if not url.startswith(("file:///", "data:image/webp;", "data:image/png;"))] == []
    assert sum(url.startswith("file:") for url in tab.asked) == 1
    assert tab.js("document.documentElement.scrollWidth") <= how["width"]
    for selector in ("#points table", "h1", *(["#pictures .panels", ".plot svg"] if how.get("script", True) else [])):
        assert tab.js(f"document.querySelector({selector!r}).getClientRects().length"), selector
    if not how.get("script", True):
        assert tab.js("document.querySelector('#pictures').getClientRects().length") == 0
        assert len(column(tab, "w")) == 120


def test_the_table_sorts_by_click_and_key_and_goes_on_page_by_page(page: Tab) -> None:
    metric = "#points th button[title=image_auroc]"
    assert column(page, "w")[0] == "3", "the selected row first"
    page.js(f"document.querySelector('{metric}').click()")
    falling = [float(cell) for cell in column(page, "image AUROC")]
    assert len(falling) == 50 and falling == sorted(falling, reverse=True) and falling[0] == 0.8933
    focus(page, metric)
    page.key("Enter")
    rising = [float(cell) for cell in column(page, "image AUROC")]
    assert rising == sorted(rising) and rising[0] == 0.5
    assert page.js("[...document.querySelectorAll('[aria-sort]')].map(h => h.getAttribute('aria-sort'))") == [
        "ascending"
    ]
    page.js("[...document.querySelectorAll('#points .bar button')].at(-1).click()")
    page.js("[...document.querySelectorAll('#points .bar button')].at(-1).click()")
    assert len(column(page, "w")) == 20 and column(page, "image AUROC")[-1] == "–", "what is undefined is last"
    assert "101 to 120 of 120" in page.js("document.querySelector('#points-count').textContent")


def test_the_filter_holds_all_its_terms_and_says_what_it_does_not_know(page: Tab) -> None:
    focus(page, "#points-filter")
    page.write("w>=3 solver=ddim")
    page.until("document.querySelector('#points-count').textContent.includes('of 20')")
    assert set(column(page, "w")) == {"4"} and set(column(page, "solver")) == {"ddim"}
    assert page.js("document.querySelectorAll('.plot')[0].querySelectorAll('.faint').length") >= 99
    page.js("document.querySelector('#points-filter').value = ''")
    page.write("nothing>1")
    page.until("document.querySelector('#points-count').textContent === 'No column is called nothing.'")
    assert page.js("document.querySelector('#points-filter').matches(':invalid')")
    page.js("document.querySelector('#points-filter').value = ''")
    page.write("eta=1")
    page.until("document.querySelector('#points-count').textContent === 'eta is 1 in every row.'")


@pytest.mark.parametrize("asked", ["", "w>=", "solver=", "w!=", "w>=3 steps<"])
def test_a_term_that_is_still_being_written_asks_for_nothing(page: Tab, asked: str) -> None:
    finished = " ".join(term for term in asked.split() if term[-1] not in "<>=")
    assert page.js(kept(asked)) == page.js(kept(finished)) and page.js(kept(asked))


@pytest.mark.parametrize(("sign", "found"), [("=", True), ("<=", True), (">=", True), ("!=", False), ("<", False)])
def test_a_number_that_can_be_seen_is_found(page: Tab, sign: str, found: bool) -> None:
    """0.5 + 0.4 * 7 / 120 is shown as 0.5233."""
    assert "0.5233" in page.js("points.columns.filter(c => c.key === 'image_auroc').map(c => textOf(c, 7))")
    assert (7 in page.js(kept(f"image_auroc{sign}0.5233"))) is found
    assert page.js(kept("image_auroc=0.523333")) == [7], "and by the digits that the files have"
    assert page.js(kept("w=3.4")) == [], "but not by what a cell would be rounded to"


def test_what_is_no_finite_number_is_told_as_text(tab: Tab, tmp_path: Path) -> None:
    pictures = Browser([seen(0), seen(1)._replace(score=math.inf), seen(2)._replace(score=math.nan)], 3, 0.5, 0.45)
    opened(tab, tmp_path, replace(BARE, rows=sweep(4), browser=pictures))
    titles = tab.js("[...document.querySelectorAll('.strip button')].map(b => b.title)")
    assert any("score inf" in title for title in titles) and any("score –" in title for title in titles)
    tab.js("[...document.querySelectorAll('.strip button')].find(b => b.title.includes('inf')).click()")
    said = tab.js("document.querySelector('#picture-verdict').parentElement.textContent")
    assert "score inf is above the threshold 0.5, so it is called anomalous" in said
    assert tab.js("['inf', '-inf', NaN, Infinity].map(short)") == ["inf", "-inf", "nan", "inf"]
    assert tab.console == []


def test_a_point_of_a_plot_and_a_row_of_the_table_select_each_other(page: Tab) -> None:
    page.js(f"{ROWS}[7].click()")
    number = page.js(f"{ROWS}[7].dataset.row")
    rings = "[...document.querySelectorAll('.plot .ring')].map(r => r.style.display)"
    assert page.js(rings) == ["", ""]
    assert f"Selected point {int(number) + 1}" in page.js("document.querySelector('.said-point').textContent")
    focus(page, ".plot svg")
    page.key("ArrowRight")
    page.key("ArrowRight")
    assert page.js("document.querySelector('.plot .tip').hidden") is False
    page.key("Enter")
    pressed = page.js("document.querySelector('#points tbody [aria-pressed=true]').closest('tr').dataset.row")
    assert pressed != number
    # A click where a point is drawn, by its own place on the screen.
    page.js("document.querySelector('.plot').scrollIntoView()")
    spot = page.js("(({x, y}) => [x, y])(document.querySelector('.plot .spot').getBoundingClientRect())")
    page.click(spot[0] + 4, spot[1] + 4)
    assert page.js("document.querySelector('#points tbody [aria-pressed=true]').closest('tr').dataset.row") != pressed
    # And over the rows by keys: one of them is a tab stop.
    assert page.js("[...document.querySelectorAll('#points tbody button')].filter(b => b.tabIndex === 0).length") == 1
    focus(page, "#points tbody button")
    page.key("ArrowDown")
    page.key("Enter")
    assert page.js(f"document.activeElement === {ROWS}[1].querySelector('button')")
    assert page.js(f"{ROWS}[1].querySelector('button').getAttribute('aria-pressed')") == "true"


def test_axes_and_colours_are_chosen(page: Tab) -> None:
    for which, value in enumerate(("solver", "pixel_auroc", "")):
        page.js(
            f"(() => {{ const s = document.querySelectorAll('.plot')[1].querySelectorAll('select')[{which}];"
            f" s.value = {value!r}; s.dispatchEvent(new Event('change')) }})()"
        )
    said = page.js("document.querySelectorAll('.plot svg')[1].getAttribute('aria-label')")
    assert said.startswith("pixel AUROC over solver, 120 points.")
    texts = page.js("[...document.querySelectorAll('.plot svg')[1].querySelectorAll('text')].map(t => t.textContent)")
    assert {"ddim", "dpm2m"} <= set(texts)


def test_pictures_and_times_are_walked_by_arrow_keys(page: Tab) -> None:
    name, when = (
        "document.querySelector('#picture-name').textContent",
        "document.querySelector('#picture-when').textContent",
    )
    redrawn = "document.querySelector('[alt^=reconstruction]').src"
    assert page.js(name) == "test/4", "wrong by most"
    assert "▲ false alarm. Its score 0.8 is above the threshold 0.5 (by 0.3), so it is called anomalous; in truth" in (
        page.js("document.querySelector('#picture-verdict').textContent")
    )
    focus(page, ".strip button[tabindex='0']")
    page.key("ArrowRight")
    second = page.js(name)
    assert second != "test/4" and page.js("document.activeElement.getAttribute('aria-selected')") == "true"
    assert "the end" in page.js(when)
    last = page.js(redrawn)
    said = []
    for _ in TIMES:
        page.key("ArrowUp")
        said.append(page.js(when))
    assert said == [f"predicted at t = {t}, step {i} of 3" for i, t in reversed(list(enumerate(TIMES, start=1)))]
    assert page.js(redrawn) != last
    # The time stays where it is from picture to picture, and the slider itself is a slider.
    page.key("ArrowLeft")
    assert page.js(name) == "test/4" and f"t = {TIMES[0]}" in page.js(when)
    focus(page, "#picture-time")
    page.key("ArrowRight")
    assert f"t = {TIMES[1]}" in page.js(when) and page.js(name) == "test/4"
    page.js("(() => { const s = document.querySelector('#pictures select'); s.value = 'good';"
            " s.dispatchEvent(new Event('change')) })()")  # fmt: skip
    assert page.js("document.querySelectorAll('.strip button').length") == 3
    assert page.js("[...document.querySelectorAll('.strip button')].every(b => /passed|alarm/.test(b.title))")
    assert page.console == []


def test_maps_are_painted_outlined_and_zoomed(page: Tab) -> None:
    page.js("(() => { const s = document.querySelectorAll('#pictures select')[2]; s.value = 'low';"
            " s.dispatchEvent(new Event('change')) })()")  # fmt: skip
    focus(page, ".strip button[tabindex='0']")
    page.key("End")
    assert page.js("document.querySelector('#picture-name').textContent") == "test/5"
    canvas = "document.querySelectorAll('.panels canvas')[3]"
    pixel = f"[...{canvas}.getContext('2d').getImageData(X, 0 + Y, 1, 1).data]"
    page.until(f"{canvas}.width === 16")
    bright, dark = (page.js(pixel.replace("X", str(x)).replace("Y", str(y))) for x, y in ((6, 5), (0, 0)))
    assert bright == [252, 255, 164, 255] and dark == [0, 0, 4, 255], "the ends of the map of colours"
    found, truth = page.js("[...document.querySelectorAll('.contour')].map(c => c.getAttribute('d'))")
    assert found.count("M") == truth.count("M") == 1 and found.endswith("Z")
    page.js("(() => { const z = document.querySelector('#picture-zoom'); z.value = 4;"
            " z.dispatchEvent(new Event('input')) })()")  # fmt: skip
    width = "document.querySelector('.layers img').getBoundingClientRect().width"
    page.until(f"{width} > 3.9 * document.querySelector('.layers').clientWidth")
    assert page.js("getComputedStyle(document.querySelector('.layers img')).imageRendering") == "pixelated"
    focus(page, ".viewer")
    page.key("ArrowRight", shift=True)
    assert page.js("document.querySelector('.panels').style.getPropertyValue('--x')") == "53%"


def test_the_tab_key_goes_through_the_whole_page_and_shows_where_it_is(page: Tab) -> None:
    seen_, n = [], page.js("document.querySelectorAll('a, button, input, select, summary, [tabindex]').length")
    where = (
        "(() => { const e = document.activeElement; e.n ??= window.n = (window.n ?? 0) + 1;"
        " return [e.n, e.tagName, e.matches('body') || parseFloat(getComputedStyle(e).outlineWidth) > 0] })()"
    )
    for _ in range(n + 2):
        page.key("Tab")
        number, tag, outlined = page.js(where)
        if tag == "BODY" or number in seen_:
            break
        assert outlined, f"{tag} has no visible focus"
        seen_.append(number)
    assert len(seen_) > 20 and (tag == "BODY" or number == seen_[0]), "it went round, and stuck nowhere"


def test_the_table_can_be_scrolled_by_keys(page: Tab) -> None:
    assert page.js("document.querySelector('#points .scroll').tabIndex") == 0
    focus(page, "#points .scroll")
    assert page.js("document.activeElement.matches('#points .scroll[role=region][aria-label]')")


def test_ten_thousand_rows_stay_quick(tab: Tab, tmp_path: Path) -> None:
    opened(tab, tmp_path, replace(BARE, rows=sweep(10_000)))
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    assert len(column(tab, "w")) == 50 and tab.js("document.querySelectorAll('*').length") < 25_000
    took = tab.js(
        "(() => { const t = performance.now();"
        " document.querySelector('#points th button[title=image_auroc]').click(); return performance.now() - t })()"
    )
    assert took < 4000, "a generous bound for a busy machine: about 0.3 s on a quiet one"
    assert column(tab, "image AUROC")[0] == "0.8999" and tab.console == []


def test_static_tables_sort_beside_tables_that_do_not(tab: Tab, tmp_path: Path) -> None:
    """A table without buttons comes first in the page: nothing may stop at it."""
    ways = [{"way": "b", "unet_calls": 3}, {"way": "a", "unet_calls": 12}, {"way": "c", "unet_calls": None}]
    changes: dict[str, Any] = {"frontier": _picture(tmp_path), "frontier_rows": ways, "browser": browser(1)}
    changes["defects"] = [{"defect": "dent", "images": 3}]
    opened(tab, tmp_path, replace(BARE, **changes))
    at = "document.querySelector('#frontier th button[title=way]').closest('th').cellIndex"
    cells = f"[...document.querySelectorAll('#frontier tbody tr')].map(r => r.cells[{at}].textContent)"
    tab.js("document.querySelector('#frontier th button[title=unet_calls]').click()")
    assert tab.js(cells) == ["a", "b", "c"] and tab.console == []
    tab.js("document.querySelector('#frontier th button[title=unet_calls]').click()")
    assert tab.js(cells) == ["b", "a", "c"]


def _picture(folder: Path) -> Path:
    Image.new("RGB", (200, 100)).save(folder / "picture.png")
    return folder / "picture.png"
