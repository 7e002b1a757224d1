"""L1. All metrics of one set of anomaly maps, and in words what could not be measured (host NumPy)."""

from typing import Any

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.metrics.curve import area_up_to, checked_labels, curve_of
from ddad_jax.metrics.ranking import ranking_of
from ddad_jax.metrics.region_overlap import LIMITS, Regions, label_regions, pixel_curve

IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1_max")
_AUPRO = {f"aupro_{round(100 * limit):02d}": limit for limit in LIMITS}
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", *_AUPRO)
METRICS = IMAGE_METRICS + PIXEL_METRICS


def evaluate_maps(
    maps: Any, scores: Any, labels: Any, masks: Any, has_mask: Any, *, regions: Regions | None = None
) -> dict[str, float]:
    """Image and pixel metrics, named and ordered as in ``METRICS``; NaN where undefined (see ``undefined_metrics``).

    Pixel metrics see the images whose mask is known, good ones included; image metrics see all.

    Args:
        maps: finite anomaly maps [n, h, w], larger = more anomalous.
        scores: finite image scores [n].
        labels: [n], 1 = anomalous.
        masks: bool [n, h, w]; ignored where ``has_mask`` is False.
        has_mask: bool [n]; good images have a known, empty mask.
        regions: ``label_regions(masks, has_mask)`` made once, when many maps share the masks.

    Raises InputError for NaN or infinite maps or scores, other labels, shapes that differ, or a good image
    whose mask shows a defect.
    """
    of_scores = curve_of(scores, labels)
    if regions is None:
        regions = label_regions(*_checked(labels, masks, has_mask)[1:])
    if regions.shape[:1] != np.shape(scores):
        raise InputError(f"scores: expected {regions.shape[0]}, one a mask, got shape {np.shape(scores)}")
    of_pixels = pixel_curve(maps, regions)
    image, pixel = ranking_of(of_scores), ranking_of(of_pixels)
    return {
        "image_auroc": image.auroc,
        "image_ap": image.ap,
        "image_f1_max": image.max_f1,
        "pixel_auroc": pixel.auroc,
        "pixel_ap": pixel.ap,
        **{name: area_up_to(of_pixels, limit)[0] for name, limit in _AUPRO.items()},
    }


def undefined_metrics(labels: Any, masks: Any, has_mask: Any) -> list[str]:
    """Sentences that say which metrics of this test set are undefined or partial, and why; often none.

    Args:
        labels: [n], 1 = anomalous.
        masks: bool [n, h, w].
        has_mask: bool [n].

    Raises InputError as ``evaluate_maps`` does.
    """
    anomalous, masks, known = _checked(labels, masks, has_mask)
    n, n_bad = anomalous.size, int(anomalous.sum())
    image, pixel = ", ".join(IMAGE_METRICS), ", ".join(PIXEL_METRICS)
    drawn = masks.any(axis=(1, 2))
    said = []
    if not n:
        return [f"The test set is empty: {image}, {pixel} are undefined."]
    if not n_bad:
        return [f"The test set has no defect image ({n} good ones): {image}, {pixel} are undefined."]
    if n_bad == n:
        said.append(f"The test set has no good image ({n} defect ones): {image} are undefined.")
    if left_out := int((anomalous & ~known).sum()):
        said.append(
            f"{left_out} of {n_bad} defect images have no mask: they are left out of {pixel}; image metrics use them."
        )
    if empty := int((anomalous & known & ~drawn).sum()):
        said.append(f"{empty} of {n_bad} defect images have an empty mask: all their pixels count as normal.")
    if left_good := int((~anomalous & ~known).sum()):
        said.append(f"{left_good} good images are marked as without mask: they are left out of {pixel}.")
    if not (known & drawn).any():
        said.append(f"No defect pixel is known: {pixel} are undefined.")
    elif masks[known].all():
        said.append(f"Every pixel with a known mask is a defect: {pixel} are undefined.")
    return said


def _checked(labels: Any, masks: Any, has_mask: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    masks, known = np.asarray(masks), np.asarray(has_mask, bool)
    if masks.ndim != 3 or masks.dtype != bool:
        raise InputError(f"masks: expected bool [n, h, w], got {masks.dtype} {masks.shape}")
    if known.shape != masks.shape[:1]:
        raise InputError(f"has_mask: expected one flag for each of {masks.shape[0]} masks, got {known.shape}")
    anomalous = checked_labels(labels, masks.shape[:1])
    contradiction = ~anomalous & known & masks.any(axis=(1, 2))
    if contradiction.any():
        raise InputError(
            f"image {int(np.argmax(contradiction))} of {masks.shape[0]} is labelled good but its mask "
            "shows a defect; mend the label or the mask"
        )
    return anomalous, masks, known
