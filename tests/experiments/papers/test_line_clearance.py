"""The eight configurations of two views: one training each, the right pictures in each, and the table they end in."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_runs
from trees import save

from ddad_jax.data.read import read_full
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.data.view import read_registered
from ddad_jax.engine.detector.export import exported
from ddad_jax.engine.detector.frames import detector_of
from ddad_jax.engine.pipeline import run_all
from ddad_jax.errors import InputError
from ddad_jax.vision import registration
from experiments.papers import line_clearance
from experiments.papers.line_clearance import (
    CONFIGURATIONS,
    eight_of,
    names_of,
    report_line_clearance,
    require_workdirs,
)

SIDES = (192, 256)
SHIFT = (9.0, -6.0)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_predictor(monkeypatch.setattr)
    tiny_runs.small_backbone(monkeypatch.setattr)
    # How exact registration is is tested elsewhere; at half the size a picture takes a third of the time.
    monkeypatch.setattr(registration, "LONGER_SIDE", 256)


def background(seed: int) -> np.ndarray:
    """A machine without a product: many corners, none like another."""
    random = np.random.default_rng(seed)
    picture = np.full((*SIDES, 3), 90, np.uint8)
    for _ in range(160):
        x, y = int(random.integers(0, SIDES[1])), int(random.integers(0, SIDES[0]))
        w, h = int(random.integers(6, 40)), int(random.integers(6, 40))
        cv2.rectangle(picture, (x, y), (x + w, y + h), tuple(int(v) for v in random.integers(0, 256, 3)), -1)
    return picture


def taken(of: np.ndarray, number: int, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    moved = cv2.warpAffine(of, move, SIDES[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    grain = np.random.default_rng(number).normal(scale=2.0, size=moved.shape)
    return np.clip(moved + grain, 0, 255).astype(np.uint8)


def machine(root: Path, view: str, seed: int) -> None:
    """8 normal pictures as the camera should see them; nudged normal and defective ones to test on; a blank one."""
    scene = background(seed)
    for i in range(8):
        save(taken(scene, i), root / view / f"train/good/{i:03d}.png")
    for i in range(3):
        save(taken(scene, 10 + i, SHIFT), root / view / f"test/good/{i:03d}.png")
        spoiled, mask = scene.copy(), np.zeros(SIDES, np.uint8)
        for picture, value in ((spoiled, (255, 255, 0)), (mask, 255)):
            cv2.circle(picture, (120 + 10 * i, 100), 12, value, -1)
        save(taken(spoiled, 20 + i, SHIFT), root / view / f"test/spot/{i:03d}.png")
        move = np.array([[1, 0, SHIFT[0]], [0, 1, SHIFT[1]]], np.float32)
        moved = cv2.warpAffine(mask, move, SIDES[::-1], flags=cv2.INTER_NEAREST)
        save(moved, root / view / f"ground_truth/spot/{i:03d}_mask.png")
    save(np.full((*SIDES, 3), 128, np.uint8), root / view / "test/good/blank.png")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("machines")
    machine(root, "A", 1)
    machine(root, "B", 2)
    strip = [[0, 0], [40, 0], [40, SIDES[0]], [0, SIDES[0]]]
    (root / "masks.json").write_text(json.dumps({"format": 1, "size": SIDES, "views": {"*": {"ignore": [strip]}}}))
    return root


def config(root: Path, **changes: Any) -> Any:
    return tiny_runs.config(root, data__category="A", view__mask=str(root / "masks.json"), **changes)


def test_pictures_that_are_scored_are_brought_onto_the_reference_with_their_masks(machines: Path) -> None:
    plain, moved = (load_data(config(machines, view__register=r)) for r in ("", "scored"))
    np.testing.assert_array_equal(plain.fit.images, moved.fit.images)
    assert all(moved.view.registered[name].accepted for name in moved.test.names if "blank" not in name)
    assert not moved.view.registered["A/test/good/blank.png"].accepted

    def error(data: Any, name: str) -> float:
        at = data.test.names.index(name)
        inside = (slice(4, 28), slice(4, 28))
        return float(np.abs(data.test.images[at][inside].astype(float) - plain.fit.images[0][inside]).mean())

    assert error(moved, "A/test/good/001.png") < 0.5 * error(plain, "A/test/good/001.png")
    at = plain.test.names.index("A/test/spot/001.png")
    # At the test's 32 px a nudge of (9, -6) of 256 x 192 px is one pixel either way.
    centres = [np.argwhere(data.test.masks[at]).mean(0) for data in (plain, moved)]
    np.testing.assert_allclose(centres[1] - centres[0], [1.0, -9 / 8], atol=0.5)
    blank = plain.test.names.index("A/test/good/blank.png")
    np.testing.assert_array_equal(plain.test.images[blank], moved.test.images[blank])


def test_all_pictures_are_registered_where_training_ones_move_too(machines: Path) -> None:
    data = load_data(config(machines, view__register="all"))
    assert len(data.view.registered) == 8 + 7 and data.view.reference.endswith("A/train/good/000.png")


def test_two_views_end_in_one_table(machines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    c, w = config(machines, view__register="scored"), tmp_path / "w"
    views = {name: eight_of(c, w, name) for name in ("A", "B")}
    report_line_clearance(c, w, views)
    with (w / "eight.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["view"], r["configuration"]) for r in rows] == [(v, n) for v in ("A", "B") for n in CONFIGURATIONS]
    assert all(0 <= float(r["accuracy"]) <= 1 and float(r["threshold"]) > 0 for r in rows)
    for r in rows:
        wrong = float(r["missed"]) + float(r["false_alarms"])
        assert float(r["accuracy"]) == pytest.approx(1 - wrong / 7)
    by_name = {r["configuration"]: r for r in rows if r["view"] == "A"}
    assert by_name["PO+NM+R"]["image_auroc"] == by_name["PRE+NM+R"]["image_auroc"]
    assert by_name["PO+M+NR"]["pixel_auroc"] != by_name["PRE+M+NR"]["pixel_auroc"]
    refused = [row["name"] for row in read_registered(w / "A") if row["accepted"] != "True"]
    assert refused == ["A/test/good/blank.png"]
    page = (w / "views.html").read_text()
    assert "PRE+M+NR" in page and "A/test/good/blank.png" in page and "<h2>B</h2>" in page
    assert "PO+M+NR" in capsys.readouterr().out


@pytest.mark.slow
def test_the_second_time_everything_is_there(machines: Path, tmp_path: Path) -> None:
    c = config(machines, view__register="scored")
    first = eight_of(c, tmp_path / "w", "A")
    before = (tmp_path / "w/A/train.jsonl").read_text()
    assert eight_of(c, tmp_path / "w", "A").rows == first.rows
    assert (tmp_path / "w/A/train.jsonl").read_text() == before


@pytest.mark.slow
def test_a_view_whose_training_pictures_move_too_takes_a_model_each(machines: Path, tmp_path: Path) -> None:
    found = eight_of(config(machines, view__register="all", sweep__seed=(3, 4)), tmp_path / "w", "A")
    assert list(found.rows) == list(CONFIGURATIONS)
    assert {row["seed"] for row in found.rows.values()} == {3}
    assert (tmp_path / "w/A-NR/train").is_dir() and len(found.registered) == 8 + 7


def test_frames_of_a_nudged_camera_are_judged_as_the_run_judged_them(machines: Path, tmp_path: Path) -> None:
    c = config(machines, view__register="scored", sample__mask_before=True)
    run_all(c, tmp_path / "w", sweep=False)
    with (tmp_path / "w/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = detector_of(tmp_path / "w", batch=2)([read_full(machines / row["name"]) for row in rows])
    np.testing.assert_allclose([one.score for one in found], [float(row["score"]) for row in rows], rtol=1e-5)
    assert [one.registered for one in found] == ["blank" not in row["name"] for row in rows]
    with pytest.raises(InputError, match="brings pictures onto a reference"):
        exported(detector_of(tmp_path / "w", batch=2), ["cpu"])


def test_a_mask_that_no_point_uses_is_refused(machines: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="view.mask=.*no point of the run uses it"):
        run_all(config(machines), tmp_path / "w", sweep=False)


def test_a_mask_belongs_to_pictures_of_one_size(machines: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(machines, root)
    save(np.full((96, 128, 3), 90, np.uint8), root / "A/test/good/small.png")
    with pytest.raises(InputError, match="small.png is 96 x 128 pixels.*expected pictures of one size"):
        load_data(config(root))
    assert load_data(config(root, view__register="scored")).view.watched is not None


def test_a_configuration_that_cannot_be_is_left_out_and_named(
    machines: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "flat"
    for part, n in (("train/good", 8), ("test/good", 2), ("test/spot", 2)):
        for i in range(n):
            save(np.full((*SIDES, 3), 100 + i, np.uint8), root / "F" / part / f"{i}.png")
    found = eight_of(tiny_runs.config(root, data__category="F"), tmp_path / "w", "F")
    assert set(found.rows) == {"PO+NM+NR", "PRE+NM+NR"}
    assert "without its configurations R" in caplog.text


def test_rows_have_the_names_of_the_thesis() -> None:
    def named(before: bool, after: bool, registered: bool) -> list[str]:
        return names_of({"mask_before": before, "mask_after": after}, registered)

    assert named(True, True, False) == []
    assert named(True, False, True) == ["PRE+M+R"] and named(False, True, False) == ["PO+M+NR"]
    assert named(False, False, True) == ["PO+NM+R", "PRE+NM+R"]


def test_a_point_that_masks_twice_is_refused(machines: Path, tmp_path: Path) -> None:
    c = config(machines, sample__mask_before=True, score__mask_after=True)
    with pytest.raises(InputError, match="mask_before and --config.score.mask_after: expected one"):
        line_clearance.eight_of(c, tmp_path / "w", "A")


@pytest.mark.parametrize(
    ("views", "register", "says"),
    [
        (["A", "../A"], "", r"'\.\./A' leads out"), (["/A"], "", "leads out"), (["A/../.."], "scored", "leads out"),
        (["A", "A/"], "", "takes A for a workdir, which is that of 'A'"), (["figures"], "", "that of the report"),
        (["A-NR", "A"], "all", "'A' takes A-NR for a workdir, which is that of 'A-NR'"),
        (["eight.csv"], "", "that of the report"),
    ],
)  # fmt: skip
def test_a_view_whose_workdir_is_not_its_own_is_refused(views: list[str], register: str, says: str) -> None:
    with pytest.raises(InputError, match=f"--views: .*{says}"):
        require_workdirs(views, register=register)
    require_workdirs(["A", "A-NR", "a", "B/left", "B/right"], register="scored")
