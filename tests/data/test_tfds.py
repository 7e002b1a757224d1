"""The data sets as tensorflow-datasets: the same pictures, whichever way they are read, and no TensorFlow."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import trees
from PIL import Image
from trees import pixels, save, square_mask

from ddad_jax.data import DataSet
from ddad_jax.data.cans import PRODUCTS, cans
from ddad_jax.data.folder import mvtec_folder
from ddad_jax.data.mtd import mtd
from ddad_jax.data.read import read_full
from ddad_jax.data.visa import visa
from ddad_jax.errors import InputError

tfds = pytest.importorskip("tensorflow_datasets", reason="pip install 'ddad-jax[datasets]'")
from ddad_jax.data.tfds import KINDS, builder_of, examples, from_tfds, reading  # noqa: E402
from ddad_jax.data.tfds.builders import USUAL, VERSION, cans_config  # noqa: E402

ROOT = Path(__file__).parents[2]
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


@pytest.fixture(scope="module", params=ALL, ids=lambda kind: kind.name)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kind, Path]:
    kind, base = request.param, tmp_path_factory.mktemp("prepared")
    kind.builder(base).download_and_prepare()
    return kind, base


def assert_same(one: DataSet, other: DataSet) -> None:
    assert one.name == other.name and one.recordings == other.recordings
    for a, b in ((one.train, other.train), (one.test, other.test)):
        assert (a.names, a.defects) == (b.names, b.defects)
        for field in ("images", "labels", "masks", "has_mask"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
            assert getattr(a, field).dtype == getattr(b, field).dtype


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


# --- What a user can get wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "how", "told"),
    [
        ("ddad_mvtec/bottle", {}, r"ddad_mvtec: root is not set"),
        ("ddad_mvtec/bottle", {"root": "nowhere"}, r"nowhere .*does not exist"),
        ("ddad_mvtec/bolt", {"root": "src"}, r"'bolt' is no category of MVTec AD: expected one of bottle, .*ddad_fold"),
        ("ddad_mvtec/screw", {"root": "src"}, r"'screw'\) is not a folder.*found in .*: bolt"),
        ("ddad_folder/nut", {"root": "src"}, r"'nut'\) is not a folder.*found in .*: bolt"),
        ("ddad_visa/candle", {"root": "src"}, r"1cls\.csv is missing"),
        ("ddad_mtd", {"root": "src"}, r"MT_Free"),
        ("ddad_mtd/seed_x", {"root": "src"}, r"expected ddad_mtd/tile_seed_N"),
        ("ddad_cans/tea_64px", {}, r"'tea' .*choose from winter_melon"),
        ("ddad_cans/coffee", {}, r"expected PRODUCT_SIZEpx, such as winter_melon_64px"),
        ("ddad_cans/coffee_8px", {}, r"size"),
        ("ddad_cans/coffee_64px_0_1_1", {}, r"at least one can to learn from"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_written(
    tmp_path: Path, name: str, how: dict[str, str], told: str
) -> None:
    trees.mvtec(tmp_path / "src")
    roots = {key: tmp_path / value for key, value in how.items()}
    with pytest.raises(InputError, match=told):
        tfds.builder(name, data_dir=tmp_path / "records", **roots).download_and_prepare()
    assert not (tmp_path / "records").exists()


def test_a_damaged_picture_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    base = trees.mvtec(tmp_path / "src", "bottle")
    bad = base / "test/bent/001.png"
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(InputError, match=r"bent/001\.png: cannot be read as an image"):
        ALL[2].builder(tmp_path).download_and_prepare()
    assert not list((tmp_path / "records").rglob("*array_record*"))


def test_the_same_pictures_are_used_again_and_others_refused(tmp_path: Path) -> None:
    ALL[2].builder(tmp_path).download_and_prepare()
    record = next((tmp_path / "records").rglob("*train.array_record*"))
    made = record.stat().st_mtime_ns
    ALL[2].builder(tmp_path).download_and_prepare()
    assert record.stat().st_mtime_ns == made
    save(pixels(99), tmp_path / "src/bottle/test/good/001.png")  # of the same size in bytes or not: its content counts
    with pytest.raises(InputError, match=r"made from other pictures than .*src.*another data_dir"):
        ALL[2].builder(tmp_path).download_and_prepare()
    assert record.stat().st_mtime_ns == made


def test_a_folder_that_is_no_data_set_is_not_taken_for_one(tmp_path: Path) -> None:
    folder = tmp_path / "records/ddad_mvtec/bottle" / VERSION
    folder.mkdir(parents=True)
    with pytest.raises(InputError, match=r"holds no data set \(no dataset_info\.json\)"):
        ALL[2].builder(tmp_path).download_and_prepare()
    with pytest.raises(InputError, match=r"holds no prepared data set 'ddad_mvtec/bottle', but: nothing"):
        from_tfds(tmp_path / "records", "ddad_mvtec/bottle", 16)


def test_a_data_dir_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file")
    with pytest.raises(InputError, match=r"records/.*cannot be written .*another data_dir"):
        ALL[2].builder(tmp_path).download_and_prepare()


def test_other_names_and_versions_are_told(tmp_path: Path) -> None:
    ALL[2].builder(tmp_path).download_and_prepare()
    records = tmp_path / "records"
    for name in ("ddad_mvtec/cable", "ddad_mvtec", ""):
        with pytest.raises(InputError, match=r"but: ddad_mvtec/bottle\. Prepare it with .*prepare"):
            from_tfds(records, name, 16)
    with pytest.raises(InputError, match=r"nowhere .*is not a folder"):
        from_tfds(tmp_path / "nowhere", "ddad_mvtec/bottle", 16)
    with pytest.raises(InputError, match="size 0"):
        from_tfds(records, "ddad_mvtec/bottle", 0)
    (records / "ddad_mvtec/bottle" / VERSION).rename(records / "ddad_mvtec/bottle/0.9.0")
    with pytest.raises(InputError, match=rf"holds version 0\.9\.0; {VERSION} is read"):
        from_tfds(records, "ddad_mvtec/bottle", 16)


@pytest.mark.parametrize("category", ["../../bolt", "/bolt", "src/nul", "bolt?", "bolt."])
def test_a_category_that_no_folder_may_be_called_is_refused_and_nothing_is_written(
    tmp_path: Path, category: str
) -> None:
    trees.mvtec(tmp_path / "src")
    with pytest.raises(InputError, match=r"category '.*': .* names folders or files, but"):
        builder_of("folder", tmp_path / "records", root=tmp_path / "src", category=category).download_and_prepare()
    assert not (tmp_path / "records").exists()
    nested = builder_of("folder", tmp_path / "records", root=tmp_path, category="src/bolt")
    nested.download_and_prepare()
    assert from_tfds(tmp_path / "records", "ddad_folder/src/bolt", 16).name == "src/bolt"


def test_a_name_that_leads_out_of_the_prepared_data_sets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    for name in ("../ddad_mvtec/bottle", "/ddad_mvtec/bottle", "ddad_mvtec/../.."):
        with pytest.raises(InputError, match=r"--config\.data\.category: .*leads out of"):
            from_tfds(tmp_path / "records", name, 16)


@pytest.mark.parametrize(
    ("named", "told"),
    [("../../x.png", "leads out of"), ("/x.png", "leads out"), ("bottle/test/bent/000.png", "both named")],
)
def test_records_whose_pictures_have_no_path_of_their_own_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, told: str
) -> None:
    ALL[2].builder(tmp_path).download_and_prepare()
    example = reading._example

    def edited(folder: Path, source: Any, i: int) -> Any:
        return example(folder, source, i) | ({"name": named.encode()} if i == 2 else {})

    monkeypatch.setattr(reading, "_example", edited)
    with pytest.raises(InputError, match=rf"ddad_mvtec/bottle/.* is damaged \(.*{told}"):
        from_tfds(tmp_path / "records", "ddad_mvtec/bottle", 16)


def cut(share: float) -> Callable[[Path], Any]:
    def harm(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return harm


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[3000] ^= 0xFF  # within the second picture
    path.write_bytes(data)


def longer(path: Path) -> None:
    path.write_text(path.read_text().replace('"5"', '"6"'))


RECORD = "ddad_mvtec-test.array_record-00000-of-00001"
DAMAGE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "cut at a block": (RECORD, cut(0.5)),
    "cut": (RECORD, cut(0.999)),
    "emptied": (RECORD, cut(0.0)),
    "a byte": (RECORD, flip),
    "lost": (RECORD, Path.unlink),
    "another file": (RECORD, lambda path: path.write_bytes(bytes(range(256)) * 600)),
    "fewer than told": ("dataset_info.json", longer),
    "info": ("dataset_info.json", cut(0.5)),
    "features": ("features.json", cut(0.5)),
    "no features": ("features.json", Path.unlink),
    "metadata": ("metadata.json", cut(0.5)),
    "no metadata": ("metadata.json", Path.unlink),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_told_from_data(tmp_path: Path, damage: str) -> None:
    builder = ALL[2].builder(tmp_path)
    builder.download_and_prepare()
    file, harm = DAMAGE[damage]
    harm(Path(builder.data_dir) / file)
    with pytest.raises(InputError, match=r"ddad_mvtec/bottle/1\.0\.0 (is damaged|was not prepared by)"):
        from_tfds(tmp_path / "records", "ddad_mvtec/bottle", 16)
    with pytest.raises(InputError, match=r"ddad_mvtec/bottle/1\.0\.0 .*(Delete that folder|Prepare it with)"):
        ALL[2].builder(tmp_path).download_and_prepare()


def test_a_damaged_picture_in_a_record_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = examples.plain_image
    monkeypatch.setattr(examples, "plain_image", lambda *a, **k: plain(*a, **k)._replace(data=b"\x89PNG no more"))
    ALL[2].builder(tmp_path).download_and_prepare()
    with pytest.raises(InputError, match=r"bottle/train/good/000\.png in .*cannot be read as an image"):
        from_tfds(tmp_path / "records", "ddad_mvtec/bottle", 16)


# --- In a process of its own -----------------------------------------------------------------------------------------


def python(program: str, *arguments: Any, path: Path = ROOT) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


PREPARE = """
import sys
import tensorflow_datasets as tfds
from ddad_jax.data.tfds import builders, from_tfds
def prepare():
    builder = tfds.builder("ddad_mvtec/bottle", root=sys.argv[1], data_dir=sys.argv[2])
    builder.download_and_prepare()
    return builder
"""


def test_what_a_killed_preparation_leaves_is_never_read(tmp_path: Path) -> None:
    trees.mvtec(tmp_path / "src", "bottle")
    records = tmp_path / "records"
    killed = python(
        PREPARE
        + """
import os, signal
whole = tfds.core.DatasetInfo.write_to_directory
def cut_short(*a, **k):  # the last thing before the folder gets its name: every record is written by now
    whole(*a, **k)
    os.kill(os.getpid(), signal.SIGKILL)
tfds.core.DatasetInfo.write_to_directory = cut_short
prepare()
""",
        tmp_path / "src",
        records,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(records.rglob("*array_record*")) and list(records.rglob("dataset_info.json"))
    with pytest.raises(InputError, match=r"holds no prepared data set 'ddad_mvtec/bottle', but: nothing"):
        from_tfds(records, "ddad_mvtec/bottle", 16)
    ALL[2].builder(tmp_path).download_and_prepare()
    assert_same(from_tfds(records, "ddad_mvtec/bottle", 16), mvtec_folder(tmp_path / "src", "bottle", 16))


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    trees.mvtec(tmp_path / "src", "bottle", n_train=60)
    ran = python(
        PREPARE
        + """
import resource, signal
from ddad_jax.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000))  # no file may become larger, as if the disk were full
try:
    prepare()
except InputError as error:
    print(error)
""",
        tmp_path / "src",
        tmp_path / "records",
    )
    assert "1.0.0: cannot be written (" in ran.stdout and "Choose another data_dir" in ran.stdout, ran.stderr
    assert not list((tmp_path / "records").rglob("*array_record*"))


def test_tensorflow_is_not_imported_even_where_it_is_installed(tmp_path: Path) -> None:
    trees.mvtec(tmp_path / "src", "bottle")
    for package in ("tensorflow", "torch"):
        (tmp_path / "installed" / package).mkdir(parents=True)
        (tmp_path / "installed" / package / "__init__.py").write_text(f"raise SystemExit('{package} is imported')")
    ran = python(
        PREPARE
        + """
import importlib.util
assert importlib.util.find_spec("tensorflow") and importlib.util.find_spec("torch")
example = prepare().as_data_source("test")[0]
data = from_tfds(sys.argv[2], "ddad_mvtec/bottle", 16)
print(sorted({"tensorflow", "torch"} & set(sys.modules)), example["image"].shape, len(data.train.names))
""",
        tmp_path / "src",
        tmp_path / "records",
        path=tmp_path / "installed",
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[] (20, 28, 3) 5"


@pytest.mark.parametrize("package", ["tensorflow_datasets", "importlib_resources"])
def test_the_extra_is_needed_by_its_own_package_alone(package: str) -> None:
    ran = python(
        """
import sys
sys.modules[sys.argv[1]] = None
import ddad_jax.data.cans, ddad_jax.data.encode, ddad_jax.data.folder, ddad_jax.data.mtd, ddad_jax.data.visa
from ddad_jax.errors import InputError
try:
    import ddad_jax.data.tfds
except InputError as error:
    print(error)
""",
        package,
    )
    assert package in ran.stdout and "pip install 'ddad-jax[datasets]'" in ran.stdout and not ran.stderr


def test_a_preparation_notes_what_it_leaves_and_takes_the_parts_of_a_mask_together(tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path / "sets").parent
    (root / "bolt/train/good/notes.txt").write_text("x")
    (root / "bolt/ground_truth/bent/000_mask.png").unlink()
    for i, rows in enumerate((slice(0, 5), slice(10, 20))):
        part = np.zeros((20, 28), np.uint8)
        part[rows] = 255
        save(part, root / f"bolt/ground_truth/bent/000/{i}.png")
    builder = builder_of("folder", tmp_path / "prepared", root=root, category="bolt")
    builder.download_and_prepare()
    assert ["notes.txt" in note for note in builder.notes] == [True]
    of_files, of_records = mvtec_folder(root, "bolt", 20), from_tfds(tmp_path / "prepared", "ddad_folder/bolt", 20)
    assert of_files.test.masks[0].any(1).sum() == 15
    np.testing.assert_array_equal(of_files.test.masks, of_records.test.masks)
