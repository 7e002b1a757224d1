"""Parity of inversion with the published InversionAD."""

from typing import Any

import golden_methods_files as golden
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import nhwc

from ddad_jax.image import between_centres
from ddad_jax.inversion import Inverted, inverted, norms, surprise
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.timesteps import uniform
from ddad_jax.types import Array

METHOD = "inversionad"
CASES = golden.cases(METHOD, "states")
LIMIT = 5e-5
"""The published code recovers the noise from a clean picture, and divides by 0.01 at t = 0."""

each = pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])


def stored(case: dict[str, Any]) -> dict[str, np.ndarray]:
    return golden.arrays(METHOD, case["file"])


def found(case: dict[str, Any]) -> Inverted:
    """With the stand-in for a network that the case was made with."""
    matrix = jnp.asarray(stored(case)["M"])

    def eps_fn(x: Array, t: Array) -> Array:
        return 0.7 * jnp.tanh(x @ matrix.T) + 0.25 * x * (t / 1000)

    features = jnp.asarray(nhwc(stored(case)["features"]))
    grid = uniform(int(stored(case)["times"][-1]), case["parameters"]["steps"])
    return inverted(eps_fn, features, grid, alpha_bar=jnp.asarray(alpha_bar_table()))


@each
def test_times_are_those_of_the_code(case: dict[str, Any]) -> None:
    times = uniform(int(stored(case)["times"][-1]), case["parameters"]["steps"]).t[::-1]
    np.testing.assert_array_equal(times, stored(case)["times"])
    np.testing.assert_allclose(alpha_bar_table()[times], stored(case)["alpha_bar"], rtol=1e-4)


@each
def test_states_and_what_is_made_of_the_last(case: dict[str, Any]) -> None:
    inversion, file = found(case), case["file"]
    golden.held(METHOD, file, "states", jnp.moveaxis(inversion.states, -1, 2), LIMIT)
    np.testing.assert_array_equal(inversion.latent, inversion.states[-1])
    lengths = norms(inversion.latent)
    golden.held(METHOD, file, "l2", lengths, LIMIT)
    golden.held(METHOD, file, "map", between_centres(lengths[..., None], stored(case)["map"].shape[1:])[..., 0], LIMIT)
    spans, unlikely = lengths.max((1, 2)) - lengths.min((1, 2)), surprise(inversion.latent)
    golden.held(METHOD, file, "range", spans, LIMIT)
    golden.held(METHOD, file, "nll", unlikely)
    over_set = [(s - s.min()) / (s.max() - s.min()) for s in (spans, unlikely)]
    golden.held(METHOD, file, "score", over_set[0] + over_set[1], 1e-4)


def test_the_folder_has_cases() -> None:
    assert CASES
