"""A data set is prepared whole or not at all, without TensorFlow, and what keeps it from that is named."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trees
from tfds_kinds import ALL, assert_same, tfds
from trees import pixels, save

from ddad_jax.data.folder import mvtec_folder
from ddad_jax.data.tfds import builder_of, from_tfds
from ddad_jax.data.tfds.builders import VERSION
from ddad_jax.errors import InputError

ROOT = Path(__file__).parents[2]


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
