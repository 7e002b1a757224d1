"""What a test set can tell: distances are exact, siblings are seen where recordings are known, labels set nothing."""

import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax import protocol_check
from ddad_jax.errors import InputError
from ddad_jax.metrics import auroc
from ddad_jax.protocol_check import ProtocolCheck, WholePictures


def plainly(queries: np.ndarray, bank: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    far = np.sqrt(np.square(queries[:, None] - bank[None]).sum(-1))
    return np.where(out, np.inf, far).min(1) if out is not None else far.min(1)


def rows(vectors: np.ndarray) -> WholePictures:
    """Of vectors [n, d] that are not standardised."""
    return WholePictures(vectors.astype(np.float32), np.zeros(1), np.ones(1))


def test_parts_of_a_picture_that_does_not_divide_are_even() -> None:
    """Of 7 x 9 places, each of 4 x 4 parts the mean of those it touches; all parts where there are fewer places."""
    rng = np.random.default_rng(0)
    x = rng.random((2, 7, 9, 3)).astype(np.float32)
    found = np.asarray(protocol_check.whole_picture(jnp.asarray(x)))
    assert found.shape == (2, 4, 4, 3)
    np.testing.assert_allclose(found[:, 0, 3], x[:, 0:2, 6:9].mean((1, 2)), rtol=1e-6)
    one = rng.random((2, 1, 1, 3)).astype(np.float32)
    np.testing.assert_allclose(protocol_check.whole_picture(jnp.asarray(one)), np.tile(one, (1, 4, 4, 1)))


def test_every_channel_counts_the_same() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((30, 4, 4, 5)) * np.array([1e-3, 1, 10, 1e4, 0]) + 7
    known = protocol_check.whole_pictures(vectors)
    of = known.rows.reshape(30, 4, 4, 5)
    np.testing.assert_allclose(of[..., :4].std((0, 1, 2)), 1, rtol=1e-4)
    assert np.isfinite(of).all() and not of[..., 4].any(), "a channel that never changes says nothing"


def test_distances_are_to_the_nearest_in_any_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    bank, queries = rng.standard_normal((23, 6)), rng.standard_normal((17, 6))
    queries[4] = bank[7]
    groups = [f"r{i % 5}" for i in range(23)]
    same = np.array(groups)[:, None] == np.array(groups)[None]
    for budget in (protocol_check.AT_ONCE, 50, 1):
        monkeypatch.setattr(protocol_check, "AT_ONCE", budget)
        found = np.concatenate(
            [protocol_check.novelty(rows(bank), [part[:, None, None]]) for part in (queries[:9], queries[9:])]
        )
        np.testing.assert_allclose(found, plainly(queries, bank), rtol=1e-4, atol=1e-6)
        assert found[4] == pytest.approx(0, abs=1e-6)
        np.testing.assert_allclose(
            protocol_check.distances_among(rows(bank)), plainly(bank, bank, np.eye(23, dtype=bool)), rtol=1e-4
        )
        np.testing.assert_allclose(
            protocol_check.distances_among(rows(bank), groups), plainly(bank, bank, same), rtol=1e-4
        )


def test_without_another_there_is_no_distance() -> None:
    rng = np.random.default_rng(0)
    assert np.isinf(protocol_check.distances_among(rows(rng.standard_normal((1, 3))))).all()
    assert np.isinf(protocol_check.distances_among(rows(rng.standard_normal((4, 3))), ["a"] * 4)).all()
    with pytest.raises(InputError, match="expected one picture or more"):
        protocol_check.whole_pictures(np.zeros((0, 4, 4, 3)))


def tiles(rng: np.random.Generator, n: int, exposures: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of n parts, each taken so often: vectors [n exposures, d] and the part of each."""
    parts = np.repeat(np.arange(n), exposures)
    return rng.standard_normal((n, 40))[parts] + 0.1 * rng.standard_normal((len(parts), 40)), parts


def measured(vectors: np.ndarray, parts: np.ndarray, learnt: np.ndarray, **known: bool) -> ProtocolCheck:
    bad = np.random.default_rng(9).standard_normal((60, 40)) * 1.1
    recordings = [str(part) for part in parts[learnt]]
    seen = rows(vectors[learnt])
    scores = protocol_check.novelty(seen, [np.concatenate([vectors[~learnt], bad])[:, None, None]])
    labels = np.r_[np.zeros((~learnt).sum()), np.ones(60)].astype(int)
    by_recording = protocol_check.distances_among(seen, recordings) if known.get("recordings", True) else None
    return protocol_check.protocol_check(scores, labels, protocol_check.distances_among(seen), by_recording, seed=0)


def test_siblings_in_training_are_seen_where_recordings_are_known() -> None:
    """As of MTD: six pictures a part, drawn one by one or part by part."""
    rng = np.random.default_rng(0)
    vectors, parts = tiles(rng, 60, 6)
    by_picture = rng.permutation(len(parts)) < 0.8 * len(parts)
    by_part = np.isin(parts, rng.permutation(60)[:48])
    leak, clean = measured(vectors, parts, by_picture), measured(vectors, parts, by_part)
    assert leak.leaking and leak.saturated and leak.near_recordings > 0.95
    assert not clean.leaking and not clean.saturated and clean.near_recordings < 0.3
    # What leaving out single pictures says: they are alike where the draw is by picture, siblings or not.
    assert 0.3 < leak.near_pictures < 0.7 and clean.near_pictures < 0.05
    blind = measured(vectors, parts, by_picture, recordings=False)
    assert np.isnan(blind.near_recordings) and not blind.leaking and blind.saturated


def test_independent_pictures_leak_nothing() -> None:
    rng = np.random.default_rng(0)
    vectors, parts = tiles(rng, 200, 1)
    found = measured(vectors, parts, rng.permutation(200) < 160)
    assert not found.leaking and found.near_recordings < 0.2 and 0.25 < found.near_pictures < 0.75


def test_a_few_pictures_prove_no_leak() -> None:
    scores, labels = np.array([0.1, 1.5, 2.0]), np.array([0, 0, 1])
    found = protocol_check.protocol_check(scores, labels, np.ones(9), np.ones(9), seed=0)
    assert found.near_recordings == 0.5 and not found.leaking, "one of two may be chance"
    assert found.know_nothing == auroc(scores, labels) == 1 and found.n_good == 2


def test_a_missing_kind_leaves_figures_out() -> None:
    alone = protocol_check.protocol_check(np.array([0.5, 2.0]), np.array([1, 1]), np.ones(3), None, seed=0)
    assert np.isnan([alone.know_nothing, alone.low, alone.near_pictures, alone.near_recordings]).all()
    assert not (alone.saturated or alone.doubtful or alone.leaking)
