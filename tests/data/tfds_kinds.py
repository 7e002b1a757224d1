"""Every kind of data set that tensorflow-datasets prepares: its builder, a tree to read and the loader of that tree.

Tests that import this are skipped where tensorflow-datasets is not installed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import trees
from PIL import Image
from trees import pixels, save, square_mask

from ddad_jax.data import DataSet
from ddad_jax.data.cans import cans
from ddad_jax.data.folder import mvtec_folder
from ddad_jax.data.mtd import mtd
from ddad_jax.data.visa import visa

tfds = pytest.importorskip("tensorflow_datasets", reason="pip install 'ddad-jax[datasets]'")
from ddad_jax.data.tfds.builders import cans_config  # noqa: E402

tfds.disable_progress_bar()


def mixed(root: Path, category: str = "bolt") -> Path:
    """``trees.mvtec`` with files that other programs read otherwise, and a defect without a mask."""
    base = trees.mvtec(root, category)
    rgb = pixels(7)
    save(rgb[..., 0].astype(np.uint16) * 257, base / "train/good/wide.png")
    save(np.concatenate([rgb, rgb[..., :1]], -1), base / "train/good/alpha.png")
    save(rgb, base / "train/good/picture.tiff")
    save(rgb[..., 0], base / "train/good/grey.jpg")
    turned = Image.Exif()
    turned[0x0112] = 8
    for part, picture in (("test", rgb), ("ground_truth", square_mask())):
        Image.fromarray(picture).save(base / part / "rust/turned.png", exif=turned)
    save(rgb, base / "test/rust/unlabelled.jpg")
    save(rgb, base / "test/rust/classes.png")
    save(square_mask(value=2), base / "ground_truth/rust/classes.png")
    return base


class Kind(NamedTuple):
    """A builder, the tree it reads, and the loader of that tree."""

    kind: str
    config: str | None
    tree: Callable[[Path], Any]
    load: Callable[[Path, int], DataSet]

    @property
    def name(self) -> str:
        return "/".join(filter(None, (f"ddad_{self.kind}", self.config)))

    def builder(self, base: Path) -> Any:
        if not (base / "src").exists():
            self.tree(base / "src")
        return tfds.builder(f"ddad_{self.kind}", config=self.config, root=base / "src", data_dir=base / "records")


CANS = cans_config("coffee", 32, seed=2, counts=(4, 2, 1))
ALL = [
    Kind("folder", "bolt", mixed, lambda root, size: mvtec_folder(root, "bolt", size)),
    Kind("folder", None, lambda root: mixed(root.parent, root.name), lambda root, size: mvtec_folder(root, "", size)),
    Kind("mvtec", "bottle", lambda root: trees.mvtec(root, "bottle"), lambda r, size: mvtec_folder(r, "bottle", size)),
    Kind("visa", "pcb1", trees.visa, lambda root, size: visa(root, "pcb1", size)),
    Kind("mtd", "tile_seed_3", trees.mtd, lambda root, size: mtd(root, size, seed=3)),
    Kind("mtd", "seed_3", trees.mtd, lambda root, size: mtd(
        root, size, seed=3, split="picture")._replace(recordings=())),
    Kind("cans", CANS, lambda root: root.mkdir(parents=True), lambda root, size: cans(
        size, product="coffee", seed=2, n_train=4, n_test_good=2, n_defect=1)),
]  # fmt: skip


def assert_same(one: DataSet, other: DataSet) -> None:
    assert one.name == other.name and one.recordings == other.recordings
    for a, b in ((one.train, other.train), (one.test, other.test)):
        assert (a.names, a.defects) == (b.names, b.defects)
        for field in ("images", "labels", "masks", "has_mask"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
            assert getattr(a, field).dtype == getattr(b, field).dtype
