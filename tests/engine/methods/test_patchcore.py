"""PatchCore behind the seam: banks of a bounded size, and cheap settings that equal their own evidence."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax import patchcore as core
from ddad_jax.engine.methods.patchcore import MOST_NEAR, Bank, Nearness, PatchCore

METHOD, NO_SEEDS = PatchCore(), jnp.zeros(6, jnp.uint32)
X = np.random.default_rng(0).standard_normal((5, 4, 4, 6)).astype(np.float32)


def batches(size: int = 2) -> Iterator[tuple[Any, np.ndarray]]:
    """Of X, the last one padded with pictures that do not count."""
    for first in range(0, len(X), size):
        rows = np.arange(first, first + size)
        valid = rows < len(X)
        yield jnp.where(valid[:, None, None, None], X[np.minimum(rows, len(X) - 1)], 100.0), valid


@pytest.mark.parametrize(("share", "most", "rows"), [(0.1, 4096, 8), (1.0, 4096, 80), (1.0, 12, 12), (1e-6, 9, 1)])
def test_a_bank_has_its_share_of_the_patches_and_no_more_than_allowed(share: float, most: int, rows: int) -> None:
    bank = METHOD.remember(Bank(share=share, most=most), X.shape, batches())["bank"]
    assert bank.shape == (rows, 6)
    assert {tuple(row) for row in bank.tolist()} <= {tuple(row) for row in X.reshape(-1, 6).tolist()}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_batches_and_padding_change_no_bank(size: int) -> None:
    expected = METHOD.remember(Bank(share=0.2), X.shape, batches(5))["bank"]
    np.testing.assert_array_equal(METHOD.remember(Bank(share=0.2), X.shape, batches(size))["bank"], expected)


@pytest.mark.parametrize("drawn", [{"start": "starts"}, {"projection": 2}])
def test_what_is_drawn_is_drawn_by_the_seed(drawn: dict[str, Any]) -> None:
    def bank(seed: int) -> Any:
        return METHOD.remember(Bank(share=0.1, seed=seed, **drawn), X.shape, batches())["bank"].tolist()

    assert bank(0) == bank(0) and len({str(bank(seed)) for seed in range(4)}) > 1


@pytest.mark.parametrize("cheap", [Nearness(), Nearness(neighbours=3), Nearness(support=5), Nearness(2, 3, True, 1.0)])
def test_cheap_settings_of_kept_evidence_are_the_detector_of_the_library(cheap: Nearness) -> None:
    memory = {"bank": jnp.asarray(X[0].reshape(-1, 6))}
    evidence = METHOD.compare(Bank(), memory, jnp.asarray(X[1:]), NO_SEEDS)
    assert evidence.distances.shape[-1] == MOST_NEAR
    how: Any = {"k": cheap.neighbours, "support": cheap.support, "squared": cheap.squared, "sigma": cheap.sigma}
    expected = core.patchcore_detect(memory["bank"], jnp.asarray(X[1:]), size=(16, 16), **how)
    for got, wanted in zip(METHOD.judge(evidence, cheap, (16, 16)), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_a_bank_of_few_rows_is_all_there_is_to_compare_with() -> None:
    evidence = METHOD.compare(Bank(), {"bank": jnp.asarray(X[0].reshape(-1, 6)[:2])}, jnp.asarray(X[1:]), NO_SEEDS)
    maps, scores = METHOD.judge(evidence, Nearness(neighbours=9, support=9), (8, 8))
    assert evidence.distances.shape[-1] == 2 and np.isfinite(maps).all() and np.isfinite(scores).all()


@pytest.mark.parametrize(("width", "d"), [(0, 5), (7, 7)])
def test_descriptors_are_means_or_pooled_as_published(width: int, d: int) -> None:
    features = {"layer2": jnp.ones((1, 4, 4, 2)), "layer3": jnp.ones((1, 2, 2, 3))}
    assert METHOD.embed(Bank(width=width), features).shape == (1, 4, 4, d)
