"""Batches: one shape, every picture, repeatable from numbers alone."""

import numpy as np
import pytest

from ddad_jax.data.batches import batch_indices, epoch_order, image_seed, padded_batches
from ddad_jax.errors import InputError

SIZES = [(1, 1), (1, 8), (3, 8), (8, 8), (9, 8), (31, 4), (32, 4), (33, 32)]


@pytest.mark.parametrize(("n", "batch_size"), SIZES)
def test_padded_batches_cover_every_picture_once_in_order(n: int, batch_size: int) -> None:
    batches = list(padded_batches(n, batch_size))
    assert all(i.shape == v.shape == (batch_size,) for i, v in batches)
    assert np.concatenate([i[v] for i, v in batches]).tolist() == list(range(n))
    assert all(i.min() >= 0 and i.max() < n for i, _ in batches)
    assert len(batches) == -(-n // batch_size)


def test_no_pictures_no_batches() -> None:
    assert list(padded_batches(0, 4)) == []


@pytest.mark.parametrize(("n", "batch_size"), SIZES)
def test_any_n_steps_use_every_picture_equally(n: int, batch_size: int) -> None:
    steps = [batch_indices(s, n, batch_size, seed=5) for s in range(n)]
    assert all(b.shape == (batch_size,) and b.dtype == np.int32 for b in steps)
    assert np.bincount(np.concatenate(steps), minlength=n).tolist() == [batch_size] * n


@pytest.mark.parametrize(("n", "batch_size"), SIZES)
def test_the_stream_is_a_row_of_permutations(n: int, batch_size: int) -> None:
    stream = np.concatenate([batch_indices(s, n, batch_size, seed=1) for s in range(3 * n)])
    rows = stream.reshape(-1, n)
    assert (np.sort(rows, axis=1) == np.arange(n)).all()
    if n > 8:
        assert (rows[0] != rows[1]).any()


def test_a_batch_is_a_function_of_seed_and_step_alone() -> None:
    forwards = [batch_indices(s, 31, 8, seed=2) for s in range(20)]
    backwards = [batch_indices(s, 31, 8, seed=2) for s in reversed(range(20))][::-1]
    np.testing.assert_array_equal(forwards, backwards)
    other = [batch_indices(s, 31, 8, seed=3) for s in range(20)]
    assert (np.array(forwards) != np.array(other)).any()
    assert batch_indices(10**9, 31, 8, seed=2).max() < 31


def test_an_epoch_drops_its_partial_batch_and_each_epoch_drops_others() -> None:
    epochs = [epoch_order(31, 8, e, seed=0) for e in range(40)]
    assert all(e.shape == (3, 8) and len(np.unique(e)) == 24 for e in epochs)
    assert len(np.unique(epochs)) == 31
    np.testing.assert_array_equal(epochs[7], epoch_order(31, 8, 7, seed=0))


def test_an_epoch_of_fewer_pictures_than_a_batch_still_trains_unless_told_otherwise() -> None:
    batches = epoch_order(3, 8, epoch=0, seed=0)
    assert batches.shape == (1, 8)
    assert np.bincount(batches[0], minlength=3).min() >= 2
    assert epoch_order(3, 8, 0, 0, wrap=False).shape == (0, 8)
    np.testing.assert_array_equal(epoch_order(31, 8, 1, 0), epoch_order(31, 8, 1, 0, wrap=False))


def test_impossible_requests_are_refused() -> None:
    for bad in (0, -3):
        with pytest.raises(InputError, match=f"batch size {bad}"):
            list(padded_batches(4, bad))
        with pytest.raises(InputError, match=f"batch size {bad}"):
            batch_indices(0, 4, bad, 0)
        with pytest.raises(InputError, match=f"batch size {bad}"):
            epoch_order(4, bad, 0, 0)
    with pytest.raises(InputError, match="no training images"):
        batch_indices(0, 0, 4, 0)
    with pytest.raises(InputError, match="no training images"):
        epoch_order(0, 4, 0, 0)


def test_image_seed_depends_on_content_only() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), np.uint8)
    seeds = [image_seed(i) for i in images]
    assert all(s.dtype == np.uint32 for s in seeds) and len(set(seeds)) == 50
    assert [image_seed(i) for i in images[::-1]] == seeds[::-1]
    assert image_seed(np.asfortranarray(images[3])) == seeds[3]
