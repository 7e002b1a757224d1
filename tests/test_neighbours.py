from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import cKDTree

from ddad_jax.errors import InputError
from ddad_jax.neighbours import nearest

RNG = np.random.default_rng(0)


def rows_of(n: int, d: int, scale: float = 1.0) -> np.ndarray:
    return (scale * RNG.standard_normal((n, d))).astype(np.float32)


@pytest.mark.parametrize(("m", "size", "d", "k"), [(50, 200, 8, 3), (7, 5, 3, 5), (1, 1, 4, 1), (30, 64, 1, 2)])
def test_neighbours_are_those_of_scipy_whatever_the_budget(m: int, size: int, d: int, k: int) -> None:
    queries, bank = rows_of(m, d), rows_of(size, d)
    distances, rows = cKDTree(bank.astype(np.float64)).query(queries.astype(np.float64), k=list(range(1, k + 1)))
    for budget in (2**22, 100, 1) if size == 200 else (100,):
        got = nearest(jnp.asarray(queries), jnp.asarray(bank), k, budget=budget)
        np.testing.assert_array_equal(got.rows, rows)
        np.testing.assert_allclose(got.distances, distances, rtol=1e-5, atol=1e-6)


def test_rows_far_from_zero_and_close_to_each_other_are_told_apart() -> None:
    """Of length 1000, 1e-3 apart: |x|^2 + |y|^2 - 2 x y in float32 knows their distance to about 0.3."""
    bank = (np.full((40, 16), 250.0) + 1e-3 * RNG.standard_normal((40, 16))).astype(np.float32)
    got = nearest(jnp.asarray(bank), jnp.asarray(bank), 2)
    distances, rows = cKDTree(bank.astype(np.float64)).query(bank.astype(np.float64), k=2)
    np.testing.assert_array_equal(got.rows, rows)
    np.testing.assert_allclose(got.distances, distances, rtol=1e-5)
    assert float(got.distances[:, 0].max()) == 0.0


def test_one_outlier_in_the_bank_costs_the_others_no_digits() -> None:
    bank = np.concatenate([rows_of(30, 8, 1e-2), np.ones((1, 8), np.float32)])
    got = nearest(jnp.asarray(bank[:30]), jnp.asarray(bank), 2)
    distances, _ = cKDTree(bank.astype(np.float64)).query(bank[:30].astype(np.float64), k=2)
    np.testing.assert_allclose(got.distances, distances, rtol=1e-4, atol=1e-6)


def test_of_equal_rows_the_lowest_is_nearest() -> None:
    bank = jnp.asarray(np.repeat(rows_of(4, 6), 3, 0))
    for budget in (2**22, 10):
        assert nearest(bank, bank, 3, budget=budget).rows.tolist() == [
            [i - i % 3 + j for j in range(3)] for i in range(12)
        ]


def test_other_queries_change_nothing() -> None:
    queries, bank = jnp.asarray(rows_of(33, 7)), jnp.asarray(rows_of(100, 7))
    together = nearest(queries, bank, 2, budget=500)
    order = RNG.permutation(33)
    shuffled = nearest(queries[order], bank, 2, budget=500)
    np.testing.assert_array_equal(shuffled.distances, np.asarray(together.distances)[order])
    np.testing.assert_array_equal(nearest(queries[5:6], bank, 2).distances, together.distances[5:6])


def sizes(jaxpr: Any) -> list[int]:
    """Of every array a program makes, in its loops too."""
    found = []
    for equation in jaxpr.eqns:
        found += [int(np.prod(v.aval.shape)) for v in equation.outvars]
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            found += sizes(inner) if hasattr(inner, "eqns") else []
    return found


@pytest.mark.parametrize("budget", [2**10, 2**14])
def test_no_more_distances_than_the_budget_are_held(budget: int) -> None:
    m, size, d = 3000, 2500, 2
    jaxpr = jax.make_jaxpr(lambda q, b: nearest(q, b, budget=budget))(jnp.zeros((m, d)), jnp.zeros((size, d)))
    found = sizes(jaxpr.jaxpr)
    assert budget / 2 <= max(s for s in found if s > 2 * size * d or s <= budget) and len(found) > 20
    # Queries and bank themselves, padded, and what comes out.
    assert max(found) <= max(budget, 2 * m * d)


def test_the_compiled_search_keeps_to_its_memory() -> None:
    queries, bank = jax.ShapeDtypeStruct((4096, 8), jnp.float32), jax.ShapeDtypeStruct((4096, 8), jnp.float32)
    run = jax.jit(lambda q, b: nearest(q, b, budget=2**16)).lower(queries, bank).compile()
    assert run.memory_analysis().temp_size_in_bytes < 4096 * 4096 * 4 / 16


def test_vmap_is_a_loop() -> None:
    queries, bank = jnp.asarray(np.stack([rows_of(9, 5) for _ in range(3)])), jnp.asarray(rows_of(20, 5))
    together = jax.vmap(lambda q: nearest(q, bank, 2))(queries)
    alone = [nearest(q, bank, 2) for q in queries]
    np.testing.assert_array_equal(together.rows, jnp.stack([near.rows for near in alone]))


@pytest.mark.parametrize(("k", "budget", "message"), [(0, 1, "k = 0"), (4, 1, r"k = 4.*1 to 3"), (1, 0, "budget = 0")])
def test_refusals(k: int, budget: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        nearest(jnp.zeros((2, 2)), jnp.zeros((3, 2)), k, budget=budget)
