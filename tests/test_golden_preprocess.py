"""Picture to network input, as the published data set class does it: exact to the last bit of the uint8."""

from pathlib import Path

import golden_files as golden
import numpy as np
import pytest
from PIL import Image

from ddad_jax.data import to_float
from ddad_jax.data.read import read_image, read_mask, read_mask_float

CASES = [
    (name, case, key[: -len("_u8")])
    for name, case in golden.cases("preprocess")
    for key in golden.arrays(case["file"])
    if key.endswith("_u8") and not key.endswith("_resized_u8")
]
IMAGES = [c for c in CASES if f"{c[2]}_resized_u8" in golden.arrays(c[1]["file"])]
MASKS = [c for c in CASES if c not in IMAGES]


def stored(case: dict, key: str, folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    arrays = golden.arrays(case["file"])
    path = folder / f"{key}.png"
    Image.fromarray(arrays[f"{key}_u8"]).save(path)
    return path, arrays


@pytest.mark.parametrize(("name", "case", "key"), IMAGES, ids=[f"{n}-{k}" for n, _, k in IMAGES])
def test_image_is_resized_exactly_and_scaled(name: str, case: dict, key: str, tmp_path: Path) -> None:
    path, arrays = stored(case, key, tmp_path)
    got, expected = read_image(path, case["out_size"]), arrays[f"{key}_resized_u8"]
    if expected.ndim == 2:
        expected = np.stack([expected] * 3, -1)
    np.testing.assert_array_equal(got, expected)
    golden.assert_close(to_float(got), golden.nhwc(arrays[f"{key}_out"]), 2e-7)


@pytest.mark.parametrize(("name", "case", "key"), MASKS, ids=[f"{n}-{k}" for n, _, k in MASKS])
def test_mask_keeps_its_grey_edges_and_is_cut_at_half(name: str, case: dict, key: str, tmp_path: Path) -> None:
    path, arrays = stored(case, key, tmp_path)
    expected = arrays[f"{key}_out"][0]
    golden.assert_close(read_mask_float(path, case["out_size"]), expected, 2e-7)
    np.testing.assert_array_equal(read_mask(path, case["out_size"]), expected > 0.5)


def test_the_folder_has_images_and_masks() -> None:
    assert IMAGES and MASKS
