"""One reconstruction point judged by itself: what is computed once, what of a diverged point is said and shown."""

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_runs

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.measured import Mapped, Measured
from ddad_jax.engine.methods.point import Point, point_settings
from ddad_jax.engine.methods.scored import Scored, judged_maps
from ddad_jax.engine.sweep.judge import Truth, metrics_of, row_of, scored, show, shown_of, truth_of
from ddad_jax.engine.sweep.rows import measured_pictures
from ddad_jax.engine.sweep.selected import SHOWN_FILE, load_selected
from ddad_jax.errors import InputError
from ddad_jax.metrics import METRICS
from ddad_jax.points import ReconPoint, ScorePoint, grid_key
from ddad_jax.sweep import Distances
from ddad_jax.timesteps import TimeGrid

POINT = ReconPoint(3.0, 250, 2, 0.0, "trailing", 0)
SCORE = ScorePoint(1.0, ("layer2",), 0.5)
MADE = {POINT: {"test_set": "a", "times": "250-125"}}


@pytest.fixture(scope="module")
def truth(root: Path, data: Data) -> Truth:
    return truth_of(tiny_runs.config(root), data)


def distances(data: Data) -> Distances:
    random, n = np.random.default_rng(0), sum(len(s.labels) for s in data.sets)
    layers = {f"layer{i + 1}": random.uniform(size=(n, side, side)).astype(np.float32) for i, side in enumerate((8, 4))}
    pixel = random.uniform(size=(n, 32, 32)).astype(np.float32)
    x0 = random.uniform(-1, 1, (n, 32, 32, 3)).astype(np.float16)
    return Distances(x0, pixel, layers, np.full(n, 0.25))


def at(truth: Truth, maps: np.ndarray) -> Scored:
    return Scored(SCORE, maps, maps.max((1, 2)), {"ratio": 2.0})


def measured(data: Data) -> Measured:
    of = distances(data)
    return Measured(POINT, of, of.seconds, {"unet_calls": 2, "whole_calls": 2})


def perfect(truth: Truth) -> Scored:
    """Maps that are the masks."""
    return at(truth, np.concatenate([np.zeros((truth.first_test, 32, 32)), truth.masks]).astype(np.float32))


def test_pictures_lie_as_the_sweep_has_them(data: Data, truth: Truth) -> None:
    assert truth.n_scale == truth.first_test == len(data.calibration.labels)
    assert truth.own.tolist() == list(range(truth.n_scale)) and truth.calibrating == slice(0, truth.n_scale)
    np.testing.assert_array_equal(truth.masks, data.test.masks)


def test_maps_are_scored_at_every_point(root: Path, data: Data, truth: Truth, tmp_path: Path) -> None:
    c, points = tiny_runs.config(root), [SCORE, SCORE._replace(v=3.0)]
    each = list(scored(c, truth, tiny_runs.fitted(c, tmp_path), measured_pictures(data), distances(data), points))
    assert [one.point for one in each] == points
    for one in each:
        assert one.finite and one.spread is None and one.columns["ratio"] > 0
        np.testing.assert_array_equal(one.scores, one.maps.max((1, 2)))


@pytest.mark.parametrize("changed", [{}, {"standardise": True}, {"mask_after": True}])
def test_a_methods_own_score_is_that_of_maps_as_it_made_them(changed: dict[str, bool]) -> None:
    maps, own = np.random.default_rng(0).random((4, 8, 8), np.float32), np.arange(4.0)
    mapped = Mapped(SCORE._replace(**changed), maps, {}, scores=own)
    for crop in (0, 4):
        judged = judged_maps(mapped, 3, np.arange(3), np.ones((8, 8), bool), crop)
        expected = own if not changed and not crop else judged.maps.max((1, 2))
        np.testing.assert_array_equal(judged.scores, expected)


def test_maps_that_are_the_masks_are_perfect(root: Path, truth: Truth) -> None:
    found = metrics_of(tiny_runs.config(root), truth, perfect(truth))
    assert set(METRICS) <= found.keys()
    assert [found[name] for name in ("image_auroc", "pixel_auroc", "aupro_30")] == pytest.approx([1, 1, 1])
    published = metrics_of(tiny_runs.config(root, score__normalise="batch"), truth, perfect(truth))
    assert published.items() >= found.items() and published["published_pixel_auroc"] == pytest.approx(1)


def test_a_row_says_its_settings_its_worth_its_cost_and_what_made_it(root: Path, data: Data, truth: Truth) -> None:
    row = row_of(tiny_runs.config(root), truth, measured(data), perfect(truth), 1, MADE[POINT])
    cost = {"ms_per_image": 250.0, "unet_calls": 2, "whole_calls": 2, "times": "250-125"}
    assert row.items() >= {**point_settings(POINT, SCORE), **cost, "test_set": "a", "ratio": 2.0}.items()
    tiled = row_of(tiny_runs.config(root), truth, measured(data), perfect(truth), 4, MADE[POINT])
    assert tiled["ms_per_image"] == 1000.0


def test_a_diverged_point_is_named_and_shows_nothing(
    root: Path, data: Data, truth: Truth, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    c, good = tiny_runs.config(root, score__normalise="batch"), perfect(truth)
    maps = good.maps.copy()
    maps[-1, 0, 0] = np.nan
    bad = at(truth, maps)
    assert good.finite and not bad.finite
    with caplog.at_level(logging.WARNING):
        row = row_of(c, truth, measured(data), bad, 1, {})
    assert all(math.isnan(row[name]) for name in METRICS) and "published_pro" not in row
    assert "'w': 3.0" in caplog.text and "not finite" in caplog.text

    fitted = tiny_runs.fitted(c, tmp_path)
    shown = shown_of(tmp_path, Point(POINT, SCORE), fitted, MADE)
    assert shown and not shown.is_there()
    show(shown, truth, fitted, measured_pictures(data), measured(data), good)
    assert shown.is_there() and len(load_selected(tmp_path)["maps"]) == len(truth.labels)
    assert not shown._replace(made_with={"test_set": "b"}).is_there()
    show(shown, truth, fitted, measured_pictures(data), measured(data), bad)
    assert not (tmp_path / SHOWN_FILE).exists()


@pytest.mark.parametrize("at_end", [True, False])
def test_what_is_shown_and_damaged_is_not_there(
    root: Path, data: Data, truth: Truth, tmp_path: Path, at_end: bool
) -> None:
    fitted = tiny_runs.fitted(tiny_runs.config(root), tmp_path)
    shown = shown_of(tmp_path, Point(POINT, SCORE), fitted, MADE)
    assert shown
    show(shown, truth, fitted, measured_pictures(data), measured(data), perfect(truth))
    file = tmp_path / SHOWN_FILE
    whole = file.read_bytes()
    # Cut off, and with other bytes in an array that does not say whose the file is.
    half = len(whole) // 2
    file.write_bytes(whole[:half] if at_end else whole[:half] + bytes([whole[half] ^ 255]) + whole[half + 1 :])
    assert not shown.is_there()
    with pytest.raises(InputError, match=r"selected\.npz: cannot be read.*Delete it"):
        load_selected(tmp_path)
    show(shown, truth, fitted, measured_pictures(data), measured(data), perfect(truth))
    assert shown.is_there()


def test_what_is_shown_of_an_optimised_grid_belongs_to_its_times(root: Path, tmp_path: Path) -> None:
    optimised = POINT._replace(grid="optimised")
    made = {**MADE, optimised: {"test_set": "a", "times": "250-60"}}
    grid = TimeGrid(np.array(250), np.array([250, 60]), np.array([60, 0]))
    fitted = tiny_runs.fitted(tiny_runs.config(root), tmp_path).with_grids({grid_key(optimised): grid})
    of_grid, trailing = (shown_of(tmp_path, Point(point, SCORE), fitted, made) for point in (optimised, POINT))
    assert of_grid and of_grid.made_with == {"test_set": "a", "times": "250-60"}
    assert trailing and trailing.made_with == {"test_set": "a"}
    assert shown_of(tmp_path, None, fitted, made) is None


def test_a_file_of_before_there_were_methods_is_of_ddad(root: Path, data: Data, truth: Truth, tmp_path: Path) -> None:
    fitted = tiny_runs.fitted(tiny_runs.config(root), tmp_path)
    shown = shown_of(tmp_path, Point(POINT, SCORE), fitted, MADE)
    assert shown
    show(shown, truth, fitted, measured_pictures(data), measured(data), perfect(truth))
    assert shown._replace(made_with={"method": "ddad", **shown.made_with}).is_there()
    assert not shown._replace(made_with={"method": "other", **shown.made_with}).is_there()
