"""RIAD's settings, and what its training changes."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax.engine.methods.riad import RIAD, Masks
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.errors import InputError

METHOD = METHODS["riad"]


def test_a_step_learns_parameters_and_moves_statistics(tmp_path: Path, key: jax.Array) -> None:
    assert isinstance(METHOD, RIAD)
    method, c = METHOD, tiny_runs.config(tmp_path, "riad")
    x = jax.random.uniform(key, (2, 32, 32, 3), minval=-1.0, maxval=1.0)

    @jax.jit
    def step(key: jax.Array) -> Any:
        variables = method.init(c, "train", key)

        def loss(variables: Any) -> Any:
            return method.loss(c, "train", variables, {}, x, key)

        (value, (terms, moved)), gradient = jax.value_and_grad(loss, has_aux=True)(variables)
        return value, terms, moved["batch_stats"], gradient, variables["batch_stats"]

    value, terms, moved, gradient, before = step(key)
    np.testing.assert_allclose(value, sum(terms.values()), rtol=1e-5)
    assert all(jax.tree.leaves(jax.tree.map(lambda g: bool(jnp.isfinite(g).all()), gradient)))
    assert np.abs(gradient["params"]["conv_final_0"]["kernel"]).max() > 0
    assert not any(jax.tree.leaves(jax.tree.map(lambda g: bool(g.any()), gradient["batch_stats"])))
    assert np.abs(moved["down1"]["bn1"]["mean"] - before["down1"]["bn1"]["mean"]).max() > 0


def test_the_masks_are_those_of_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the picture or its batch; other seeds are other results, which a row says."""
    tiny_runs.small_inpainting(monkeypatch.setattr)
    assert isinstance(METHOD, RIAD)
    method, c = METHOD, tiny_runs.config(tmp_path, "riad")
    networks = {"train": method.init(c, "train", jax.random.key(0))}
    x = jnp.tile(jnp.linspace(-1, 1, 32)[None, :, None, None], (2, 1, 32, 3))
    once, other = (
        jax.jit(functools.partial(method.compare, c, Masks(seed=seed)))(networks, x, jnp.arange(2, dtype=jnp.uint32))
        for seed in (0, 1)
    )
    np.testing.assert_allclose(once[0], once[1], atol=1e-6)
    assert np.abs(once - other).max() > 0.01
    assert method.random(Masks())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model__cells": (2, 5)}, "--config.model.cells=(2, 5): expected divisors of data.size = 32"),
        ({"model__cells": ()}, "--config.model.cells=(): expected at least one"),
        ({"model__widths": (2,) * 7}, "--config.data.size=32: expected a multiple of 64 for 7 levels (model.widths)"),
        ({"model__scales": 5}, "--config.model.scales=5: expected fewer: the last one of 32 px needs 3 pixels"),
    ],
)
def test_settings_that_do_not_go_together(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        tiny_runs.config(tmp_path, "riad", **wrong)
    assert message in str(error.value)
