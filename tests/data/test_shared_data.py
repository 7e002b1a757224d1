"""The loaders on real pictures, where the folder of real data lies beside the repository."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from trees import SHARED

from ddad_jax.data.folder import mvtec_folder
from ddad_jax.data.mtd import DEFECTS, FREE, mtd, mtd_tiles
from ddad_jax.data.read import image_size, read_image, read_mask

pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason="real data are not in this repository: ../shared/data is absent"
)


def test_hazelnut_toy() -> None:
    data = mvtec_folder(SHARED, "hazelnut_toy", 64, require_masks=True)
    assert data.train.images.shape == (28, 64, 64, 3)
    assert (data.test.labels == 0).sum() == 6 and data.test.defects.count("colour") == 17
    assert (data.test.masks.any((1, 2)) == (data.test.labels == 1)).all()


def test_a_few_cookies() -> None:
    mask = sorted((SHARED / "cookies/ground_truth/broken").glob("*_mask.png"))[0]
    image = SHARED / "cookies/test/broken" / mask.name.replace("_mask.png", ".jpg")
    assert image_size(image) == image_size(mask)
    assert 0 < read_mask(mask, 64, image=image).mean() < 0.5
    assert read_image(image, 64).std() > 5


def test_real_pictures_come_out_of_records_as_out_of_their_files(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_datasets", reason="pip install 'ddad-jax[datasets]'")
    from ddad_jax.data.tfds import builder_of, from_tfds

    builder_of("folder", tmp_path, root=SHARED, category="hazelnut_toy").download_and_prepare()
    found, data = from_tfds(tmp_path, "ddad_folder/hazelnut_toy", 64), mvtec_folder(SHARED, "hazelnut_toy", 64)
    for got, expected in zip((*found.train, *found.test), (*data.train, *data.test), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_tiles_of_mtd() -> None:
    good = [path.name for path in sorted((SHARED / "mtd" / FREE / "Imgs").glob("*.jpg"))]
    if len(good) != 952:
        pytest.skip(f"{len(good)} of the 952 defect-free pictures are here")
    sizes = Counter(Counter(mtd_tiles(good)).values())
    assert sum(sizes.values()) == 149 and sizes[6] == 134


def test_whole_mtd_loads_in_seconds_under_the_papers_rule() -> None:
    data = mtd(SHARED / "mtd", 32, split="picture")
    n_free = len(list((SHARED / "mtd" / FREE / "Imgs").glob("*.jpg")))
    n_bad = sum(len(list((SHARED / "mtd" / d / "Imgs").glob("*.jpg"))) for d in DEFECTS)
    assert len(data.train.names) == round(0.8 * n_free)
    assert len(data.test.names) == n_free - len(data.train.names) + n_bad
    assert data.test.labels.sum() == n_bad
    np.testing.assert_array_equal(data.train.images[..., 0], data.train.images[..., 2])
