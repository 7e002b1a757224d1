"""Parity of ``resilience`` with the published Score-PR, whose noise grows where ours is mixed in."""

import math
from typing import Any

import golden_methods_files as golden
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import nhwc

from ddad_jax.distance import patch_average
from ddad_jax.image import between_centres
from ddad_jax.resilience import resilience
from ddad_jax.types import Array

METHOD = "score_pr"
CASES = golden.cases(METHOD, "analytic_map")
LIMIT = 2e-4
"""The residual is a difference of nearly equal numbers."""

each = pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])


def maps(case: dict[str, Any], draws: slice) -> Array:
    """With the score that the case was made with, of x + std noise: our x_t / sqrt(a), where a = 1 / (1 + std^2)."""
    stored, parameters = golden.arrays(METHOD, case["file"]), case["parameters"]
    log_sigma = math.log(parameters["sigma"])
    variance = math.expm1(2 * parameters["t"] * log_sigma) / (2 * log_sigma)
    alpha_bar = jnp.array([1 / (1 + variance)], jnp.float32)

    def eps_fn(x_t: Array, t: Array) -> Array:
        z = x_t / jnp.sqrt(alpha_bar[t])
        return math.sqrt(variance) * (z - 0.3 * jnp.sin(3 * z)) / (variance + 0.25)

    noise = jnp.stack([jnp.asarray(nhwc(n)) for n in stored["noise"][draws]])
    return variance * resilience(eps_fn, jnp.asarray(nhwc(stored["x"])), 0, noise, alpha_bar=alpha_bar)


@each
def test_maps_of_one_draw_and_of_all(case: dict[str, Any]) -> None:
    repeats = case["parameters"]["repeats"]
    each_draw = jnp.stack([maps(case, slice(i, i + 1)) for i in range(repeats)])[:, :, None]
    golden.held(METHOD, case["file"], "analytic_per_repeat", each_draw, LIMIT)
    golden.held(METHOD, case["file"], "analytic_map", maps(case, slice(None))[:, None], LIMIT)


@each
def test_smoothed_maps_and_scores(case: dict[str, Any]) -> None:
    size = case["parameters"]["size"]
    smoothed = patch_average(between_centres(maps(case, slice(None))[..., None], (size, size)), 31)[..., 0]
    golden.held(METHOD, case["file"], "analytic_smoothed", smoothed[:, None], LIMIT)
    golden.held(METHOD, case["file"], "analytic_score", np.asarray(smoothed).max((1, 2)), LIMIT)


def test_the_folder_has_cases() -> None:
    assert CASES
