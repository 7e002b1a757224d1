"""PaDiM behind the seam: Gaussians of padded batches, of channels that are drawn, and of a bounded size."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax import padim as core
from ddad_jax.embedding import channel_choice, patch_descriptors, position_embedding
from ddad_jax.engine.methods.padim import Blur, Gaussians, PaDiM
from ddad_jax.errors import InputError

METHOD, NO_SEEDS = PaDiM(), jnp.zeros(7, jnp.uint32)
X = np.random.default_rng(0).standard_normal((7, 3, 3, 4)).astype(np.float32)
FEATURES = {
    name: jnp.asarray(np.random.default_rng(i).standard_normal((2, 8 // 2**i, 8 // 2**i, 3 + i)), jnp.float32)
    for i, name in enumerate(("layer1", "layer2", "layer3"))
}


def batches(size: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Of X, the last one padded with pictures that do not count."""
    for first in range(0, len(X), size):
        rows = np.arange(first, first + size)
        valid = rows < len(X)
        yield jnp.where(valid[:, None, None, None], X[np.minimum(rows, len(X) - 1)], 100.0), valid


@pytest.mark.parametrize("size", [1, 3, 7, 16])
@pytest.mark.parametrize("how", [{}, {"share": 0.5}, {"regularisation": 0.01}])
def test_the_gaussians_are_those_of_the_library_whatever_the_batches(size: int, how: dict[str, Any]) -> None:
    expected = core.fit_padim([X], **how)
    found = METHOD.remember(Gaussians(**how), X.shape, batches(size))
    for name in ("mean", "whiten"):
        np.testing.assert_allclose(found[name], getattr(expected, name), rtol=1e-3, atol=1e-4)


def test_a_map_is_that_of_the_library_and_its_largest_value_the_score() -> None:
    memory = {name: jnp.asarray(a) for name, a in METHOD.remember(Gaussians(), X.shape, batches(7)).items()}
    maps, own = METHOD.judge(METHOD.compare(Gaussians(), memory, jnp.asarray(X), NO_SEEDS), Blur(sigma=1.0), (12, 12))
    expected, _ = core.padim_detect(core.Gaussian(**memory), jnp.asarray(X), size=(12, 12), sigma=1.0)
    np.testing.assert_allclose(maps, expected, rtol=1e-5)
    assert own is None


def test_positions_are_embedded_as_published_or_with_their_neighbourhood() -> None:
    layers, chosen = ("layer1", "layer2", "layer3"), channel_choice(12, 5, seed=1024)
    published = METHOD.embed(Gaussians(layers, "positions", channels=5, seed=1024), FEATURES)
    np.testing.assert_array_equal(published, position_embedding(FEATURES, layers, chosen.tolist()))
    whole = patch_descriptors(FEATURES, ("layer2", "layer3"), patch=3)
    np.testing.assert_array_equal(METHOD.embed(Gaussians(), FEATURES), whole)
    some = METHOD.embed(Gaussians(channels=4, seed=7), FEATURES)
    np.testing.assert_array_equal(some, whole[..., channel_choice(9, 4, seed=7)])


def test_what_no_machine_holds_and_channels_that_are_not_there_are_refused_by_their_flag() -> None:
    with pytest.raises(InputError, match=r"--config\.padim\.channels=0: .*64 x 64 positions in 1792 channels take"):
        METHOD.remember(Gaussians(), (9, 64, 64, 1792), iter(()))
    with pytest.raises(InputError, match=r"--config\.padim\.channels=10: .*expected 1 to 9"):
        METHOD.embed(Gaussians(channels=10), FEATURES)
