"""One reconstruction point judged by itself: what is computed once, what of a diverged point is said and shown."""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.evidence import Starts
from ddad_jax.engine.methods.method import settings_of
from ddad_jax.engine.sweep import judge
from ddad_jax.engine.sweep.journal import MadeWith
from ddad_jax.engine.sweep.judge import Scored, Truth, metrics_of, row_of, sampling_of, scored, show, shown_of, truth_of
from ddad_jax.engine.sweep.selected import load_selected
from ddad_jax.errors import InputError
from ddad_jax.metrics import METRICS
from ddad_jax.points import ReconPoint, ScorePoint
from ddad_jax.sweep import Distances

POINT = ReconPoint(3.0, 250, 2, 0.0, "trailing", 0)
SCORE = ScorePoint(1.0, ("layer2",), 0.5)
MADE = MadeWith({"test_set": "a"}, {"test_set": "a", "student": "s"}, {POINT: "250-125"})


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
    return Scored(SCORE, maps, maps.max((1, 2)), np.arange(len(maps), dtype=np.float32))


def perfect(truth: Truth) -> Scored:
    """Maps that are the masks."""
    return at(truth, np.concatenate([np.zeros((truth.first_test, 32, 32)), truth.masks]).astype(np.float32))


def test_pictures_lie_as_the_sweep_has_them(data: Data, truth: Truth) -> None:
    assert truth.n_held_out == truth.first_test == len(data.calibration.labels)
    assert truth.own.tolist() == list(range(truth.n_held_out))
    np.testing.assert_array_equal(truth.masks, data.test.masks)


def test_what_v_does_not_touch_is_blurred_once(
    root: Path, data: Data, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[tuple] = []
    real = judge.prepare

    def counted(c: Any, d: Any, n: int, first: int, layers: tuple[str, ...], sigma: float, **how: Any) -> Any:
        sides.append((layers, sigma))
        return real(c, d, n, first, layers, sigma, **how)

    monkeypatch.setattr(judge, "prepare", counted)
    points = [ScorePoint(v, layers, 0.5) for layers in (("layer1",), ("layer2",)) for v in (0.0, 1.0, 3.0)]
    found = list(scored(tiny_runs.config(root), truth, distances(data), points))
    assert [one.point for one in found] == points
    assert sides == [(("layer1",), 0.5), (("layer2",), 0.5)]
    for one in found:
        assert one.finite
        np.testing.assert_array_equal(one.scores, one.maps.max((1, 2)))
    by_v = {(one.point.layers, one.point.v): one.maps for one in found}
    for layers, _ in sides:
        none, one, three = (by_v[layers, v] for v in (0.0, 1.0, 3.0))
        np.testing.assert_allclose(three - none, 3 * (one - none), rtol=1e-4, atol=1e-5)


def test_maps_that_are_the_masks_are_perfect(root: Path, truth: Truth) -> None:
    found = metrics_of(tiny_runs.config(root), truth, perfect(truth))
    assert set(METRICS) <= found.keys()
    assert [found[name] for name in ("image_auroc", "pixel_auroc", "aupro_30")] == pytest.approx([1, 1, 1])
    published = metrics_of(tiny_runs.config(root, score__normalise="batch"), truth, perfect(truth))
    assert published.items() >= found.items() and published["published_pixel_auroc"] == pytest.approx(1)


def test_a_row_says_its_settings_its_worth_its_cost_and_what_made_it(root: Path, data: Data, truth: Truth) -> None:
    starts = Starts({}, {})
    sampling = sampling_of(POINT, distances(data), starts, "250-125", truth.first_test)
    assert sampling == {"ms_per_image": 250.0, "unet_calls": 2, "whole_calls": 2, "times": "250-125"}
    row = row_of(tiny_runs.config(root), truth, POINT, perfect(truth), sampling, MADE.of(POINT.model))
    assert row.items() >= {**settings_of(POINT, SCORE), **sampling, "test_set": "a"}.items()
    n = len(truth.labels)
    assert row["ratio"] == pytest.approx(truth.first_test + (n - 1) / 2), "the mean of the test pictures alone"


def test_the_first_pass_is_paid_for(data: Data, truth: Truth) -> None:
    point, n = POINT._replace(rise=1.0), len(distances(data).pixel)
    starts = Starts({point: np.where(np.arange(n) < truth.first_test, 250, 400)}, {point: np.full(n, 0.5)})
    sampling = sampling_of(point, distances(data), starts, "250-125", truth.first_test)
    assert (sampling["ms_per_image"], sampling["t_prime_mean"]) == (750.0, 400.0)


def test_a_diverged_point_is_named_and_shows_nothing(
    root: Path, data: Data, truth: Truth, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    c, good = tiny_runs.config(root, score__normalise="batch"), perfect(truth)
    maps = good.maps.copy()
    maps[-1, 0, 0] = np.nan
    bad = at(truth, maps)
    assert good.finite and not bad.finite
    with caplog.at_level(logging.WARNING):
        row = row_of(c, truth, POINT, bad, {}, {})
    assert all(math.isnan(row[name]) for name in METRICS) and "published_pro" not in row
    assert "'w': 3.0" in caplog.text and "not finite" in caplog.text

    shown = shown_of(tmp_path, (POINT, SCORE), MADE)
    assert shown and not shown.is_there()
    show(shown, truth, good, distances(data))
    assert shown.is_there() and len(load_selected(tmp_path)["maps"]) == len(truth.labels)
    assert not shown._replace(made_with={"test_set": "b"}).is_there()
    show(shown, truth, bad, distances(data))
    assert not shown.path.exists()


@pytest.mark.parametrize("at_end", [True, False])
def test_what_is_shown_and_damaged_is_not_there(data: Data, truth: Truth, tmp_path: Path, at_end: bool) -> None:
    shown = shown_of(tmp_path, (POINT, SCORE), MADE)
    assert shown
    show(shown, truth, perfect(truth), distances(data))
    whole = shown.path.read_bytes()
    # Cut off, and with other bytes in an array that does not say whose the file is.
    half = len(whole) // 2
    shown.path.write_bytes(whole[:half] if at_end else whole[:half] + bytes([whole[half] ^ 255]) + whole[half + 1 :])
    assert not shown.is_there()
    with pytest.raises(InputError, match=r"selected\.npz: cannot be read.*Delete it"):
        load_selected(tmp_path)
    show(shown, truth, perfect(truth), distances(data))
    assert shown.is_there()


def test_what_is_shown_of_an_optimised_grid_belongs_to_its_times(tmp_path: Path) -> None:
    found = POINT._replace(grid="optimised")
    made = MADE._replace(times={POINT: "250-125", found: "250-60"})
    at_found, trailing = (shown_of(tmp_path, (point, SCORE), made) for point in (found, POINT))
    assert at_found and at_found.made_with == {"test_set": "a", "times": "250-60"}
    assert trailing and trailing.made_with == {"test_set": "a"}
    assert shown_of(tmp_path, None, made) is None
