"""Labels of the VGG Image Annotator become masks: by formula, by counting, and alike from every export."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddad_jax.data.outlines import Ellipse, OutlinePoint, draw
from ddad_jax.data.via import kinds_of, read_via
from ddad_jax.errors import InputError

HEADER = "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
SHAPES: list[dict[str, Any]] = [
    {"name": "polygon", "all_points_x": [2, 12, 7, 2], "all_points_y": [1, 1, 9, 1]},
    {"name": "rect", "x": 14, "y": 3, "width": 5, "height": 4},
    {"name": "circle", "cx": 24, "cy": 12, "r": 4},
    {"name": "ellipse", "cx": 10, "cy": 15, "rx": 6, "ry": 2.5, "theta": 0.5},
    {"name": "polyline", "all_points_x": [1, 20], "all_points_y": [18, 18]},
    {"name": "point", "cx": 3, "cy": 3},
]
SIZE = (20, 30)


def write_csv(path: Path, rows: list[tuple[str, dict[str, Any], dict[str, Any]]], header: str = HEADER) -> Path:
    with path.open("w", newline="") as file:
        file.write(header + "\n")
        writer = csv.writer(file, lineterminator="\n")
        for i, (name, shape, attributes) in enumerate(rows):
            writer.writerow([name, 1234, "{}", len(rows), i, json.dumps(shape), json.dumps(attributes)])
    return path


def entries(pictures: dict[str, list[dict[str, Any]]], **attributes: Any) -> dict[str, Any]:
    return {
        f"{name}1234": {
            "filename": name,
            "size": 1234,
            "regions": [{"shape_attributes": shape, "region_attributes": attributes} for shape in shapes],
            "file_attributes": {},
        }
        for name, shapes in pictures.items()
    }


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def one(path: Path, shape: dict[str, Any]) -> Path:
    return write_json(path / "via.json", entries({"a.png": [shape]}))


def test_csv_json_and_project_say_the_same(tmp_path: Path) -> None:
    rows = [("a.png", shape, {"defect": "dent"}) for shape in SHAPES]
    pictures = entries({"a.png": SHAPES}, defect="dent") | entries({"b.png": []})
    old = json.loads(json.dumps(pictures))  # VIA 1 numbers its regions
    for entry in old.values():
        entry["regions"] = {str(i): region for i, region in enumerate(entry["regions"])}
    files = [
        write_csv(tmp_path / "a.csv", [*rows, ("b.png", {}, {})]),
        write_csv(tmp_path / "b.csv", [*rows, ("b.png", {}, {})], HEADER.removeprefix("#")),
        write_json(tmp_path / "c.json", pictures),
        write_json(tmp_path / "d.json", {"_via_settings": {}, "_via_img_metadata": pictures, "_via_attributes": {}}),
        write_json(tmp_path / "e.json", old),
    ]
    (tmp_path / "f.csv").write_bytes(b"\xef\xbb\xbf" + files[0].read_bytes().replace(b"\n", b"\r\n"))  # as Excel saves
    for name, delimiter in (("g.csv", ";"), ("h.csv", "\t")):  # as it does where a comma is in numbers
        with files[0].open(newline="") as one, (tmp_path / name).open("w", newline="") as other:
            csv.writer(other, delimiter=delimiter).writerows(csv.reader(one))
        files.append(tmp_path / name)
    first, *others = (read_via(file) for file in [*files, tmp_path / "f.csv"])
    assert list(first) == ["a.png", "b.png"] and not first["b.png"] and len(first["a.png"]) == len(SHAPES)
    for other in others:
        assert list(other) == list(first) and not other["b.png"]
        for a, b in zip(first["a.png"], other["a.png"], strict=True):
            assert a.attributes == b.attributes == {"defect": "dent"}
            np.testing.assert_equal(a.outline, b.outline)


def test_a_rectangle_of_whole_numbers_has_exactly_its_pixels(tmp_path: Path) -> None:
    (region,) = read_via(one(tmp_path, SHAPES[1]))["a.png"]
    expected = np.zeros(SIZE, bool)
    expected[3:7, 14:19] = True
    np.testing.assert_array_equal(draw(region.outline, SIZE, where="here").mask, expected)


def test_a_circle_is_an_ellipse_whose_axes_are_equal_and_has_its_area(tmp_path: Path) -> None:
    (region,) = read_via(one(tmp_path, {"name": "circle", "cx": 50, "cy": 40, "r": 30}))["a.png"]
    mask = draw(region.outline, (80, 100), where="here").mask
    turned = draw(Ellipse((50.0, 40.0), (30.0, 30.0), 1.234), (80, 100), where="here").mask
    np.testing.assert_array_equal(mask, turned)
    assert mask.sum() == pytest.approx(np.pi * 30**2, rel=0.01)


def test_an_ellipse_turns_clockwise_on_the_screen(tmp_path: Path) -> None:
    quarter = {"name": "ellipse", "cx": 50, "cy": 50, "rx": 40, "ry": 5, "theta": np.pi / 4}
    (region,) = read_via(one(tmp_path, quarter))["a.png"]
    mask = draw(region.outline, (100, 100), where="here").mask
    assert mask[75, 75] and mask[25, 25], "y points down: an eighth of a turn clockwise goes right and down"
    assert not mask[25, 75] and not mask[75, 25]
    assert mask.sum() == pytest.approx(np.pi * 40 * 5, rel=0.02)
    without = {key: value for key, value in quarter.items() if key != "theta"}
    (region,) = read_via(one(tmp_path, without))["a.png"]
    assert draw(region.outline, (100, 100), where="here").mask[50, 88], "old files have no angle"


def test_a_point_is_kept_but_has_no_pixels(tmp_path: Path) -> None:
    (region,) = read_via(one(tmp_path, SHAPES[5]))["a.png"]
    assert isinstance(region.outline, OutlinePoint)
    assert not draw(region.outline, SIZE, where="here").mask.any()


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ({"name": "polygon", "all_points_x": [1, 9], "all_points_y": [1, 9]}, "polygon: has 2 points.*3"),
        ({"name": "polygon", "all_points_x": [1, 9, 1], "all_points_y": [1, 9, 1]}, "polygon: has 2 points.*3"),
        ({"name": "polygon", "all_points_x": [1, 9, 5, 4], "all_points_y": [1, 9, 2]}, "equal length"),
        ({"name": "polyline", "all_points_x": [4], "all_points_y": [4]}, "polyline: has 1 points.*2"),
        ({"name": "polygon"}, "lists of equal length"),
        ({"name": "rect", "x": 1, "y": 1, "width": 0, "height": 4}, "width = 0"),
        ({"name": "rect", "x": 1, "y": 1, "width": 4}, "height has 'None'"),
        ({"name": "circle", "cx": 1, "cy": 1, "r": float("nan")}, "r has 'nan'"),
        ({"name": "circle", "cx": 10**400, "cy": 1, "r": 2}, "cx has '1000"),
        ({"name": "ellipse", "cx": 1, "cy": "1", "rx": 2, "ry": 2}, "cy has '1'"),
        ({"name": "star", "cx": 1, "cy": 1}, "unknown shape 'star'.*polygon, rect"),
        ({"x": 1}, "unknown shape None"),
    ],
)
def test_a_shape_that_is_none_is_refused_with_its_place(tmp_path: Path, shape: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=rf"via\.json, 'a\.png1234', region 0.*{says}"):
        read_via(one(tmp_path, shape))
    rows = [("a.png", SHAPES[1], {}), ("a.png", shape, {})]
    with pytest.raises(InputError, match=rf"via\.csv, line 3.*{says}"):
        read_via(write_csv(tmp_path / "via.csv", rows))


def text(name: str, content: str | bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return write


ROW = 'a.png,12,"{}",1,0,"{""name"":""rect"",""x"":1,""y"":1,""width"":2,""height"":2}","{}"\n'


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda folder: folder / "nowhere.csv", "cannot be read"),
        (text("via.xml", "<a/>"), r"ending in \.csv or \.json"),
        (text("via.json", '{"a": '), "is no JSON"),
        (text("via.json", "[1, 2]"), "has an object"),
        (text("via.json", '{"project": {"pid": 1}, "config": {}}'), "names no picture"),
        (text("via.json", '{"a": {"filename": "a.png", "regions": 3}}'), "expected a list"),
        (text("via.json", '{"a": {"filename": "a.png", "regions": [{}]}}'), "region 0"),
        (text("via.json", '{"a": {"filename": "a.png", "regions": [{"shape_attributes": {}}]}}'), "has no shape"),
        (text("via.json", "[" * 200_000), "is no JSON"),
        (text("via.json", b"\xff\xfe\x00"), "not UTF-8"),
        (text("via.csv", ""), "lacks filename"),
        (text("via.csv", "image,x,y\n1,2,3\n"), "lacks filename, region_shape_attributes.*no VIA 2"),
        (text("via.csv", HEADER + '\na.png,12,"{}",1,0,"{""name"":\n'), "is no CSV"),
        (text("via.csv", HEADER + '\na.png,12,"{}",1,0,"{""name"":","{}"\n'), "line 2, region_shape.*no JSON"),
        (text("via.csv", HEADER + "\na.png,12\n"), "line 2: 2 columns.*7"),
        (text("via.csv", HEADER + "\n" + ROW.replace("a.png", "")), "names no picture"),
        (text("via.csv", HEADER + "\n" + ROW + ROW.replace("12", "13")), r"two files are named 'a\.png'.*12 and 13"),
    ],
)
def test_a_file_that_is_no_via_export_is_refused(tmp_path: Path, write: Callable[[Path], Path], says: str) -> None:
    with pytest.raises(InputError, match=rf"(via|nowhere)\.\w+.*{says}"):
        read_via(write(tmp_path))


def test_an_attribute_may_name_the_defect(tmp_path: Path) -> None:
    both = {"dent": True, "paint": True, "rust": False}
    pictures = entries({"a.png": SHAPES[:2]}, defect="dent") | entries({"b.png": SHAPES[:1]}, defect=both)
    found = read_via(write_json(tmp_path / "via.json", pictures))
    assert kinds_of(found["a.png"], "defect") == ("dent",)
    assert kinds_of(found["b.png"], "defect") == ("dent", "paint"), "a checkbox has an entry for each option"
    with pytest.raises(InputError, match=r"'a\.png1234', region 0: has no region attribute 'kind'.*has: defect"):
        kinds_of(found["a.png"], "kind")


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ("  deep dent ", ("deep dent",)), (3, ("3",)), (-2, ("-2",)), (0, ("0",)), (2.5, ("2.5",)), ("3", ("3",)),
        (10**12, ("1" + "0" * 12,)),
        ({"b": True, "a": 1, "c": False, "d": None, "e": ""}, ("a", "b")), ({"7": True}, ("7",)),
        ("fla\u0308chig", ("fl\u00e4chig",)), ("combined", ("combined",)), ("a & b, c", ("a & b, c",)),
    ],
)  # fmt: skip
def test_text_and_numbers_name_a_kind_in_every_export(tmp_path: Path, value: Any, kinds: tuple[str, ...]) -> None:
    files = [
        write_json(tmp_path / "via.json", entries({"a.png": SHAPES[:1]}, defect=value)),
        write_csv(tmp_path / "via.csv", [("a.png", SHAPES[0], {"defect": value})]),
    ]
    assert [kinds_of(read_via(file)["a.png"], "defect") for file in files] == [kinds, kinds]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("../x", "holds '/'"), ("a\\b", "holds"), ("..", "begins with a dot"), (".hidden", "begins with a dot"),
        ("C:", "holds ':'"), ("nul", "device of Windows"), ("x" * 300, "300 bytes"), ("\u00e9" * 120, "240 bytes"),
        ("a\nb", "cannot be seen"), ("a\u0000", "cannot be seen"), ("\ud83d", "cannot be seen"),
        ("dent.", "with a dot"),
        ("OK", "without a defect are called"), ("Defect-free", "without a defect are called"),
        ({"dent": True, "Good": True}, "'Good'.*without a defect are called"), ({"a/b": True}, "'a/b'"),
        ({"dent": "false"}, "option 'dent' is \"false\", expected true or false"), ({"dent": [1]}, "expected true or"),
        ({"dent": False}, "no option is ticked"), ({}, "no option is ticked"), ({" ": True}, "is empty"),
        ("", "is empty"), (" \t", "is empty"), (None, "is null, expected text"), (True, "is true, expected text"),
        (["dent"], "is .\"dent\"., expected text"), (float("nan"), "is NaN, expected text"), (10**300, "301 bytes"),
        (float("inf"), "is Infinity"),
    ],
)  # fmt: skip
def test_what_names_no_kind_is_refused_with_file_picture_and_region(tmp_path: Path, value: Any, says: str) -> None:
    ours = entries({"a.png": SHAPES[:1]}, defect="dent") | entries({"b.png": SHAPES[:1]}, defect=value)
    rows = [("a.png", SHAPES[0], {"defect": "dent"}), ("b.png", SHAPES[0], {"defect": value})]
    read, table = read_via(write_json(tmp_path / "via.json", ours)), read_via(write_csv(tmp_path / "via.csv", rows))
    assert kinds_of(read["a.png"], "defect") == kinds_of(table["a.png"], "defect") == ("dent",)
    with pytest.raises(InputError, match=rf"via\.json, 'b\.png1234', region 0: .*'defect': .*{says}") as error:
        kinds_of(read["b.png"], "defect")
    assert "has no region attribute" not in str(error.value) and len(str(error.value).removeprefix(str(tmp_path))) < 300
    with pytest.raises(InputError, match=rf"via\.csv, line 3, 'b\.png', region 1: .*{says}"):
        kinds_of(table["b.png"], "defect")
