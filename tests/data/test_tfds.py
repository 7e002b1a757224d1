"""The data sets as tensorflow-datasets: the same pictures, whichever way they are read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tfds_kinds import ALL, CANS, Kind, assert_same, tfds

from ddad_jax.data.cans import PRODUCTS
from ddad_jax.data.read import read_full
from ddad_jax.data.tfds import KINDS, builder_of, from_tfds
from ddad_jax.data.tfds.builders import USUAL, VERSION, cans_config
from ddad_jax.errors import InputError


@pytest.fixture(scope="module", params=ALL, ids=lambda kind: kind.name)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kind, Path]:
    kind, base = request.param, tmp_path_factory.mktemp("prepared")
    kind.builder(base).download_and_prepare()
    return kind, base


def test_records_give_what_the_files_give_bit_for_bit(prepared: tuple[Kind, Path]) -> None:
    kind, base = prepared
    for size in (32,) if kind.kind == "cans" else (16, 32):  # cans of another size are rendered, not resized
        assert_same(from_tfds(base / "records", kind.name, size), kind.load(base / "src", size))


def test_any_reader_of_records_sees_the_same_pictures(prepared: tuple[Kind, Path]) -> None:
    kind, base = prepared
    data, root = kind.load(base / "src", 32), base / "src"
    for split, part in (("train", data.train), ("test", data.test)):
        source = tfds.builder(kind.name, data_dir=base / "records").as_data_source(split)
        assert [e["name"].decode() for e in source] == list(part.names)
        for i, example in enumerate(source):
            original = part.images[i] if kind.kind == "cans" else read_full(root / part.names[i])
            off = np.abs(example["image"].astype(int) - original)
            assert off.max() <= (2 if part.names[i].lower().endswith(".jpg") else 0)  # decoders of JPEG round apart
            assert example["image"].dtype == example["mask"].dtype == np.uint8
            assert example["mask"].shape == (*original.shape[:2], 1)
            assert example["mask"].any() == part.masks[i].any()
            found = (example["label"], example["defect"].decode(), example["has_mask"])
            assert found == (part.labels[i], part.defects[i], part.has_mask[i])


@pytest.mark.parametrize("kind", ALL[2:5], ids=lambda kind: kind.name)
def test_published_bytes_go_in_untouched(tmp_path: Path, kind: Kind) -> None:
    builder = kind.builder(tmp_path)
    builder.download_and_prepare()
    undecoded = {"image": tfds.decode.SkipDecoding(), "mask": tfds.decode.SkipDecoding()}
    files = {p.read_bytes() for p in (tmp_path / "src").rglob("*.*")}
    for example in builder.as_data_source("test", decoders=undecoded):
        assert example["image"] == (tmp_path / "src" / example["name"].decode()).read_bytes()
        assert example["mask"] in files or not example["label"]


def test_masks_of_visa_keep_their_classes(tmp_path: Path) -> None:
    builder = ALL[3].builder(tmp_path)
    builder.download_and_prepare()
    classes = [set(np.unique(e["mask"])) for e in builder.as_data_source("test") if e["label"]]
    assert classes == [{0, 1, 5}] * 2


def test_a_data_set_says_what_it_is(prepared: tuple[Kind, Path]) -> None:
    kind, base = prepared
    info = tfds.builder_from_directory(base / "records" / kind.name / VERSION).info
    assert info.full_name == f"{kind.name}/{VERSION}" and info.description
    assert info.redistribution_info.license and info.features["label"].names == ["normal", "anomalous"]
    assert ("@" in info.citation and info.homepage.startswith("https://")) == (kind.kind in ("mvtec", "visa", "mtd"))
    data = kind.load(base / "src", 32)
    assert (info.splits["train"].num_examples, info.splits["test"].num_examples) == (
        len(data.train.names),
        len(data.test.names),
    )
    files = sorted(p.name for p in (base / "records" / kind.name / VERSION).glob("*array_record*"))
    assert files == [f"ddad_{kind.kind}-{split}.array_record-00000-of-00001" for split in ("test", "train")]


def test_builders_are_found_by_name(tmp_path: Path) -> None:
    for kind, builder in KINDS.items():
        assert tfds.builder_cls(f"ddad_{kind}") is builder
    assert set(tfds.builder_cls("ddad_cans").builder_configs) == {f"{product}_64px" for product in PRODUCTS}
    assert len(tfds.builder_cls("ddad_mvtec").builder_configs) == 15
    assert len(tfds.builder_cls("ddad_visa").builder_configs) == 12
    assert tfds.builder("ddad_mtd", data_dir=tmp_path).info.full_name == f"ddad_mtd/tile_seed_0/{VERSION}"


def test_the_name_of_cans_says_what_they_depend_on() -> None:
    assert cans_config("coffee", 64) == cans_config("coffee", 64, 0, USUAL) == "coffee_64px"
    assert CANS == "coffee_32px_seed2_4_2_1"


def test_a_kind_names_its_configuration(tmp_path: Path) -> None:
    def name(kind: str, **how: Any) -> str:
        builder = builder_of(kind, tmp_path, **how)
        return "/".join(filter(None, (builder.name, builder.category)))

    assert name("folder", root="x", category="nut") == "ddad_folder/nut" and name("folder", root="x") == "ddad_folder"
    assert name("mtd", root="x", seed=7) == "ddad_mtd/tile_seed_7"
    assert (
        name("mtd", root="x", seed=7, split="picture") == "ddad_mtd/seed_7"
        and name("cans") == f"ddad_cans/{PRODUCTS[0]}_64px"
    )
    assert name("cans", category="coffee", size=32, seed=2, counts=(4, 2, 1)) == f"ddad_cans/{CANS}"
    for kind, how, told in (
        ("mtd", {}, "root is not set"),
        ("mtd", {"root": "x", "category": "y"}, "category 'y': mtd has none"),
        ("visa", {"root": "x"}, "category is not set: expected one of candle, "),
    ):
        with pytest.raises(InputError, match=told):
            builder_of(kind, tmp_path, **how)
