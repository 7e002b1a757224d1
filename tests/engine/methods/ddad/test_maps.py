"""Maps from prepared distances: what each term is measured in."""

from pathlib import Path

import numpy as np
import tiny_runs

from ddad_jax.engine.methods.ddad.maps import Prepared, score_maps
from ddad_jax.points import ScorePoint

POINT = ScorePoint(2.0, ("layer2",), 0.5)


def test_pixels_alone_are_measured_alike_in_every_batch(tmp_path: Path) -> None:
    """As published, r differs from batch to batch; it is there to bring pixels to the scale of features."""
    rng = np.random.default_rng(0)
    pixel, feature = rng.random((2, 5, 4, 4), np.float32)
    prepared = Prepared(pixel, feature, np.array([3, 3, 7, 7, 9], np.float32))
    c, own = tiny_runs.config(tmp_path, score__normalise="batch"), np.arange(2)
    alone, _ = score_maps(c, prepared, 2, own, POINT._replace(feature_weight=0.0))
    np.testing.assert_allclose(alone, 2.0 * 3.0 * pixel, rtol=1e-6)
    both, _ = score_maps(c, prepared, 2, own, POINT)
    np.testing.assert_allclose(both, feature + 2.0 * prepared.ratio[:, None, None] * pixel, rtol=1e-6)
