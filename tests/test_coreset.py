from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from ddad_jax.coreset import (
    PADDING,
    coreset_size,
    drawn_evenly,
    farthest,
    from_all,
    from_middle,
    from_starts,
    projected,
    random_projection,
)
from ddad_jax.errors import InputError
from ddad_jax.types import Array

RNG = np.random.default_rng(0)


def rows_of(n: int, d: int) -> np.ndarray:
    return RNG.standard_normal((n, d)).astype(np.float32)


def by_brute_force(rows: np.ndarray, anchor: Any, n: int) -> list[int]:
    rows, left, chosen = rows.astype(np.float64), np.array(anchor, np.float64), []
    for _ in range(n):
        i = int(left.argmax())
        chosen.append(i)
        left = np.minimum(left, np.linalg.norm(rows - rows[i], axis=1))
        left[i] = -1
    return chosen


@pytest.mark.parametrize("shape", [(60, 5), (41, 16), (33, 1)])
@pytest.mark.parametrize("anchor", ["all", "middle", "starts"])
def test_the_choice_equals_a_loop(shape: tuple[int, int], anchor: str) -> None:
    rows = rows_of(*shape)
    starts = jnp.array([3, 30, 7])
    begin: Array = {"all": from_all, "middle": from_middle, "starts": lambda r: from_starts(r, starts)}[anchor](
        jnp.asarray(rows)
    )
    got = farthest(jnp.asarray(rows), begin, 20)
    assert got.rows.tolist() == by_brute_force(rows, begin, 20)


def test_anchors_are_their_formulas() -> None:
    rows = rows_of(50, 6) + 5.0
    between = cdist(rows.astype(np.float64), rows.astype(np.float64))
    np.testing.assert_allclose(from_all(jnp.asarray(rows)), np.linalg.norm(between, axis=1), rtol=1e-5)
    starts = np.array([4, 4, 9])
    np.testing.assert_allclose(
        from_starts(jnp.asarray(rows), jnp.asarray(starts)), between[:, starts].mean(1), rtol=1e-5
    )
    middle = np.linalg.norm(rows - rows.mean(0), axis=1).argmin()
    assert int(farthest(jnp.asarray(rows), from_middle(jnp.asarray(rows)), 1).rows[0]) == middle


def test_radii_are_distances_to_the_rows_before_and_cover_all() -> None:
    """Greedy k-centre: no row is farther from the choice than the last radius, which is at most twice the best."""
    rows = rows_of(80, 4)
    rows_j = jnp.asarray(rows)
    chosen, radius = (np.asarray(x) for x in farthest(rows_j, from_middle(rows_j), 12))
    for k in range(1, 12):
        np.testing.assert_allclose(radius[k], cdist(rows[chosen[k : k + 1]], rows[chosen[:k]]).min(), rtol=1e-5)
    assert (np.diff(radius[1:]) <= 1e-6).all()
    assert cdist(rows, rows[chosen]).min(1).max() <= radius[-1] + 1e-6


def test_the_order_of_rows_and_padding_do_not_change_what_is_chosen() -> None:
    rows = rows_of(70, 9)
    order = RNG.permutation(70)
    plain = jnp.asarray(rows)
    chosen = rows[np.asarray(farthest(plain, from_middle(plain), 15).rows)]
    shuffled = jnp.asarray(rows[order])
    np.testing.assert_array_equal(rows[order][np.asarray(farthest(shuffled, from_middle(shuffled), 15).rows)], chosen)
    padded = jnp.concatenate([plain, jnp.full((6, 9), 100.0)])
    anchor = jnp.concatenate([from_middle(plain), jnp.full(6, PADDING)])
    np.testing.assert_array_equal(np.asarray(padded)[np.asarray(farthest(padded, anchor, 15).rows)], chosen)


def test_a_row_is_chosen_once_even_where_all_are_the_same() -> None:
    rows = jnp.ones((9, 3))
    assert sorted(farthest(rows, from_middle(rows), 9).rows.tolist()) == list(range(9))
    twice = jnp.asarray(np.repeat(rows_of(5, 3), 4, 0))
    first = farthest(twice, from_all(twice), 5).rows
    assert sorted(np.asarray(first) // 4) == [0, 1, 2, 3, 4], "different rows come first"


def test_near_duplicates_far_from_zero_stay_apart() -> None:
    """By |x|^2 + |y|^2 - 2 x y a distance of 0.01 would drown at a length of 1000."""
    rows = np.full((4, 16), 250.0, np.float32)
    rows[1, 0] += 0.01
    rows[2, 0] += 0.02
    rows[3, 0] += 0.5
    got = farthest(jnp.asarray(rows), jnp.array([1.0, 0.5, 0.5, 0.5]), 4)
    assert got.rows.tolist() == [0, 3, 2, 1]
    np.testing.assert_allclose(got.radius[1:], [0.5, 0.02, 0.01], rtol=2e-2)


def test_one_program_for_a_shape_and_vmap_is_a_loop() -> None:
    sets = jnp.asarray(np.stack([rows_of(40, 6) for _ in range(3)]))
    anchors = jax.vmap(from_all)(sets)
    farthest.clear_cache()
    alone = [farthest(rows, anchor, 7) for rows, anchor in zip(sets, anchors, strict=True)]
    assert farthest._cache_size() == 1
    together = jax.vmap(lambda rows, anchor: farthest(rows, anchor, 7))(sets, anchors)
    np.testing.assert_array_equal(together.rows, jnp.stack([chosen.rows for chosen in alone]))


def test_memory_beside_the_rows_is_one_number_a_row() -> None:
    rows = jnp.zeros((4096, 64))
    stats = farthest.lower(rows, jnp.zeros(4096), 512).compile().memory_analysis()
    # The rows once more, in lanes, and a few vectors; never rows by chosen.
    assert stats.temp_size_in_bytes < 2 * rows.nbytes < 4096 * 512 * 4


def test_a_projection_keeps_distances_in_order() -> None:
    rows = jnp.asarray(rows_of(40, 200) * np.linspace(0.1, 3, 40)[:, None].astype(np.float32))
    matrix = random_projection(jax.random.key(0), 200, 64)
    assert matrix.shape == (200, 64) and float(jnp.abs(matrix).max()) <= 200**-0.5
    whole, small = (cdist(x, x)[np.triu_indices(40, 1)] for x in map(np.asarray, (rows, projected(rows, matrix))))
    assert np.corrcoef(whole, small)[0, 1] > 0.95
    np.testing.assert_array_equal(matrix, random_projection(jax.random.key(0), 200, 64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: farthest(jnp.zeros((3, 2)), jnp.zeros(3), 4), r"n = 4.*1 to 3"),
        (lambda: farthest(jnp.zeros((3, 2)), jnp.zeros(3), 0), r"n = 0"),
        (lambda: coreset_size(100, 0.0, 10), r"share = 0.0"),
        (lambda: coreset_size(100, 1.5, 10), r"share = 1.5"),
        (lambda: coreset_size(100, 0.5, 0), r"most = 0"),
        (lambda: random_projection(jax.random.key(0), 4, 0), r"projection = 0"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_the_published_share_is_rounded_down_and_never_to_nothing() -> None:
    assert [coreset_size(n, 0.1, 10**6) for n in (163_856, 19, 5)] == [16_385, 1, 1]
    assert coreset_size(10, 1 - 0.9, 100) == 1 and coreset_size(100, 0.29, 100) == 29
    assert coreset_size(163_856, 0.1, 4096) == 4096


@pytest.mark.parametrize("share", [1.0, 0.4, 0.01])
def test_an_even_draw_is_of_every_picture_and_of_every_place_alike(share: float) -> None:
    pictures, places = 600, 1024
    drawn = drawn_evenly(np.arange(pictures * places), share).reshape(pictures, places)
    assert abs(drawn.sum() - share * drawn.size) <= 16
    for axis in (0, 1):
        counts = drawn.sum(axis)
        assert abs(counts - share * drawn.shape[axis]).max() <= 8
