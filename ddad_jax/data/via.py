"""L1. Labels drawn in the VGG Image Annotator, release 2 (and 1): its CSV and JSON exports and its project files.

CSV, with commas, or semicolons or tabs as spreadsheets save it again: one region a row, columns filename, file_size,
file_attributes, region_count, region_id, region_shape_attributes, region_attributes, the last two and file_attributes
being JSON.
JSON: an object of pictures, keyed by file name and size; a project file holds the same under ``_via_img_metadata``.

VIA lists every picture that was opened, so one without regions has not been labelled; whether it was looked at and
found sound is for the caller to know. A point has no area: it is kept, counted and never drawn.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.data.json_file import parsed, text_of
from ddad_jax.data.names import require_kind
from ddad_jax.data.outlines import Ellipse, Line, Outline, OutlinePoint, Polygon
from ddad_jax.errors import InputError

SHAPES = ("polygon", "rect", "circle", "ellipse", "polyline", "point")
_FAR = 1e9  # no picture is as wide; NaN and infinity are caught by the same comparison
_NEEDED = ("filename", "region_shape_attributes")
_EXPORT = "Export it again from VIA 2: Annotation > Export Annotations (as csv) or (as json), or Project > Save"


class ViaRegion(NamedTuple):
    """One region of one picture."""

    where: str
    """File and place in it, for messages."""
    outline: Outline
    """In pixels of the picture, the corner of its first pixel being (0, 0)."""
    attributes: Mapping[str, Any]
    """What was filled in for it; the value of a checkbox is a mapping from option to bool."""


def read_via(path: str | Path) -> dict[str, tuple[ViaRegion, ...]]:
    """Every picture that a VIA file lists, with its regions, in the file's order.

    Args:
      path: ends in .csv or .json. A rectangle becomes a polygon of four corners, a circle an ellipse.

    Returns:
      File name as VIA has it -> regions, none where the picture was opened only.

    Raises:
      InputError: not such a file, not UTF-8, no CSV or JSON, an unknown shape, a coordinate that is no finite number,
        a polygon of fewer than three points, a name that stands for two files. File and place are named.

    Source: Dutta and Zisserman, The VIA Annotation Software for Images, Audio and Video, ACM Multimedia 2019 (the
      tool); angles of ellipses in radians, clockwise on the screen, as its canvas turns them.
    """
    path = Path(path)
    entries = {".csv": _of_csv, ".json": _of_json}.get(path.suffix.lower())
    if entries is None:
        raise InputError(f"{path}: expected a VIA file ending in .csv or .json. {_EXPORT}.")
    try:
        text = text_of(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check the path of the labels.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start}). {_EXPORT}.") from error
    found: dict[str, list[ViaRegion]] = {}
    sizes: dict[str, str] = {}
    for where, name, size, shape, attributes in entries(text, path):
        if sizes.setdefault(name, size) != size:
            raise InputError(f"{where}: two files are named {name!r} (sizes {sizes[name]} and {size}). Label {_APART}.")
        regions = found.setdefault(name, [])
        if shape:
            regions.append(ViaRegion(where, _outline(shape, where), attributes))
    return {name: tuple(regions) for name, regions in found.items()}


def kinds_of(regions: Sequence[ViaRegion], attribute: str) -> tuple[str, ...]:
    """What the regions' ``attribute`` calls them, sorted, each once; a number is taken as its text.

    They name folders, so each is as `ddad_jax.data.names.require_kind` has it.

    Raises:
      InputError: a region without it, or with a value that names no kind of defect: empty, no text, what no folder may
        be called, what normal pictures are called. File, picture and region are named.
    """
    return tuple(sorted({kind for region in regions for kind in _kinds(region, attribute)}))


def _kinds(region: ViaRegion, attribute: str) -> list[str]:
    mend = "Fill it in, or name the one that says what defect it is"
    where = f"{region.where}: region attribute {attribute!r}"
    if attribute not in region.attributes:
        there = ", ".join(sorted(region.attributes)) or "none"
        raise InputError(f"{region.where}: has no region attribute {attribute!r} (it has: {there}). {mend}.")
    value = region.attributes[attribute]
    if isinstance(value, Mapping):  # a checkbox: option -> whether it is ticked
        odd = [option for option, ticked in value.items() if not (ticked in (0, 1) or ticked in (None, ""))]
        if odd:
            raise InputError(f"{where}: option {odd[0]!r} is {_cut(value[odd[0]])}, expected true or false. {_EXPORT}.")
        chosen = [option for option, ticked in value.items() if ticked]
        if not chosen:
            raise InputError(f"{where}: no option is ticked. {mend}.")
    elif not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    ):
        chosen = [json.dumps(value)]
    elif isinstance(value, str):
        chosen = [value]
    else:
        raise InputError(f"{where}: is {_cut(value)}, expected text or a finite number. {mend}.")
    if not all(name.strip() for name in chosen):
        raise InputError(f"{where}: is empty. {mend}.")
    return [require_kind(name.strip(), where, mend="Call the defect something else") for name in chosen]


def _cut(value: Any) -> str:
    """As JSON has it, its beginning."""
    return json.dumps(value)[:60]


_APART = "pictures whose names differ, or each recording in a VIA file of its own"

_Entry = tuple[str, str, str, Mapping[str, Any], Mapping[str, Any]]
"""Where it stands, the picture's name and size in bytes, shape (empty: no region) and attributes."""


def _of_csv(text: str, path: Path) -> Iterator[_Entry]:
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(text))
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(f"{path}: is no CSV ({error}). {_EXPORT}.") from error
    header = [name.strip().lstrip("#") for name in rows[0][1]] if rows else []
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise InputError(f"{path}: its first line lacks {', '.join(missing)}, so it is no VIA 2 export. {_EXPORT}.")
    for line, row in rows[1:]:
        where = f"{path}, line {line}"
        if len(row) != len(header):
            raise InputError(f"{where}: {len(row)} columns, but the first line names {len(header)}. {_EXPORT}.")
        cells = dict(zip(header, row, strict=True))
        shape, attributes = (
            _object(cells.get(column) or "{}", f"{where}, {column}")
            for column in ("region_shape_attributes", "region_attributes")
        )
        name = _name(cells["filename"], where)
        place = f"{where}, {name!r}, region {cells.get('region_id', '')}".rstrip()
        yield place, name, cells.get("file_size", ""), shape, attributes


def _delimiter(text: str) -> str:
    """A spreadsheet may have saved it again, with semicolons or tabs where the country writes 1,5."""
    first = text.lstrip("\r\n").partition("\n")[0]
    return max(",;\t", key=first.count)


def _of_json(text: str, path: Path) -> Iterator[_Entry]:
    entries = _object(text, str(path))
    if "_via_img_metadata" in entries:
        entries = _mapping(entries["_via_img_metadata"], f"{path}, _via_img_metadata")
    for key, value in entries.items():
        where = f"{path}, {key!r}"
        entry = _mapping(value, where)
        name, size = _name(entry.get("filename"), where), str(entry.get("size", ""))
        regions = entry.get("regions", [])
        regions = list(regions.values()) if isinstance(regions, Mapping) else regions  # VIA 1 numbers them
        if not isinstance(regions, list):
            raise InputError(f"{where}: regions are {regions!r}, expected a list. {_EXPORT}.")
        yield where, name, size, {}, {}
        for number, item in enumerate(regions):
            place = f"{where}, region {number}"
            region = _mapping(item, place)
            shape = _mapping(region.get("shape_attributes"), f"{place}, shape_attributes")
            if not shape:
                raise InputError(f"{place}: has no shape. {_EXPORT}.")
            yield place, name, size, shape, _mapping(region.get("region_attributes", {}), place)


def _object(text: str, where: str) -> Mapping[str, Any]:
    try:
        return _mapping(parsed(text, constants=True), where)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is no JSON ({error}). {_EXPORT}.") from error


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: {str(value)[:60]!r} where VIA 2 has an object. {_EXPORT}.")
    return value


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: names no picture (filename), so it is no VIA 2 export. {_EXPORT}.")
    return value.strip()


def _outline(shape: Mapping[str, Any], where: str) -> Outline:
    kind = shape.get("name")
    where = f"{where}, {kind}"
    if kind in ("polygon", "polyline"):
        points = _points(shape, where)
        # Some releases end a polygon with its first point again.
        if kind == "polygon" and len(points) > 1 and np.array_equal(points[0], points[-1]):
            points = points[:-1]
        least, drawn = (3, Polygon) if kind == "polygon" else (2, Line)
        if len(np.unique(points, axis=0)) < least:
            raise InputError(f"{where}: has {len(points)} points; expected at least {least} different ones.")
        return drawn(points)
    if kind == "rect":
        x, y = _number(shape, "x", where), _number(shape, "y", where)
        right, low = x + _length(shape, "width", where), y + _length(shape, "height", where)
        return Polygon(np.array([(x, y), (right, y), (right, low), (x, low)]))
    if kind not in SHAPES:
        raise InputError(f"{where}: unknown shape {kind!r}; VIA 2 draws {', '.join(SHAPES)}.")
    centre = _number(shape, "cx", where), _number(shape, "cy", where)
    if kind == "point":
        return OutlinePoint(centre)
    if kind == "circle":
        radius = _length(shape, "r", where)
        return Ellipse(centre, (radius, radius), 0.0)
    radii = _length(shape, "rx", where), _length(shape, "ry", where)
    return Ellipse(centre, radii, _number(shape, "theta", where) if "theta" in shape else 0.0)


def _points(shape: Mapping[str, Any], where: str) -> np.ndarray:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not (isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys)):
        raise InputError(f"{where}: all_points_x and all_points_y must be lists of equal length.")
    pairs = [
        (_finite(x, "all_points_x", where), _finite(y, "all_points_y", where)) for x, y in zip(xs, ys, strict=True)
    ]
    return np.array(pairs, np.float64).reshape(-1, 2)


def _number(shape: Mapping[str, Any], name: str, where: str) -> float:
    return _finite(shape.get(name), name, where)


def _length(shape: Mapping[str, Any], name: str, where: str) -> float:
    value = _number(shape, name, where)
    if value <= 0:
        raise InputError(f"{where}: {name} = {value:g}; expected more than 0. Draw it again, or delete it.")
    return value


def _finite(value: Any, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _FAR:
        raise InputError(f"{where}: {name} has {str(value)[:60]!r} where a number of pixels is expected. {_EXPORT}.")
    return float(value)
