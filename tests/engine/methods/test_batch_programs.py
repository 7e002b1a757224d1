"""Pictures in padded batches: each once, in order, by one program a shape."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.engine.methods.batch_programs import in_batches
from ddad_jax.vision.tiles import Tiles, tiling

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), np.uint8)


def brightest(weights: Any, images: Any) -> Any:
    return {"of": images.astype(jnp.float32).max((1, 2, 3)) * weights}


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_every_picture_is_seen_once_in_order(batch: int) -> None:
    compiled: Any = {}
    parts = [*in_batches(compiled, "brightest", brightest, np.float32(2), IMAGES, batch=batch, mesh=None)]
    assert sum(part.valid.sum() for part in parts) == len(IMAGES) and all(part.seconds > 0 for part in parts)
    found = np.concatenate([np.asarray(part.of["of"])[part.valid] for part in parts])
    np.testing.assert_array_equal(found, 2.0 * IMAGES.max((1, 2, 3)))
    assert len(compiled) == 1


def test_another_shape_is_another_program_and_other_weights_are_not() -> None:
    compiled: Any = {}
    for weights, images in ((1.0, IMAGES), (2.0, IMAGES[:6]), (2.0, IMAGES[:, :2])):
        (*_,) = in_batches(compiled, "brightest", brightest, np.float32(weights), images, batch=3, mesh=None)
    assert len(compiled) == 2


def test_tiles_are_cut_when_they_are_looked_at() -> None:
    t = tiling((4, 4), 2, 0)
    tiles: Any = Tiles(list(IMAGES), t)
    parts = in_batches({}, "brightest", brightest, np.float32(1), tiles, batch=5, mesh=None)
    found = np.concatenate([np.asarray(part.of["of"])[part.valid] for part in parts])
    np.testing.assert_array_equal(found, tiles[:].max((1, 2, 3)))
