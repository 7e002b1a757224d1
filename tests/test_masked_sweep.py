"""Distances of masked pictures see nothing of what the mask leaves out; the reconstruction is the same."""

import numpy as np
import pytest
import small_sweep
from small_sweep import LAYERS, SIZE, alone, measured, pictures, program

from ddad_jax.data import to_float
from ddad_jax.errors import InputError
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import ReconPoint
from ddad_jax.sweep import Distances, sweep_distances

POINT = ReconPoint(1.0, 250, 2, 0.0, "trailing", 0)
MASKED = POINT._replace(mask_before=True)
WATCHED = np.ones((SIZE, SIZE), bool)
WATCHED[:6, :10] = False


def swept(points: list[ReconPoint], watched: np.ndarray | None = WATCHED) -> dict[ReconPoint, Distances]:
    how = {"chunk": 4, "keep_x0": True, "watched": watched, "timer": lambda: 0.0}
    return dict(sweep_distances(program(), pictures(3), points, **how))


def test_masked_distances_are_those_of_both_pictures_masked_and_the_reconstruction_is_the_same() -> None:
    plain, masked = (swept([POINT, MASKED])[p] for p in (POINT, MASKED))
    assert plain.x0 is not None and masked.x0 is not None
    np.testing.assert_array_equal(plain.x0, masked.x0)
    assert (masked.pixel[:, ~WATCHED] == 0).all() and (plain.pixel[:, ~WATCHED] > 0).any()
    np.testing.assert_allclose(masked.pixel[:, WATCHED], plain.pixel[:, WATCHED], atol=1e-5)
    for i, image in enumerate(pictures(3)):
        x0, y = alone(image, POINT)[0], to_float(image)
        _, layers = measured(*(np.where(WATCHED[..., None], a, 0.0)[None] for a in (x0, y)), SIZE)
        for layer in LAYERS:
            np.testing.assert_allclose(masked.features[layer][i], layers[layer], atol=1e-5)


def test_each_picture_may_have_a_mask_of_its_own() -> None:
    own = np.stack([WATCHED, ~WATCHED, np.ones_like(WATCHED)])
    found = swept([MASKED], own)[MASKED]
    for i in range(3):
        assert (found.pixel[i][~own[i]] == 0).all() and (found.pixel[i][own[i]] > 0).any()


def test_a_mask_costs_points_without_it_nothing() -> None:
    networks = small_sweep.LAYERED, small_sweep.features
    one = PairProgram(lambda _: networks, None, alpha_bar=small_sweep.ALPHA_BAR)
    how = {"chunk": 3, "watched": WATCHED, "timer": lambda: 0.0}
    for _ in sweep_distances(one, pictures(3), [POINT, POINT._replace(w=0.5)], **how):
        pass
    assert one.compilations == 1
    for _ in sweep_distances(one, pictures(3), [MASKED, MASKED._replace(w=0.5)], **how):
        pass
    assert one.compilations == 2


def test_masking_without_a_mask_is_refused() -> None:
    with pytest.raises(InputError, match="mask_before or mask_after = True: expected the mask of the view"):
        swept([MASKED], None)
