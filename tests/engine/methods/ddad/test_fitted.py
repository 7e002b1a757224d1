"""What is measured lies on the disk, and of reconstructions only those that are looked at again are there."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax.backbones import feature_fn
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.measured import MeasuredPictures
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.sweep.rows import measured_pictures
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import ReconPoint, ScorePoint
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.spilled import Spilled
from ddad_jax.sweep import Distances
from ddad_jax.vision.tiles import tiling

POINT = ReconPoint(w=1.0, t_prime=100, steps=2, eta=0.0, grid="trailing", seed=0)
SCORE = ScorePoint(1.0, ("layer2",), 0.5)


def spilled(array: np.ndarray, folder: Path) -> Any:
    lying = Spilled(array.shape, array.dtype, folder)
    lying[:] = array
    return lying


def test_reconstructions_are_kept_of_what_is_shown_or_compared(root: Path, data: Data, tmp_path: Path) -> None:
    features = feature_fn(tiny_runs.BACKBONE, tiny_runs.variables())
    program = PairProgram(
        lambda _: (lambda x, t: jnp.tanh(x), features), None, alpha_bar=jnp.asarray(alpha_bar_table())
    )
    pictures = measured_pictures(data)

    def x0(judged: bool = True, **how: Any) -> Any:
        fitted = tiny_runs.fitted(tiny_runs.config(root, teacher_images=2, **how), tmp_path, program)
        own: Any = {"judged": {POINT: {}} if judged else {}, "selected": selected}
        ((_, evidence, *_),) = fitted.measure(pictures, [POINT], **own)
        assert isinstance(evidence.pixel, Spilled) and all(isinstance(d, Spilled) for d in evidence.features.values())
        return evidence.x0

    selected = None
    assert x0() is None and x0(judged=False, teacher=4) is None
    assert len(x0(teacher=4)) == 2
    selected = Point(POINT, SCORE)
    assert len(x0()) == len(x0(teacher=4)) == pictures.n_test
    selected = Point(POINT._replace(w=3.0), SCORE)
    assert x0() is None


@pytest.mark.parametrize("tiled", [False, True])
def test_what_is_shown_does_not_depend_on_where_the_evidence_lies(root: Path, tmp_path: Path, tiled: bool) -> None:
    random, n, first = np.random.default_rng(0), 5, 2
    t = tiling((32, 48), 32, overlap=16) if tiled else None
    k = t.count if t else 1
    pixel, layer = random.random((n * k, 32, 32), np.float32), random.random((n * k, 4, 4), np.float32)
    x0 = random.uniform(-1.2, 1.2, (n * k, 32, 32, 3)).astype(np.float16)
    in_memory = Distances(x0, pixel, {"layer2": layer}, np.zeros(n * k))
    features = {"layer2": spilled(layer, tmp_path)}
    on_disk = Distances(spilled(x0[first * k :], tmp_path), spilled(pixel, tmp_path), features, np.zeros(n * k))
    pictures = MeasuredPictures(np.zeros((n * k, 32, 32, 3), np.uint8), first, first, tiling=t)
    fitted = tiny_runs.fitted(tiny_runs.config(root), tmp_path)
    one, other = (fitted.shown(evidence, Point(POINT, SCORE), pictures) for evidence in (in_memory, on_disk))
    assert one.keys() == other.keys() == {"x0", "pixel", "feature"}
    for name, array in one.items():
        assert len(array) == n - first
        np.testing.assert_array_equal(array, other[name])
    if not tiled:
        np.testing.assert_array_equal(one["x0"], np.round((np.clip(x0[first:].astype(np.float32), -1, 1) + 1) * 127.5))
        np.testing.assert_array_equal(one["pixel"], pixel[first:].astype(np.float16))
    (mapped,), (again,) = ([*fitted.maps(evidence, [SCORE], pictures)] for evidence in (in_memory, on_disk))
    np.testing.assert_array_equal(mapped.maps, again.maps)
    assert mapped.columns == again.columns
