"""The report is one well-formed page that opens without network, says what must be said and trusts no name."""

import base64
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_pages import BARE, HOSTILE, TIMES, browser, seen, sweep

from ddad_jax.engine.figures import roc_curve
from ddad_jax.engine.report.browser import Browser, pictures_data
from ddad_jax.engine.report.page import embedded
from ddad_jax.engine.report.points import points_data
from ddad_jax.engine.report.run import Alarms, Report, found_warnings, write_report
from ddad_jax.engine.report.table import best_by_label, points_table
from ddad_jax.errors import InputError
from ddad_jax.protocol_check import ProtocolCheck

pytestmark = pytest.mark.drawn

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Collects tags, texts and attributes, and insists on balanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.data: dict[str, Any] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)
        elif self.tags[-1][1].get("type") == "application/json":
            self.data[self.tags[-1][1]["id"] or ""] = json.loads(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def row(w: float, auroc: float | None, *, selected: bool = False, **more: Any) -> dict:
    return {"w": w, "eta": 1.0, "layers": ["layer2"], "image_auroc": auroc, "aupro_30": math.nan} | {
        "selected": selected,
        **more,
    }


ROWS = [row(0, 0.9), row(3, 0.95, selected=True), row(11, 0.97), row(20, math.nan), row(30, None)]


def page(report: Report, folder: Path) -> Page:
    write_report(folder / "report.html", report)
    text = (folder / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|//\w+\.\w|@import|url\(", text)
    found = Page(text)
    assert not found.all("link") and not found.all("iframe")
    kinds = [script.get("type") for script in found.all("script")]
    assert all("src" not in script for script in found.all("script")) and kinds.count(None) == 1
    assert set(kinds) <= {None, "application/json"} and len(found.data) == len(kinds) - 1
    for image in found.all("img"):
        assert (image["src"] or "").startswith("data:image/png;base64,") and image["alt"]
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in found.all("a")} <= {f"#{i}" for i in ids}
    return found


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = roc_curve([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1], tmp_path / "roc.png")
    assert path is not None
    return path


def full(png: Path) -> Report:
    return replace(
        BARE,
        rows=ROWS,
        notes=["DDAD-S."],
        intervals={"image_auroc": (0.91, 0.99)},
        alarms=Alarms(0.5, 100, 2, "99th percentile of held-out normal scores", "at most 3 %"),
        protocol=ProtocolCheck(0.97, 0.94, 0.99, 0.8, 0.7, 0.5, 200, 60, 120),
        examples=png,
        scores=png,
        roc=png,
        curves={"image_auroc": png, "pixel_auroc": None},
        training=png,
        adaptation=png,
        config={"data": {"root": Path("x"), "sizes": (1, 2)}, "nan": math.nan},
        environment={"device": "cpu", "versions": {"jax": "0.10.2"}},
        command="python -m experiments.sweep --config=a.py",
    )


def test_a_bare_report_leaves_out_what_it_lacks(tmp_path: Path) -> None:
    found = page(BARE, tmp_path)
    assert not found.all("section") and not found.all("img") and not found.all("table")
    for said in ("200 pictures of good parts (cans)", "30 more", "60 good and 120 defective", "64 × 64"):
        assert said in found.text


def test_a_full_report_has_every_section(tmp_path: Path, png: Path) -> None:
    found = page(full(png), tmp_path)
    ids = [section["id"] for section in found.all("section")]
    assert ids == [
        "warnings",
        "result",
        "protocol",
        "examples",
        "scores",
        "settings",
        "points",
        "training",
        "reproduce",
    ]
    assert len(found.all("img")) == 6
    assert all(int(image["width"] or 0) > 100 and int(image["height"] or 0) > 100 for image in found.all("img"))
    for said in (
        "0.950",  # the selected point's, not the best one's
        "0.910 to 0.990",
        "100 of 120",
        "2 of 60 good pictures raised a false alarm: 3.3 % (95 % interval of Clopper and Pearson 0.4 to 11.5 %); "
        "promised: at most 3 %.",
        "cannot tell detectors apart",
        "0.970 (0.940 to 0.990)",
        "80 % of 60",
        "not above that interval",
        "python -m experiments.sweep --config=a.py",
        "versions.jax",
        '"nan": null',
    ):
        assert said in found.text
    assert (tmp_path / "report.html").stat().st_size < 400_000
    points = found.data["data-points"]
    by = {column["key"]: column for column in points["columns"]}
    assert points["count"] == 5 and points["selected"] == [1] and points["byLabel"] == [2]
    assert by["w"]["values"] == [0, 3, 11, 20, 30] and by["image_auroc"]["values"] == [0.9, 0.95, 0.97, None, None]
    assert points["same"] == "η = 1.0, layers = layer2" or "layers = layer2" in points["same"]


def test_reconstructions_stand_with_the_frontier_and_not_without_it(tmp_path: Path, png: Path) -> None:
    drawn = replace(BARE, side_by_side=png, frontier_rows=[{"way": "ddim", "unet_calls": 3}])
    assert not page(drawn, tmp_path).all("img")
    found = page(replace(drawn, frontier=png), tmp_path)
    assert [section["id"] for section in found.all("section")] == ["frontier"]
    assert len(found.all("img")) == 2 and len(found.all("table")) == 1


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    hostile = replace(
        BARE,
        title=HOSTILE,
        subject=HOSTILE,
        rows=[{**row(0, 0.9, selected=True), HOSTILE: HOSTILE}, {**row(1, 0.9), HOSTILE: "b"}],
        notes=[HOSTILE],
        warnings=[HOSTILE],
        alarms=Alarms(0.5, 1, 1, HOSTILE),
        config={HOSTILE: HOSTILE},
        environment={HOSTILE: {HOSTILE: [HOSTILE]}},
        command=HOSTILE,
    )
    found = page(hostile, tmp_path)
    assert not found.all("img")
    assert not [a for _, attributes in found.tags for a in attributes if a.startswith("on")]
    raw = (tmp_path / "report.html").read_text("utf-8")
    assert "<script>alert" not in raw and "\x00" not in raw and "\x1b" not in raw
    assert found.text.count("<script>alert(1)</script>") >= 10


def test_a_name_that_is_no_utf8_does_not_stop_the_report(tmp_path: Path) -> None:
    page(replace(BARE, title="a\udcffb"), tmp_path)


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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_held_out": 3, "rows": ROWS}, "Only 3 held-out normal pictures give the threshold"),
        ({"n_defective": 4, "rows": ROWS}, "The test set is small (60 good, 4 defective)"),
        ({"rows": ROWS[:1]}, "No row is marked as selected"),
        ({"rows": ROWS}, "Undefined on this test set: AUPRO@0.3."),
        ({"warnings": ["said before", "said before"]}, "said before"),
    ],
)
def test_warnings(changes: dict, said: str) -> None:
    found = found_warnings(replace(BARE, **changes))
    assert sum(said in text for text in found) == 1


def test_nothing_to_warn_of() -> None:
    rows = [{"w": 3, "image_auroc": 0.9, "selected": True}]
    assert found_warnings(replace(BARE, rows=rows)) == []


def test_a_missing_figure_is_left_out(tmp_path: Path) -> None:
    assert not page(replace(BARE, examples=tmp_path / "gone.png"), tmp_path).all("section")


def test_an_unwritable_place_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", BARE)


def judged(name: str, outcome: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "defect": "dent", "outcome": outcome, "score": 0.4, "margin": -0.1, "regions": 2} | more


RULES: list[dict[str, Any]] = [
    {"rule": "max", "used": True, "used_for_pixels": False, "uses_test_labels": False, "threshold": 0.5, "n": 30,
     "missed": 20, "false_alarms": 1, "recall": 0.8, "iou": 0.4, "pixel_threshold": 0.5, "guarantee": "at most 3 %",
     "warning": ""},
    {"rule": "quantile", "used": False, "used_for_pixels": True, "uses_test_labels": False, "threshold": 0.4, "n": 30,
     "missed": 9, "false_alarms": 3, "recall": 0.9, "iou": 0.5, "pixel_threshold": 0.3, "guarantee": "at most 7 %",
     "warning": "too few pictures"},
    {"rule": "best F1", "used": False, "uses_test_labels": True, "threshold": 0.3, "missed": 2, "false_alarms": 2},
]  # fmt: skip


def test_what_got_through_comes_first(tmp_path: Path, png: Path) -> None:
    verdicts = [judged(f"miss-{i}", "missed") for i in range(210)] + [judged("alarm", "false alarm")]
    report = replace(BARE, n_defective=300, verdicts=verdicts, missed=png, false_alarms=png, rows=ROWS)
    found = page(report, tmp_path)
    ids = [section["id"] for section in found.all("section")]
    assert ids[:3] == ["warnings", "result", "errors"]
    texts = ("210 of 300 defective pictures got through", "miss-0", "1 of 60 good pictures were stopped", "alarm")
    places = [found.text.index(text) for text in texts]
    assert places == sorted(places)
    assert "miss-199" in found.text and "miss-200" not in found.text and "200 of 210 are listed" in found.text
    assert len(found.all("img")) == 2


def test_no_miss_is_said_too_and_no_verdict_is_no_section(tmp_path: Path) -> None:
    found = page(replace(BARE, verdicts=[judged("a", "found"), judged("b", "passed")]), tmp_path)
    assert "None of 120 defective pictures got through" in found.text
    assert "None of 60 good pictures were stopped" in found.text and not found.all("table")
    nothing_to_test = replace(BARE, n_defective=0, verdicts=[judged("b", "passed")])
    assert "defective pictures got through" not in page(nothing_to_test, tmp_path).text


def test_thresholds_that_saw_labels_stand_apart(tmp_path: Path, png: Path) -> None:
    found = page(replace(BARE, rules=RULES, precision_recall=png, iou=png), tmp_path)
    assert [section["id"] for section in found.all("section")] == ["thresholds"]
    free, peeked = found.text.split("Chosen by test labels: must not be used.")
    assert "max" in free and "quantile" in free and "best F1" not in free and "best F1" in peeked
    assert "quantile : at most 7 %; too few pictures." in free
    assert "Pixels count as defective above 0.3, by the rule quantile." in free
    assert [r.get("class") for r in found.all("tr")] == [None, "selected", None, None, None]
    assert len(found.all("table")) == len(found.all("img")) == 2


def test_each_kind_of_defect_has_its_row(tmp_path: Path) -> None:
    rows = [
        {"defect": HOSTILE, "images": 3, "missed": 1, "iou": math.nan},
        {"defect": "dent", "images": 2, "missed": 0},
    ]
    found = page(replace(BARE, defects=rows), tmp_path)
    assert [section["id"] for section in found.all("section")] == ["defects"]
    assert len(found.all("tr")) == 3 and "dent" in found.text and not found.all("img")
    assert "nan" not in found.text.lower().replace("</script", "")


# --- What the scripts of the page find in it --------------------------------------------------------------------


def test_embedded_data_end_no_script_and_come_back_as_they_were() -> None:
    value = {HOSTILE: [HOSTILE, "\u2029", "a\udcffb", "<!--", 0.1, None, True]}
    text = embedded(value)
    assert not set("<>&\u2028\u2029\x00") & set(text)
    assert json.loads(text) == value
    assert json.loads(embedded({"nan": math.nan})) == {"nan": None}


def test_hostile_names_of_pictures_stay_text(tmp_path: Path) -> None:
    pictures = Browser([seen(1, name=HOSTILE)._replace(kind=HOSTILE)], 1, 0.5, 0.45)
    found = page(replace(BARE, browser=pictures, rows=sweep(3)), tmp_path)
    (one,) = found.data["data-pictures"]["pictures"]
    assert one["name"] == one["kind"] == HOSTILE and len(found.all("script")) == 3 and not found.all("img")


def decoded(uri: str) -> np.ndarray:
    head, content = uri.split(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def test_pictures_come_back_to_the_last_bit_with_their_times_maps_and_outlines() -> None:
    told = pictures_data(browser())
    assert [one["name"] for one in told["pictures"]] == [f"test/{i}" for i in range(6)]
    one, own = told["pictures"][5], seen(5)
    np.testing.assert_array_equal(decoded(one["image"]), own.image)
    np.testing.assert_array_equal(decoded(one["redrawn"]), own.redrawn)
    assert [step["t"] for step in one["steps"]] == list(TIMES)
    for step, (_, x0_hat) in zip(one["steps"], own.steps, strict=True):
        np.testing.assert_array_equal(decoded(step["image"]), x0_hat)
    levels, (low, high) = decoded(one["map"])[..., 0], told["scales"]["map"]
    np.testing.assert_allclose(low + levels / 255 * (high - low), np.minimum(own.map, high), atol=(high - low) / 400)
    # Pixels 5 to 8 across and 4 to 7 down: the outline runs around their middles, and of the mask half-way out.
    numbers = np.array(re.findall(r"[-0-9.]+", one["truth"]), float).reshape(-1, 2)
    assert numbers.min(0).tolist() == [5, 4] and numbers.max(0).tolist() == [9, 8]
    assert one["found"].startswith("M") and told["pictures"][0]["found"] == ""
    assert told["told"].startswith("6 of 10 test pictures.") and "--config.output.browser" in told["told"]


def test_a_map_that_is_silent_or_wholly_above_the_threshold_has_an_outline_of_its_own() -> None:
    silent = seen(3)._replace(map=np.full((16, 16), -np.inf, np.float32))
    above = seen(3)._replace(map=np.ones((16, 16), np.float32))
    both = pictures_data(Browser([silent, above, seen(0, mask=False, steps=False)], 3, 0.5, 0.45))["pictures"]
    assert both[0]["found"] == "" and decoded(both[0]["map"]).max() == 0
    assert both[1]["found"].count("M") == 1 and both[2]["mask"] is None and both[2]["truth"] == ""
    assert both[2]["steps"] == []


def test_a_page_stays_as_small_as_it_must() -> None:
    """Camera noise does not compress: first reconstructions lose a little, then the surest verdicts are left out."""
    rng = np.random.default_rng(0)

    def noisy(i: int) -> Any:
        x0_hat = rng.integers(0, 256, (64, 64, 3), np.uint8)
        return seen(i, size=64)._replace(redrawn=x0_hat, steps=[(t, x0_hat) for t in TIMES])

    pictures = Browser([noisy(i) for i in range(6)], 6, 0.5, 0.45)
    whole, lossy, few = (pictures_data(pictures, most_bytes=most) for most in (10**6, 300_000, 60_000))
    assert [len(told["pictures"]) for told in (whole, lossy)] == [6, 6] and 1 <= len(few["pictures"]) < 6
    assert "small loss" in lossy["told"] and "small loss" not in whole["told"] and "of 6" not in whole["told"]
    assert f"{len(few['pictures'])} of 6 test pictures." in few["told"] and "output.browser" not in few["told"]
    assert len(json.dumps(lossy)) < 1.4 * 300_000 and len(json.dumps(few)) < 1.4 * 60_000 + 20_000
    np.testing.assert_array_equal(decoded(lossy["pictures"][1]["image"]), pictures.pictures[1].image)


def test_ten_thousand_rows_are_all_in_the_page(tmp_path: Path) -> None:
    found = page(replace(BARE, rows=sweep(10_000)), tmp_path)
    assert found.data["data-points"]["count"] == 10_000 and "300 of 10000 points are shown" in found.text
    assert len(found.all("tr")) == 301


def test_the_first_plots_show_accuracy_over_cost_and_over_a_setting() -> None:
    assert points_data(sweep(), None)["plots"] == [
        {"x": "ms_per_image", "y": "image_auroc", "colour": "w"},
        {"x": "w", "y": "pixel_auroc", "colour": "steps"},
    ]
    assert points_data(sweep(1), None)["plots"] == []
    alike = [{"w": 1.0, "image_auroc": 0.5, "selected": i == 0} for i in range(3)]
    assert points_data(alike, None)["plots"] == []


def test_times_of_a_busy_machine_are_warned_of() -> None:
    said = found_warnings(replace(BARE, rows=[{**row, "unet_calls": 4} for row in sweep()]))
    assert sum("python -m experiments.benchmark" in text for text in said) == 1
    # Of a method that it does not time it is not spoken of.
    (busy,) = (text for text in found_warnings(replace(BARE, rows=sweep())) if "ms/image" in text)
    assert "experiments.benchmark" not in busy
