"""Parity of the metrics with the stored numbers of the published implementation and of exact brute force."""

import math
from typing import Any

import golden_files as golden
import numpy as np
import pytest

from ddad_jax.metrics import (
    aupro,
    label_regions,
    ranking,
    reference_pixel_auroc,
    reference_pro,
    youden_threshold,
)

# One entry a set of maps: the case, and the prefix its results carry.
SETS = [
    pytest.param(case, key.removesuffix("maps"), id=f"{name}:{key}")
    for name, case in golden.cases("metrics")
    for key in sorted(golden.arrays(case["file"]))
    if key == "maps" or key.endswith("_maps")
]


def stored(case: dict[str, Any], prefix: str) -> dict[str, np.ndarray]:
    """The results of one set without their prefix; masks and labels are shared by all sets."""
    arrays = golden.arrays(case["file"])
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)} | {
        "masks": arrays["masks"].astype(bool),
        "labels": arrays["labels"],
    }


def assert_scalar(found: float, expected: np.ndarray, absolute: float = 1e-9) -> None:
    assert math.isclose(found, float(expected), rel_tol=0, abs_tol=absolute), (found, float(expected))


@pytest.mark.parametrize(("case", "prefix"), SETS)
def test_rankings(case, prefix):
    s = stored(case, prefix)
    np.testing.assert_array_equal(s["maps"].max(axis=(1, 2)), s["image_scores"])
    for level, scores, labels in (
        ("image", s["image_scores"], s["labels"]),
        ("pixel", s["maps"], s["masks"]),
    ):
        found = ranking(scores, labels)
        assert_scalar(found.auroc, s[f"{level}_auroc"])
        assert_scalar(found.ap, s[f"{level}_ap"])
        assert_scalar(found.max_f1, s[f"{level}_max_f1"])
        assert_scalar(found.f1_threshold, s[f"{level}_f1_threshold"])


@pytest.mark.parametrize(("case", "prefix"), SETS)
def test_exact_aupro(case, prefix):
    s, limits = stored(case, prefix), case["limits"]
    regions = label_regions(s["masks"])
    assert regions.size.size == int(s["n_regions"])
    found = aupro(s["maps"], regions, limits)
    for limit in limits:
        suffix = str(float(limit)).replace(".", "p")
        assert_scalar(found.area[limit], s[f"aupro_{suffix}"])
        if f"pro_at_{suffix}" in s:
            assert_scalar(found.pro_at[limit], s[f"pro_at_{suffix}"])


@pytest.mark.parametrize(("case", "prefix"), SETS)
def test_published_metrics(case, prefix):
    s = stored(case, prefix)
    assert_scalar(reference_pixel_auroc(s["maps"], s["masks"]), s["ref_pixel_auroc"], 1e-6)
    assert_scalar(youden_threshold(s["image_scores"], s["labels"]), s["youden_threshold"])
    found = reference_pro(s["maps"], s["masks"])
    assert_scalar(found.pro, s["ref_pro"], 1e-4)
    np.testing.assert_allclose(found.fpr, s["ref_pro_fpr"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.overlap, s["ref_pro_pro"], rtol=0, atol=1e-9)
