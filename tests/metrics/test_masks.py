"""The one rule for ground truth, and how it differs from the published two."""

import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.metrics import binarise


def test_above_half_of_full_scale_is_defect():
    assert binarise(np.array([0, 127, 128, 255], np.uint8)).tolist() == [False, False, True, True]
    assert binarise(np.array([0, 32767, 32768, 65535], np.uint16)).tolist() == [False, False, True, True]
    assert binarise(np.array([0.0, 0.5, 0.51, 1.0])).tolist() == [False, False, True, True]
    assert binarise(np.array([0, 1], np.uint8), full_scale=1).tolist() == [False, True]
    drawn = np.array([True, False])
    assert binarise(drawn) is drawn


def test_lies_between_the_two_published_ground_truths():
    edge = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    assert (edge == 1).sum() < binarise(edge).sum() < (edge > 0).sum()


def test_a_straight_edge_keeps_its_place_when_halved():
    mask = np.zeros((8, 8))
    mask[:, 3:] = 1
    halved = mask.reshape(8, 4, 2).mean(axis=2)
    assert binarise(halved).sum(axis=1).tolist() == [2] * 8  # 2.5 of 4: the half-covered pixel stays normal


@pytest.mark.parametrize("bad", [[-0.1, 1.0], [0.0, 255.0], [0.0, np.nan]])
def test_values_outside_the_scale_are_refused(bad):
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        binarise(np.array(bad))
