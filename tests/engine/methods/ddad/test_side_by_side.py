"""Reconstructions side by side: what is kept of a sweep, and what of it is drawn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from PIL import Image

from ddad_jax.backbones import feature_fn
from ddad_jax.data import ImageSet
from ddad_jax.data.split import subset
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.figures.side_by_side import Column, side_by_side_figure
from ddad_jax.engine.methods.ddad import side_by_side
from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.engine.methods.ddad.report import gather
from ddad_jax.engine.methods.ddad.side_by_side import FOLDER, keeper, load_side_by_side, side_by_side_rows
from ddad_jax.engine.methods.point import Point, point_settings
from ddad_jax.engine.sweep import rows as sweep_rows
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import ReconPoint, ScorePoint
from ddad_jax.schedule import alpha_bar_table

pytestmark = pytest.mark.drawn

POINT = ReconPoint(3.0, 250, 2, 0.0, "trailing", 0)
SCORE = ScorePoint(1.0, ("layer2",), 1.0)
MADE: dict[str, Any] = {"test_set": "a", "times": "250-125"}


def pictures(*defects: str) -> ImageSet:
    n = len(defects)
    images = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)
    masks = np.zeros((n, 8, 8), bool)
    labels = np.array([d != "good" for d in defects], np.int64)
    masks[labels == 1, 2:5, 2:5] = True
    return ImageSet(images, labels, masks, np.ones(n, bool), tuple(defects), tuple(f"{i}.png" for i in range(n)))


def x0(seed: int, n: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (n, 8, 8, 3)).astype(np.float16)


def row(point: ReconPoint, **more: Any) -> dict[str, Any]:
    """A result row of the point, made with ``MADE``."""
    return {
        **point_settings(point, SCORE), **MADE, "unet_calls": point.calls, "ms_per_image": 1.0, "image_auroc": 0.9,
        "teacher_rmse": 0.5 / point.steps, **more,
    }  # fmt: skip


TEST = pictures("good", "scratch", "dent", "good", "scratch")


def kept(folder: Path, *points: ReconPoint, **changes: Any) -> Any:
    c = tiny_runs.config(Path("data"), teacher=100, **changes)
    keep = keeper(folder, TEST, Point(POINT, SCORE), most=64, seed=c.sweep.seed[0])
    for i, point in enumerate(points):
        keep(point, MADE, x0(i), x0(100))
    return c


def test_two_defects_evenly_over_the_kinds_and_two_good_ones_are_shown() -> None:
    test = pictures("good", "scratch", "dent", "good", "hole", "good", "scratch")
    assert side_by_side_rows(test, np.arange(7)).tolist() == [2, 6, 0, 5]
    assert side_by_side_rows(test, np.array([1, 3, 6])).tolist() == [1, 6, 3]
    assert side_by_side_rows(pictures("good"), np.arange(1)).tolist() == [0]


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    kept(tmp_path, POINT)
    at = side_by_side_rows(TEST, np.arange(5))
    found = load_side_by_side(tmp_path, row(POINT), at)
    assert found is not None and found.x0.dtype == np.uint8
    np.testing.assert_allclose(found.x0 / 127.5 - 1, x0(0)[at], atol=0.5 / 127.5 + 1e-3)
    np.testing.assert_allclose(found.teacher / 127.5 - 1, x0(100)[at], atol=0.5 / 127.5 + 1e-3)
    assert load_side_by_side(tmp_path, {**row(POINT), "test_set": "b"}, at) is None
    assert load_side_by_side(tmp_path, {**row(POINT), "times": "250-90"}, at) is None
    assert load_side_by_side(tmp_path, row(POINT), at[:2]) is None
    assert load_side_by_side(tmp_path, row(POINT._replace(steps=3)), at) is None


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "cut off": lambda whole: whole[:200],
    "garbage": lambda whole: b"\x93NUMPY" + b"?" * 100,
    "other bytes": lambda whole: whole[:60] + bytes(b ^ 255 for b in whole[60:400]) + whole[400:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_picture_is_left_out_by_its_name(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    fast = POINT._replace(solver="dpm2m", steps=1)
    c = kept(tmp_path, POINT, fast)
    (broken,) = (tmp_path / FOLDER).glob("*dpm2m*")
    broken.write_bytes(DAMAGES[damage](broken.read_bytes()))
    _, columns = gather(c, tmp_path, TEST, [row(POINT, selected=True), row(fast, teacher_rmse=0.4)])
    assert [(column.way, column.calls) for column in columns] == [("fine teacher", 100), ("ddim", 2)]
    assert broken.name in caplog.text and "he report leaves its pictures out" in caplog.text


def test_only_points_that_the_figure_can_show_are_kept(tmp_path: Path) -> None:
    others = [POINT._replace(seed=1), POINT._replace(w=2.0), POINT._replace(t_prime=200)]
    kept(tmp_path / "a", POINT, *others)
    assert len(list((tmp_path / "a" / FOLDER).iterdir())) == 1
    # Which point is selected is not known while synthetic defects have not chosen it.
    keep = keeper(tmp_path / "b", TEST, None, most=64, seed=0)
    for point in others:
        keep(point, MADE, x0(0), x0(1))
    assert len(list((tmp_path / "b" / FOLDER).iterdir())) == 2
    keep(POINT, MADE, np.full((5, 8, 8, 3), np.nan, np.float16), x0(1))
    assert len(list((tmp_path / "b" / FOLDER).iterdir())) == 2, "what diverged has no picture"


def test_columns_are_the_teacher_the_selected_point_and_the_best_ways(tmp_path: Path) -> None:
    fast, student = POINT._replace(solver="dpm2m", steps=1), POINT._replace(model="student", steps=1)
    c = kept(tmp_path, POINT, fast)
    rows = [
        row(POINT, selected=True), row(POINT._replace(seed=1), selected=True), row(fast, teacher_rmse=0.4),
        row(student, teacher_rmse=0.3),
    ]  # fmt: skip
    own, columns = gather(c, tmp_path, TEST, rows)
    assert own.names == ("2.png", "4.png", "0.png", "3.png")
    assert [(column.way, column.calls) for column in columns] == [("fine teacher", 100), ("ddim", 2)]
    kept(tmp_path, student)
    _, columns = gather(c, tmp_path, TEST, rows)
    assert [(column.way, column.calls) for column in columns][2:] == [("student, ddim", 1)]
    assert gather(tiny_runs.config(Path("data")), tmp_path, TEST, rows)[1] == [], "a run without a teacher shows none"


def test_the_figure_is_dark_where_a_way_is_its_teacher(tmp_path: Path) -> None:
    near, far = TEST.images // 2 + 10, 255 - TEST.images
    columns = [Column("fine teacher", 100, near), Column("same", 3, near, near), Column("other", 1, far, near)]
    assert columns[0].distance is None
    np.testing.assert_array_equal(np.asarray(columns[1].distance), 0)
    np.testing.assert_allclose(np.asarray(columns[2].distance), np.abs(far / 127.5 - near / 127.5).mean(-1), rtol=1e-5)
    drawn = side_by_side_figure(TEST, columns, tmp_path / "f.png")
    assert drawn is not None
    image = np.asarray(Image.open(drawn)).astype(float)
    # A way a column of equal width behind the input; the second picture row holds the first maps.
    width, height = image.shape[1] / 4, image.shape[0] / 10
    same, other = (image[int(1.5 * height) : int(1.9 * height), int((i + 0.2) * width) : int((i + 0.7) * width)].mean()
                   for i in (2, 3))  # fmt: skip
    assert same < 10 < 60 < other
    assert side_by_side_figure(TEST, [], tmp_path / "none.png") is None
    assert side_by_side_figure(subset(TEST, []), columns, tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()


def test_a_teacher_alone_needs_no_scale(tmp_path: Path) -> None:
    assert side_by_side_figure(TEST, [Column("fine teacher", 100, TEST.images)], tmp_path / "f.png") is not None


def program() -> PairProgram:
    features = feature_fn(tiny_runs.BACKBONE, tiny_runs.variables())
    predictor = tiny_runs.eps_fn(None, tiny_runs.init_params(None, 0))
    return PairProgram(lambda _: (predictor, features), None, alpha_bar=jnp.asarray(alpha_bar_table()))


def test_pictures_change_no_number(root: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    c = tiny_runs.config(root, teacher=4, sweep__eta=(0.0, 0.5), sweep__steps=(1, 2), sample__eta=0.0)
    todo, run = ddad_plan(c, sweep=True), program()
    assert len(todo.costly) == 4

    def bare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k != "ms_per_image"} for row in rows]

    def swept(name: str) -> list[dict[str, Any]]:
        return sweep_rows.compute_rows(
            c, tmp_path / name, data, tiny_runs.fitted(c, tmp_path / name, run, test=data.test), todo
        )

    whole = swept("whole")
    assert len(list((tmp_path / "whole" / FOLDER).iterdir())) == len(whole) == 4
    assert len(gather(c, tmp_path / "whole", data.test, whole)[1]) >= 3
    monkeypatch.setattr(side_by_side, "EACH", 1)
    assert bare(swept("fewer")) == bare(whole)
