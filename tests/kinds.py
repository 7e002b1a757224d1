"""A small data set of every kind, and the settings that name it."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_runs
import trees
from ml_collections import ConfigDict

from ddad_jax.data.cans import cans
from ddad_jax.engine.data import data_sets


def prepared(root: Path) -> None:
    pytest.importorskip("tensorflow_datasets", reason="pip install 'ddad-jax[datasets]'")
    from ddad_jax.data.tfds import builder_of

    pictures = tiny_runs.folder(root / "pictures")
    builder_of("folder", root, root=pictures, category="bolt").download_and_prepare()


TREES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "folder": (tiny_runs.folder, "bolt"),
    "visa": (trees.visa, "candle"),
    "mtd": (trees.mtd, ""),
    "cans": (lambda root: None, "coffee"),
    "tfds": (prepared, "ddad_folder/bolt"),
}
"""``data.kind`` -> what writes a small one into a folder, and its ``data.category``."""


def few_cans(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual number takes a while to render."""
    monkeypatch.setattr(data_sets, "cans", functools.partial(cans, n_train=4, n_test_good=2, n_defect=1))


def written(root: Path, name: str, **changes: Any) -> ConfigDict:
    """The settings of a small data set of this kind, which is written first."""
    tree, category = TREES[name]
    tree(root)
    # Of VisA's there are three pictures to learn from: no spread to standardise with.
    changes |= {"score__standardise": False, "sweep__standardise": ()}
    return tiny_runs.config(root, data__kind=name, data__category=category, **changes)
