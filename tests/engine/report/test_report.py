"""The report is one well-formed page that opens without network, says what must be said and trusts no name."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from parsed_report import page
from report_pages import BARE, HOSTILE, ROWS, row, sweep

from ddad_jax.engine.figures import roc_curve
from ddad_jax.engine.report.run import Alarms, Report, found_warnings, write_report
from ddad_jax.errors import InputError
from ddad_jax.protocol_check import ProtocolCheck

pytestmark = pytest.mark.drawn


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


def test_times_of_a_busy_machine_are_warned_of() -> None:
    said = found_warnings(replace(BARE, rows=[{**row, "unet_calls": 4} for row in sweep()]))
    assert sum("python -m experiments.benchmark" in text for text in said) == 1
    # Of a method that it does not time it is not spoken of.
    (busy,) = (text for text in found_warnings(replace(BARE, rows=sweep())) if "ms/image" in text)
    assert "experiments.benchmark" not in busy
