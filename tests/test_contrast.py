"""Claims: what a probe is, that the contrast orders extractors as it should, and when adaptation stops."""

import numpy as np
import pytest

from ddad_jax.contrast import contrast, cut_paste_probes, stop_epoch
from ddad_jax.errors import InputError


def _textures(n: int = 6, size: int = 24) -> np.ndarray:
    return np.random.default_rng(8).integers(0, 256, (n, size, size, 3), np.uint8)


def test_cut_paste_changes_its_rectangle_alone_with_the_images_own_pixels() -> None:
    images = _textures()
    kept = images.copy()
    probes, masks = cut_paste_probes(images, seed=0)
    np.testing.assert_array_equal(images, kept)
    assert probes.dtype == np.uint8
    np.testing.assert_array_equal(probes[~masks], images[~masks])
    for image, probe, mask in zip(images, probes, masks, strict=True):
        rows, columns = np.where(mask.any(1))[0], np.where(mask.any(0))[0]
        corner, sides = (rows[0], columns[0]), (len(rows), len(columns))
        assert mask.sum() == sides[0] * sides[1]
        assert 0.005 < mask.mean() < 0.15
        assert (probe[mask] != image[mask]).any()
        patch = probe[corner[0] : corner[0] + sides[0], corner[1] : corner[1] + sides[1]]
        windows = np.lib.stride_tricks.sliding_window_view(image, (*sides, 3))
        assert (windows == patch).all((-3, -2, -1)).any()


def test_cut_paste_depends_on_image_and_seed_alone() -> None:
    images = _textures()
    probes, masks = cut_paste_probes(images, seed=0)
    turned_probes, turned_masks = cut_paste_probes(images[::-1], seed=0)
    np.testing.assert_array_equal(turned_probes[::-1], probes)
    np.testing.assert_array_equal(turned_masks[::-1], masks)
    assert (cut_paste_probes(images, seed=1)[1] != masks).any()


def test_cut_paste_rarely_pastes_background_on_background() -> None:
    images = np.zeros((30, 32, 32, 3), np.float32)
    images[:, 10:18, 10:18] = 1.0  # an object on 6 % of the area
    probes, _ = cut_paste_probes(images + np.linspace(0, 0.01, 30, dtype=np.float32)[:, None, None, None], seed=0)
    changed = [(np.abs(p - p[0, 0]) > 0.5).sum() != 8 * 8 * 3 for p in probes]
    assert np.mean(changed) > 0.8


def _maps(normal: float, probe: float, smear: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances up to ``normal`` where nothing was pasted, about ``probe`` where something was."""
    rng = np.random.default_rng(4)
    masks = np.zeros((5, 16, 16), bool)
    masks[:, 4:8, 4:8] = True
    d_normal = normal * rng.uniform(size=(7, 16, 16))
    d_probe = normal * rng.uniform(size=(5, 16, 16))
    d_probe[:, 4 - smear : 8 + smear, 4 - smear : 8 + smear] = probe * rng.uniform(
        0.5, 1.0, (5, 4 + 2 * smear, 4 + 2 * smear)
    )
    return d_normal.astype(np.float32), d_probe.astype(np.float32), masks


def test_contrast_is_the_average_precision_of_the_pasted_pixels() -> None:
    d_normal = np.array([[[0.1, 0.5]]], np.float32)
    d_probe, masks = np.array([[[0.9, 0.4]]], np.float32), np.array([[[True, True]]])
    assert contrast(d_normal, d_probe, masks) == pytest.approx(0.5 * 1.0 + 0.5 * 2 / 3)
    assert contrast(*_maps(0.2, 0.6)) == 1.0


def test_contrast_rewards_calm_normals_and_punishes_forgetting() -> None:
    now = contrast(*_maps(0.4, 0.6))
    assert contrast(*_maps(0.3, 0.6)) > now
    assert contrast(*_maps(0.4, 0.5)) < now
    assert contrast(*_maps(0.2, 0.2)) < now  # calmer, but forgetting goes faster
    assert contrast(*_maps(0.4, 0.6, smear=2)) < now


def test_contrast_is_blind_to_distances_that_shrink_alike() -> None:
    d_normal, d_probe, masks = _maps(0.4, 0.6)
    assert contrast(2.0**-8 * d_normal, 2.0**-8 * d_probe, masks) == contrast(d_normal, d_probe, masks)


def test_contrast_of_broken_distances_is_nan_and_of_nothing_is_refused() -> None:
    d_normal, d_probe, masks = _maps(0.4, 0.6)
    assert np.isnan(contrast(d_normal, np.full_like(d_probe, np.nan), masks))
    assert np.isnan(contrast(np.full_like(d_normal, np.inf), d_probe, masks))
    nothing = (d_normal[:0], d_probe, masks), (d_normal, d_probe[:0], masks[:0]), (d_normal, d_probe, masks & False)
    for broken in nothing:
        with pytest.raises(InputError, match="held-out normal images"):
            contrast(*broken)


@pytest.mark.parametrize(
    ("history", "patience", "expected"),
    [
        ([1.0], 3, (0, False)),
        ([1.0, 0.9, 0.8], 2, (0, True)),
        ([1.0, 1.2, 1.1, 1.15], 3, (1, False)),
        ([1.0, 1.2, 1.1, 1.15, 1.2], 3, (1, True)),
        ([1.0, 0.9, 1.3], 2, (2, False)),
        ([1.0, float("nan"), float("inf")], 2, (0, True)),
        ([float("nan"), float("nan")], 1, (0, True)),
    ],
)
def test_the_greatest_contrast_wins_and_epoch_zero_is_a_candidate(
    history: list[float], patience: int, expected: tuple[int, bool]
) -> None:
    assert stop_epoch(history, patience=patience) == expected


def test_stopping_needs_patience() -> None:
    with pytest.raises(InputError, match="patience 0"):
        stop_epoch([1.0], patience=0)
