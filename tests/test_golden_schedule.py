"""Parity of beta and alpha_bar with the published implementation."""

from typing import Any

import golden_files as golden
import numpy as np
import pytest

from ddad_jax.schedule import alpha_bar_table, linear_betas

CASES = golden.cases("schedule")


@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_schedule(name: str, case: dict[str, Any]) -> None:
    arrays = golden.arrays(case["file"])
    betas = linear_betas(case["T"], case["beta_start"], case["beta_end"])
    np.testing.assert_allclose(betas, arrays["betas_f64"], rtol=1e-14)
    np.testing.assert_array_equal(betas.astype(np.float32), arrays["betas_f32"])

    alpha_bar = alpha_bar_table(betas)
    assert alpha_bar.dtype == np.float32
    np.testing.assert_allclose(alpha_bar, arrays["alpha_bar_f32"], rtol=1e-6)
    np.testing.assert_allclose(alpha_bar, arrays["alpha_bar_f64"], rtol=1e-6)
    if case.get("alpha_bar_f32_equals_float64_accumulated_then_rounded"):
        np.testing.assert_array_equal(alpha_bar, arrays["alpha_bar_f32"])


def test_the_folder_has_a_schedule() -> None:
    assert CASES
