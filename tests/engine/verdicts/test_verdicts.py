"""Verdicts of test pictures: what got through comes first, drawn on the pictures as they were taken."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from PIL import Image
from trees import pixels, save

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.verdicts import verdicts
from ddad_jax.engine.verdicts.overlay import FOUND, TRUTH
from ddad_jax.engine.verdicts.thresholds import Normal, Thresholds, thresholds_of
from ddad_jax.engine.verdicts.verdicts import JudgedPictures
from ddad_jax.errors import InputError
from ddad_jax.metrics.at_threshold import OUTCOMES
from ddad_jax.metrics.intervals import share_interval
from ddad_jax.metrics.thresholds import Threshold

pytestmark = pytest.mark.drawn


@pytest.fixture
def c(root: Path) -> DDADSettings:
    return tiny_runs.config(root)


@pytest.fixture
def judged(c: DDADSettings, data: Data) -> JudgedPictures:
    """bent, bent, good, good, rust: the first bent and the rust get through, the second good one is stopped."""
    maps = np.full((5, 32, 32), 0.1, np.float32)
    for i, peak in enumerate((0.5, 3.0, 0.2, 2.0, 0.4)):
        maps[i, 10:14, 8:16] = peak
    files = verdicts.files_of(c.data, c.view, data.test.names)
    return JudgedPictures(data.test, maps.max((1, 2)), maps, data.test.masks, files)


@pytest.fixture
def thresholds(c: DDADSettings) -> Thresholds:
    maps = np.random.default_rng(0).random((40, 32, 32)).astype(np.float32)
    maps[0, 0, 0] = 1.25
    return thresholds_of(c.threshold, Normal(maps.max((1, 2)), maps, 40))


def test_rows_say_what_became_of_each_picture(judged: JudgedPictures, thresholds: Thresholds) -> None:
    rows = verdicts.verdict_rows(judged, thresholds)
    assert [row["name"] for row in rows] == list(judged.test.names)
    assert [row["outcome"] for row in rows] == ["missed", "found", "passed", "false alarm", "missed"]
    assert all(row["threshold"] == 1.25 and row["margin"] == row["score"] - 1.25 for row in rows)
    assert [row["verdict"] for row in rows] == ["normal", "anomalous", "normal", "anomalous", "normal"]
    assert [row["regions"] for row in rows] == [0, 1, 0, 1, 0]
    # 4 x 8 of 32 x 32 pixels of a picture of 20 x 28.
    assert rows[1]["largest_region"] == pytest.approx(32 * (20 / 32) * (28 / 32)) and rows[0]["largest_region"] == 0


def test_the_worst_come_first(judged: JudgedPictures, thresholds: Thresholds) -> None:
    rows = verdicts.verdict_rows(judged, thresholds)
    assert verdicts.worst_first(rows) == [4, 0, 3, 1, 2]
    missed = verdicts.cards(judged, rows, "missed", thresholds.of_pixels.value, 12)
    assert [card.defect for card in missed] == ["rust", "bent"] and missed[0].score < missed[1].score
    assert len(verdicts.cards(judged, rows, "missed", thresholds.of_pixels.value, 1)) == 1


def test_contours_are_drawn_on_the_picture_as_it_was_taken(judged: JudgedPictures, tmp_path: Path) -> None:
    assert (verdicts.original(judged, 1) == pixels(201)).all()  # 20 x 28, as in the file
    verdicts.write_overlays(tmp_path, judged, 1.0)
    for name in judged.test.names:
        assert Image.open((tmp_path / name).with_suffix(".png")).size == (28, 20)
    drawn = verdicts.drawn(judged, 1, 1.0)
    for colour in (FOUND, TRUTH):
        assert (np.abs(drawn.astype(int) - colour) <= 40).all(-1).any()
    assert (verdicts.drawn(judged, 2, 1.0) == pixels(100)).all()  # good, and nothing found
    assert verdicts.drawn(judged, 1, 1.0, longest=14).shape == (10, 14, 3)


@pytest.mark.parametrize("write", ["maps", "overlays"])
def test_pictures_of_one_stem_have_files_of_their_own(judged: JudgedPictures, tmp_path: Path, write: str) -> None:
    bent = "bolt/test/bent/000"
    names = (f"{bent}.png", f"{bent}.bmp", f"{bent}.bmp.png", "bolt/test/good/000.png", "bolt/test/rust/000.png")
    alike, suffix = judged._replace(test=judged.test._replace(names=names)), {"maps": "tiff", "overlays": "png"}[write]

    def run(one: JudgedPictures) -> None:
        if write == "maps":
            verdicts.write_maps(tmp_path / "out", one)
        else:
            verdicts.write_overlays(tmp_path / "out", one, 1.0)

    run(alike._replace(files=None))  # each picture is as the network saw it
    made = sorted(str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.*"))
    kept = [f"bolt/test/{name}/000.{suffix}" for name in ("good", "rust")]
    assert made == sorted([f"{bent}.png.{suffix}", f"{bent}.bmp.{suffix}", f"{bent}.bmp.png.{suffix}", *kept])
    for outside in ("../escaped.png", "/tmp/escaped.png", "bolt/../../escaped.png"):
        with pytest.raises(InputError, match="leads out of"):
            run(judged._replace(test=judged.test._replace(names=(*names[:4], outside))))
    assert not list(tmp_path.glob("escaped*"))


def test_pictures_that_can_have_no_files_are_refused_before_anything_is_computed(root: Path, tmp_path: Path) -> None:
    from ddad_jax.engine.pipeline import run_all

    root = Path(shutil.copytree(root, tmp_path / "root"))
    save(pixels(0), root / "bolt/test/bent" / f"{'x' * 250}.png")
    for flag in ("maps", "overlays"):
        c = tiny_runs.config(root, **{f"output__{flag}": True})
        with (
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(InputError, match="picture 'bolt/test/bent/xxx.*shorter name"),
        ):
            patch.setattr("ddad_jax.engine.pipeline.load_backbone", lambda name, path: None)
            run_all(c, tmp_path / flag, sweep=False)
        assert not (tmp_path / flag / "train").exists()


def test_pictures_without_a_file_are_enlarged(c: DDADSettings, judged: JudgedPictures) -> None:
    for changes in ({"data.root": ""}, {"data.root": "elsewhere"}, {"view.register": "all"}):
        other = changed(c, changes)
        without = judged._replace(files=verdicts.files_of(other.data, other.view, judged.test.names))
        assert verdicts.original(without, 0).shape == (256, 256, 3)
        assert verdicts.drawn(without, 0, 1.0).shape == (256, 256, 3)


def test_cropped_maps_lie_in_the_middle(judged: JudgedPictures, thresholds: Thresholds) -> None:
    inner = judged._replace(maps=judged.maps[:, 8:24, 8:24], masks=judged.masks[:, 8:24, 8:24])
    assert np.isneginf(verdicts.uncropped_map(inner, inner.maps[1], -np.inf)).sum() == 32**2 - 16**2
    rows = [verdicts.verdict_rows(one, thresholds)[1] for one in (judged, inner)]
    assert rows[0] == rows[1]


def test_rules_come_with_what_they_would_do_and_peeked_ones_are_marked(
    judged: JudgedPictures, thresholds: Thresholds
) -> None:
    rows = verdicts.rule_rows(judged, thresholds)
    free = [row for row in rows if not row["uses_test_labels"]]
    assert [row["rule"] for row in free] == ["max", "quantile", "sigma", "conformal", "conformal_pac"]
    assert [row["rule"] for row in free if row["used"]] == ["max"]
    assert [row["rule"] for row in free if row["used_for_pixels"]] == ["max"]
    assert (free[0]["missed"], free[0]["false_alarms"], free[0]["accuracy"]) == (2, 1, 0.4)
    one_of_two = [free[0][f"false_alarm_rate{end}"] for end in ("", "_low", "_high")]
    assert one_of_two == [0.5, *share_interval(1, 2)]
    assert free[3]["iou"] is None and 0 <= free[0]["iou"] <= 1
    peeked = rows[len(free) :]
    assert len(peeked) == 3
    assert all(row["uses_test_labels"] and "must not be used" in row["warning"] and not row["used"] for row in peeked)


def test_more_false_alarms_than_were_asked_for_are_told_where_they_are_no_chance(judged: JudgedPictures) -> None:
    def told(above: int, level: float | None) -> list[str]:
        scores = np.r_[np.ones(above), np.zeros(60 - above)]
        many = judged._replace(test=judged.test._replace(labels=np.zeros(60, int)), scores=scores)
        return verdicts.more_than_asked(many, Threshold("conformal", level, 0.5, 40, "at most 5 %"))

    assert told(6, 0.05) == [], "10 % of 60 may be chance"
    (sentence,) = told(12, 0.05)
    assert "12 of 60 good test pictures" in sentence and "10.8 to 32.3 %" in sentence and "at most 5 %" in sentence
    assert told(60, None) == [], "no share was asked for"
    none = judged._replace(test=judged.test._replace(labels=np.ones(5, int)))
    assert verdicts.more_than_asked(none, Threshold("conformal", 0.05, 0.5, 40, "")) == []


def test_good_pictures_unlike_the_held_out_ones_are_told(judged: JudgedPictures) -> None:
    rng = np.random.default_rng(0)

    def told(shift: float) -> list[str]:
        scores, test = rng.normal(size=80) + shift, judged.test._replace(labels=np.zeros(80, int))
        return verdicts.unlike_held_out(judged._replace(test=test, scores=scores), rng.normal(size=40))

    assert told(0.0) == [] and verdicts.unlike_held_out(judged, np.zeros(0)) == []
    (sentence,) = told(2.0)
    assert "do not score like the 40 held-out ones" in sentence and "higher in 9" in sentence


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)


def table(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("quick")
def test_a_run_leaves_its_verdicts_behind(root: Path, tmp_path: Path) -> None:
    from ddad_jax.engine.pipeline import run_all

    # No held-out pixel exceeds such a threshold: everything gets through.
    c = tiny_runs.config(root, threshold__rule="sigma", threshold__k=1e6, output__overlays=True)
    run_all(c, tmp_path, sweep=False)
    scores = table(tmp_path / "scores.csv")
    assert {row["outcome"] for row in scores} == {"missed", "passed"} < {*OUTCOMES}
    assert [row["defect"] for row in table(tmp_path / "per_defect.csv")] == ["all defects", "bent", "rust"]
    assert [row["missed"] for row in table(tmp_path / "per_defect.csv")] == ["3", "2", "1"]
    rules = table(tmp_path / "thresholds.csv")
    assert [row["rule"] for row in rules if row["used"] == "True"] == ["sigma"]
    assert len(list((tmp_path / "overlays").rglob("*.png"))) == 5
    for name in ("missed", "precision_recall", "iou"):
        assert (tmp_path / "figures" / f"{name}.png").stat().st_size > 0
    assert not (tmp_path / "figures" / "false_alarms.png").exists()
    page = (tmp_path / "report.html").read_text()
    assert page.index("3 of 3 defective pictures got through") < page.index("None of 2 good pictures were stopped")
    assert "Chosen by test labels: must not be used" in page
