"""Maps from prepared distances: what each term is measured in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs

from ddad_jax.engine.methods.ddad import maps
from ddad_jax.engine.methods.ddad.maps import BlurredDistances, combined
from ddad_jax.engine.methods.measured import MeasuredPictures
from ddad_jax.points import ScorePoint
from ddad_jax.sweep import Distances

POINT = ScorePoint(2.0, ("layer2",), 0.5)


def test_pixels_alone_are_measured_alike_in_every_batch() -> None:
    """As published, r differs from batch to batch; it is there to bring pixels to the scale of features."""
    rng = np.random.default_rng(0)
    pixel, feature = rng.random((2, 5, 4, 4), np.float32)
    prepared = BlurredDistances(pixel, feature, np.array([3, 3, 7, 7, 9], np.float32))
    alone = combined(prepared, POINT._replace(feature_weight=0.0))
    np.testing.assert_allclose(alone, 2.0 * 3.0 * pixel, rtol=1e-6)
    both = combined(prepared, POINT)
    np.testing.assert_allclose(both, feature + 2.0 * prepared.ratio[:, None, None] * pixel, rtol=1e-6)


def test_what_v_does_not_touch_is_blurred_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[tuple] = []
    real = maps.prepare

    def counted(c: Any, d: Any, n: int, first: int, layers: tuple[str, ...], sigma: float, **how: Any) -> Any:
        sides.append((layers, sigma))
        return real(c, d, n, first, layers, sigma, **how)

    monkeypatch.setattr(maps, "prepare", counted)
    points = [ScorePoint(v, layers, 0.5) for layers in (("layer1",), ("layer2",)) for v in (0.0, 1.0, 3.0)]
    random, n = np.random.default_rng(0), 5
    layers = {f"layer{i + 1}": random.random((n, side, side), np.float32) for i, side in enumerate((8, 4))}
    distances = Distances(None, random.random((n, 32, 32), np.float32), layers, np.zeros(n))
    pictures = MeasuredPictures(np.zeros((n, 32, 32, 3), np.uint8), n_normal=2, first_test=2)
    each = list(maps.mapped(tiny_runs.config(tmp_path).score, distances, points, pictures))
    assert [one.cheap for one in each] == points
    assert sides == [(("layer1",), 0.5), (("layer2",), 0.5)]
    by_v = {(one.cheap.layers, one.cheap.v): one.maps for one in each}
    for side, _ in sides:
        none, one, three = (by_v[side, v] for v in (0.0, 1.0, 3.0))
        np.testing.assert_allclose(three - none, 3 * (one - none), rtol=1e-4, atol=1e-5)


def test_the_ratio_of_a_row_is_that_of_the_test_pictures(tmp_path: Path) -> None:
    """Where every batch has its own, as published, the calibration pictures' count for nothing."""
    random = np.random.default_rng(0)
    distances = Distances(
        None, random.random((6, 8, 8), np.float32), {"layer2": random.random((6, 4, 4), np.float32)}, np.zeros(6)
    )
    pictures = MeasuredPictures(np.zeros((6, 8, 8, 3), np.uint8), n_normal=2, first_test=2)
    c = tiny_runs.config(tmp_path, score__normalise="batch", score__batch=2)
    (one,) = maps.mapped(c.score, distances, [POINT], pictures)
    ratios = maps.prepare(c.score, distances, 2, 2, POINT.layers, POINT.sigma, upsampling=POINT.upsampling).ratio
    assert len(set(ratios[2:].tolist())) > 1 and one.columns["ratio"] == pytest.approx(ratios[2:].mean())
