"""VisA's table decides; every mistake in it is named."""

from pathlib import Path

import numpy as np
import pytest
from trees import pixels, save, square_mask, visa, write_table

from ddad_jax.data.read import read_mask
from ddad_jax.data.visa import visa as load_visa
from ddad_jax.errors import InputError

SIZE = 16


def test_follows_the_table(tmp_path: Path) -> None:
    data = load_visa(visa(tmp_path), "pcb1", SIZE)
    assert data.name == "pcb1"
    assert data.train.names == tuple(f"pcb1/Data/Images/Normal/{i:04d}.JPG" for i in range(3))
    assert data.test.names == (
        "pcb1/Data/Images/Anomaly/000.JPG",
        "pcb1/Data/Images/Anomaly/001.JPG",
        "pcb1/Data/Images/Normal/0003.JPG",
    )
    assert data.test.defects == ("anomaly", "anomaly", "good")
    assert data.test.labels.tolist() == [1, 1, 0]
    assert data.test.has_mask.all()


def test_every_class_number_is_defective(tmp_path: Path) -> None:
    got = load_visa(visa(tmp_path), "candle", SIZE).test.masks[0]
    np.testing.assert_array_equal(got, read_mask(save(square_mask(), tmp_path / "whole.png"), SIZE))


def test_anomaly_without_mask_is_kept(tmp_path: Path) -> None:
    root = visa(tmp_path)
    table = root / "split_csv/1cls.csv"
    table.write_text(table.read_text().replace("pcb1/Data/Masks/Anomaly/001.png", ""))
    assert load_visa(root, "pcb1", SIZE).test.has_mask.tolist() == [True, False, True]


def test_missing_root_and_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_visa(tmp_path / "nowhere", "pcb1", SIZE)
    with pytest.raises(InputError, match=r"1cls\.csv is missing"):
        load_visa(tmp_path, "pcb1", SIZE)


def test_unknown_object_lists_those_in_the_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no object 'pcb9'.*candle, pcb1"):
        load_visa(visa(tmp_path), "pcb9", SIZE)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["a", "valid", "normal", "x.png", ""], "line 2: expected split train or test"),
        (["a", "train", "fine", "x.png", ""], "line 2.*label normal or anomaly"),
        (["a", "train", "normal", "", ""], "line 2.*an image"),
        (["a", "train"], "line 2"),
        (["a", "train", "normal", "x.png", ""], "lists no test pictures"),
        (["a", "test", "normal", "x.png", ""], "lists no train pictures"),
    ],
)
def test_bad_rows(tmp_path: Path, row: list[str], message: str) -> None:
    write_table(tmp_path, [row])
    with pytest.raises(InputError, match=message):
        load_visa(tmp_path, "a", SIZE)


def test_bad_tables(tmp_path: Path) -> None:
    write_table(tmp_path, [], "object,split,label,image")
    with pytest.raises(InputError, match="lacks the columns mask"):
        load_visa(tmp_path, "a", SIZE)
    (tmp_path / "split_csv/1cls.csv").write_bytes(b"\xff\xfe\x00object")
    with pytest.raises(InputError, match=r"1cls\.csv cannot be read"):
        load_visa(tmp_path, "a", SIZE)


def test_anomaly_among_the_training_pictures(tmp_path: Path) -> None:
    rows = [["a", "train", "anomaly", "x.png", ""], ["a", "test", "normal", "y.png", ""]]
    write_table(tmp_path, rows)
    with pytest.raises(InputError, match=r"anomalies among the training pictures.*x\.png"):
        load_visa(tmp_path, "a", SIZE)


def test_missing_picture_and_mask_of_another_size(tmp_path: Path) -> None:
    root = visa(tmp_path)
    save(square_mask(8, 8), root / "pcb1/Data/Masks/Anomaly/001.png")
    with pytest.raises(InputError, match=r"Masks/Anomaly/001\.png is 8 x 8"):
        load_visa(root, "pcb1", SIZE)
    (root / "pcb1/Data/Images/Normal/0001.JPG").unlink()
    with pytest.raises(InputError, match=r"0001\.JPG: no such file"):
        load_visa(root, "pcb1", SIZE)


def test_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    rows = [["a", s, "normal", f"{s}.png", ""] for s in ("train", "test")]
    table = write_table(tmp_path, rows)
    table.write_text("\ufeff" + table.read_text(), encoding="utf-8")
    for s in ("train", "test"):
        save(pixels(1), tmp_path / f"{s}.png")
    assert load_visa(tmp_path, "a", SIZE).train.names == ("train.png",)


@pytest.mark.parametrize("column", ["image", "mask"])
@pytest.mark.parametrize("path", ["../../{}", "/tmp/{}", "pcb1/../../{}", "..\\{}", "C:\\{}"])
def test_a_path_that_leads_out_of_the_root_is_refused_before_it_is_read(tmp_path: Path, column: str, path: str) -> None:
    root = visa(tmp_path / "root")
    own = {"image": "pcb1/Data/Images/Anomaly/001.JPG", "mask": "pcb1/Data/Masks/Anomaly/001.png"}[column]
    table = root / "split_csv/1cls.csv"
    table.write_text(table.read_text().replace(own, path.format("x.png")))
    with pytest.raises(InputError, match=rf"1cls\.csv, line \d+, {column}: .*leads out of"):
        load_visa(root, "pcb1", SIZE)


def test_a_picture_is_listed_once(tmp_path: Path) -> None:
    root = visa(tmp_path)
    table = root / "split_csv/1cls.csv"
    table.write_text(table.read_text() + "pcb1,test,normal,pcb1//Data/./Images/Normal/0003.JPG,\n")
    with pytest.raises(InputError, match=r"line 14: image 'pcb1/Data/Images/Normal/0003\.JPG' is that of line \d+"):
        load_visa(root, "pcb1", SIZE)
