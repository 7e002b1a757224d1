"""The figures of a run, and the sentences about those that cannot be had."""

import math
from typing import Any

import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.metrics import (
    IMAGE_METRICS,
    METRICS,
    PIXEL_METRICS,
    aupro,
    evaluate_maps,
    label_regions,
    ranking,
    undefined_metrics,
)


def draw() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = np.array([0, 1, 0, 1, 1, 0, 1], np.int32)
    masks = np.zeros((7, 10, 10), bool)
    masks[labels == 1, 2:5, 3:6] = True
    masks[3, 7, 7] = True
    maps = rng.standard_normal(masks.shape).astype(np.float32) + masks
    return {
        "maps": maps,
        "scores": maps.max(axis=(1, 2)),
        "labels": labels,
        "masks": masks,
        "has_mask": np.ones(7, bool),
    }


def said(given: dict[str, Any]) -> list[str]:
    return undefined_metrics(given["labels"], given["masks"], given["has_mask"])


def test_gathers_the_parts():
    given = draw()
    found = evaluate_maps(**given)
    image, pixel = ranking(given["scores"], given["labels"]), ranking(given["maps"], given["masks"])
    area = aupro(given["maps"], given["masks"], (0.3, 0.05)).area
    assert tuple(found) == METRICS
    parts = {
        "image_auroc": image.auroc, "image_ap": image.ap, "image_f1_max": image.max_f1,
        "pixel_auroc": pixel.auroc, "pixel_ap": pixel.ap, "aupro_30": area[0.3], "aupro_05": area[0.05],
    }  # fmt: skip
    assert {name: found[name] for name in parts} == parts
    assert said(given) == []


def test_regions_labelled_once_give_the_same():
    given = draw()
    regions = label_regions(given["masks"], given["has_mask"])
    assert evaluate_maps(**given, regions=regions) == evaluate_maps(**given)


def test_order_of_the_images_does_not_matter():
    given, order = draw(), np.random.default_rng(1).permutation(7)
    turned = evaluate_maps(**{k: v[order] for k, v in given.items()})
    for name, value in evaluate_maps(**given).items():
        assert math.isclose(turned[name], value, abs_tol=1e-12)


def test_defect_images_without_mask_leave_the_pixel_metrics_only():
    given = draw()
    given["has_mask"][3], given["masks"][3] = False, False
    rest = {k: np.delete(v, 3, axis=0) for k, v in given.items()}
    found, without = evaluate_maps(**given), evaluate_maps(**rest)
    assert [found[k] for k in PIXEL_METRICS] == [without[k] for k in PIXEL_METRICS]
    assert found["image_auroc"] == ranking(given["scores"], given["labels"]).auroc
    assert len(said(given)) == 1 and said(given)[0].startswith("1 of 4 defect images have no mask")


@pytest.mark.parametrize(
    ("keep", "undefined", "sentence"),
    [
        (lambda labels: labels == 0, METRICS, "no defect image"),
        (lambda labels: labels == 1, IMAGE_METRICS, "no good image"),
        (lambda labels: labels > 1, METRICS, "empty"),
    ],
)
def test_a_missing_class_is_nan_and_said(keep, undefined, sentence):
    given = draw()
    chosen = keep(given["labels"])
    given = {k: v[chosen] for k, v in given.items()}
    assert {k for k, v in evaluate_maps(**given).items() if math.isnan(v)} == set(undefined)
    assert len(said(given)) == 1 and sentence in said(given)[0]
    assert all(name in said(given)[0] for name in undefined)


def test_no_mask_at_all():
    given = draw()
    given["masks"][:], given["has_mask"] = False, given["labels"] == 0
    found = evaluate_maps(**given)
    assert {k for k, v in found.items() if math.isnan(v)} == set(PIXEL_METRICS)
    assert [s.split(":")[0] for s in said(given)] == [
        "4 of 4 defect images have no mask",
        "No defect pixel is known",
    ]


def test_other_odd_sets_are_said():
    empty = draw()
    empty["masks"][1] = False
    assert said(empty) == ["1 of 4 defect images have an empty mask: all their pixels count as normal."]
    good_unknown = draw()
    good_unknown["has_mask"][0] = False
    assert "1 good images are marked as without mask" in said(good_unknown)[0]
    full = {k: v[draw()["labels"] == 1] for k, v in draw().items()}
    full["masks"][:] = True
    assert any(s.startswith("Every pixel with a known mask is a defect") for s in said(full))
    assert all(math.isnan(v) for v in evaluate_maps(**full).values())


def test_bad_input_is_refused():
    given = draw()
    regions = label_regions(given["masks"])
    for key in ("maps", "scores"):
        with pytest.raises(InputError, match="NaN or infinite"):
            evaluate_maps(**(given | {key: given[key] * np.float32(np.nan)}))
        with pytest.raises(InputError, match="expected"):
            evaluate_maps(**(given | {key: given[key][:3]}))
    short = {k: v[:3] for k, v in given.items()}
    with pytest.raises(InputError, match="scores: expected 7"):
        evaluate_maps(**short, regions=regions)
    with pytest.raises(InputError, match="has_mask"):
        evaluate_maps(**(given | {"has_mask": given["has_mask"][:3]}))
    with pytest.raises(InputError, match="masks: expected bool"):
        undefined_metrics(given["labels"], given["masks"].astype(np.float32), given["has_mask"])
    with pytest.raises(InputError, match="image 1 of 7 is labelled good"):
        evaluate_maps(**(given | {"labels": np.array([0, 0, 0, 1, 1, 0, 1])}))
