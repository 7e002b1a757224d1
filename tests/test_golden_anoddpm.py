"""Parity of simplex noise with AnoDDPM's."""

from typing import Any

import golden_methods_files as golden
import jax
import numpy as np
import pytest
from golden_files import assert_close

from ddad_jax.simplex import published_field, published_order

METHOD = "anoddpm"
LIMIT = 1e-5
CASES = golden.cases(METHOD, "perm")

each = pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])


@each
def test_permutation(case: dict[str, Any]) -> None:
    of = golden.arrays(METHOD, case["file"])
    order = published_order(case["parameters"]["seed"])
    np.testing.assert_array_equal(order, of["perm"])
    # The published table has three numbers a gradient.
    np.testing.assert_array_equal(3 * (order % 24), of["perm_grad3"])


@each
def test_fields(case: dict[str, Any]) -> None:
    of, parameters = golden.arrays(METHOD, case["file"]), case["parameters"]
    how = {name: parameters[name] for name in ("octaves", "persistence")} | {"wavelength": parameters["frequency"]}
    times = [int(name.removeprefix("noise_t")) for name in of if name.startswith("noise_t")]
    size = tuple(parameters["shape"])
    one = {"octaves": 1, "wavelength": 8.0}
    fields, octave = jax.jit(
        lambda: (
            [published_field(of["perm"], size, t, **how) for t in times],
            published_field(of["perm"], size, 0, **one),
        )
    )()
    for t, field in zip(times, fields, strict=True):
        assert_close(field[..., 0], of[f"noise_t{t}"], 0.0, LIMIT)
    assert_close(octave[..., 0], of["one_octave"], 0.0, LIMIT)


def test_the_folder_has_cases() -> None:
    assert CASES
