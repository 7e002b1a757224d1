"""Ranked on the device, pixels have the operating points that the host counts, ties, zeros, unknown ones included."""

import numpy as np
import pytest
from metrics.test_region_overlap import draw

from ddad_jax.metrics import label_regions
from ddad_jax.metrics.device_curve import MOST_PIXELS, ranks_on_device
from ddad_jax.metrics.region_overlap import pixel_curve


@pytest.mark.parametrize("levels", [None, 5], ids=["all different", "ties"])
@pytest.mark.parametrize("known", [None, [True, False, True, True]], ids=["all known", "one unknown"])
def test_the_whole_numbers_are_equal(levels: int | None, known: list[bool] | None) -> None:
    maps, masks = draw(3, levels)
    maps = maps.astype(np.float32)
    maps[0, :2], maps[1, :2] = 0.0, -0.0
    regions = label_regions(masks, known)
    host, device = (pixel_curve(maps, regions, device=on) for on in (False, True))
    for name in ("threshold", "tp", "fp", "fp_above", "n_pos", "n_neg"):
        np.testing.assert_array_equal(getattr(device, name), getattr(host, name), name)
    np.testing.assert_allclose(device.coverage, host.coverage, rtol=1e-12)


def test_without_a_defect_there_is_no_threshold() -> None:
    maps, masks = np.ones((1, 4, 4), np.float32), np.zeros((1, 4, 4), bool)
    curve = pixel_curve(maps, label_regions(masks), device=True)
    assert curve.threshold.size == 0 and curve.n_neg == 16


def test_a_cpu_ranks_on_the_host_and_so_does_what_would_fill_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not ranks_on_device(100)
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert ranks_on_device(100) and not ranks_on_device(MOST_PIXELS + 1)
