"""L1. VisA as published: one table of files, ``split_csv/1cls.csv``, and the pictures it names.

ROOT/split_csv/1cls.csv                       columns object, split, label, image, mask
ROOT/OBJECT/Data/Images/{Normal,Anomaly}/*    as the table's "image" column says, relative to ROOT
ROOT/OBJECT/Data/Masks/Anomaly/*              as its "mask" column says; empty for normal pictures
"""

import csv
from pathlib import Path, PurePosixPath
from typing import Any

from ddad_jax.data import DataSet
from ddad_jax.data.listing import listed, require_folder, walked
from ddad_jax.data.load import GOOD, Picture, Pictures, data_set
from ddad_jax.data.names import require_inside
from ddad_jax.data.read import Size
from ddad_jax.data.unused import unused_notes
from ddad_jax.errors import InputError

_COLUMNS = ("object", "split", "label", "image", "mask")
_SPLITS = ("train", "test")
_LABELS = ("normal", "anomaly")


def visa(root: str | Path, category: str, size: Size) -> DataSet:
    """One object of VisA in its one-class split.

    Masks hold the class numbers of the defects; every value but 0 is defective. Pictures keep the pixel order
    of their files (no EXIF turn), which is the order the masks were drawn in.

    Args:
      root: the folder that holds ``split_csv``.
      category: an object of the table: "candle", "capsules", "cashew", ...
      size: in pixels, what every picture is resized to; the side of a square or (height, width).

    Returns:
      The data set, sorted by name; kinds are "good" and "anomaly" (the table does not say more).

    Raises:
      InputError: no table, a column missing, an unknown object, split or label, an anomaly among the training
        pictures, a file named by the table that is missing, unreadable, outside ``root`` or named twice, a mask of
        another size.

    Source: Zou et al., SPot-the-Difference, ECCV 2022.
    """
    return data_set(visa_pictures(root, category), size, orient=False)


def visa_pictures(root: str | Path, category: str) -> Pictures:
    """The files that ``visa`` reads, in its order; arguments and errors are its own."""
    root = Path(root)
    require_folder(root, "the root of VisA", "Pass the folder that holds split_csv (--config.data.root=...).")
    table = root / "split_csv" / "1cls.csv"
    rows = _rows(table)
    objects = sorted({row["object"] for row in rows})
    if category not in objects:
        raise InputError(f"{table} has no object {category!r}. Pass one of: {listed(objects)}.")
    pictures: dict[str, list[Picture]] = {split: [] for split in _SPLITS}
    for row in rows:
        if row["object"] == category:
            pictures[row["split"]].append(_picture(root, row))
    for split, chosen in pictures.items():
        if not chosen:
            raise InputError(f"{table} lists no {split} pictures of {category!r}. Restore the published file.")
    odd = [p.name for p in pictures["train"] if p.defect != GOOD]
    if odd:
        raise InputError(
            f"{table} lists anomalies among the training pictures of {category!r}: {listed(odd, 5)}. "
            f"Training takes normal pictures only: use the published one-class table."
        )
    train, test = (sorted(pictures[split], key=lambda p: p.name) for split in _SPLITS)
    used: set[Any] = {file for picture in (*train, *test) for file in (picture.path, *picture.masks)}
    folder = root / category / "Data"
    there = (path for part in ("Images", "Masks") if (folder / part).is_dir() for path in walked(folder / part))
    notes = unused_notes(root, there, used, lambda path: (f"not named by {table.name}", "Add a line for each to it."))
    return Pictures(category, train, test, notes=tuple(notes), any_nonzero=True)


def _picture(root: Path, row: dict[str, str]) -> Picture:
    masks = (root / PurePosixPath(row["mask"]),) if row["mask"] and row["label"] == "anomaly" else ()
    defect = GOOD if row["label"] == "normal" else row["label"]
    return Picture(root / PurePosixPath(row["image"]), row["image"], defect, masks)


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = tuple(reader.fieldnames or ())
            rows = [{k: (row.get(k) or "").strip() for k in _COLUMNS} for row in reader]
    except FileNotFoundError as error:
        raise InputError(
            f"{table} is missing. VisA is read through this table: pass the folder VisA was unpacked into."
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read ({error}). Restore the published file.") from error
    missing = [c for c in _COLUMNS if c not in columns]
    if missing:
        raise InputError(f"{table} lacks the columns {listed(missing)}; it has {listed(columns)}.")
    first: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        if row["split"] not in _SPLITS or row["label"] not in _LABELS or not row["image"]:
            raise InputError(
                f"{table}, line {line}: expected split {' or '.join(_SPLITS)}, "
                f"label {' or '.join(_LABELS)} and an image, "
                f"found {row['split']!r}, {row['label']!r}, {row['image']!r}."
            )
        for column in ("image", "mask"):
            if row[column]:
                require_inside(row[column], f"{table}, line {line}, {column}", mend="Restore the published file")
                row[column] = PurePosixPath(row[column]).as_posix()
        if (before := first.setdefault(row["image"], line)) != line:
            raise InputError(
                f"{table}, line {line}: image {row['image']!r} is that of line {before}. Keep one of them."
            )
    return rows
