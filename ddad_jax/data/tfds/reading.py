"""L1. From prepared records to the `DataSet` that the loader of the files themselves gives."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from google.protobuf.json_format import ParseError
from google.protobuf.message import DecodeError

from ddad_jax.data import DataSet
from ddad_jax.data.listing import listed
from ddad_jax.data.load import GOOD, Picture, Pictures, data_set
from ddad_jax.data.names import require_inside
from ddad_jax.data.read import Encoded, Size
from ddad_jax.data.tfds.examples import LABELS
from ddad_jax.data.tfds.facts import VERSION
from ddad_jax.errors import InputError

_FIELDS = {"image": bytes, "mask": bytes, "has_mask": bool, "label": int, "defect": bytes, "name": bytes,
           "recording": bytes}  # fmt: skip
_UNREADABLE = (
    OSError,
    RuntimeError,  # array_record: damaged, cut off, missing
    ValueError,  # tensorflow-datasets, and JSON
    KeyError,
    ParseError,
    DecodeError,
)


_NAME_ONE = "Name a prepared data set, such as ddad_mvtec/bottle"


def from_tfds(data_dir: str | Path, name: str, size: Size) -> DataSet:
    """A data set that was prepared by a builder of this package.

    Every picture is decoded and resized by `ddad_jax.data.load`, as if it came from its file: images, masks, labels,
    kinds, names and their order are those of `mvtec_folder`, `visa`, `mtd` and, at the size it was rendered at,
    `cans`.

    Args:
      data_dir: the folder it was prepared in.
      name: of builder and configuration, such as "ddad_mvtec/bottle" or "ddad_mtd/seed_0".
      size: in pixels, what every picture is resized to; the side of a square or (height, width).

    Raises:
      InputError: nothing of that name and version is there, or its files are damaged; a size below 1.
    """
    return data_set(tfds_pictures(data_dir, name), size, orient=False)


def tfds_pictures(data_dir: str | Path, name: str) -> Pictures:
    """The records that ``from_tfds`` reads, in its order, each read from its place whenever it is decoded; arguments
    and errors are its own."""
    return _opened(_prepared(Path(data_dir).expanduser(), name))  # builders expand it, too


def require_whole(folder: str | Path) -> None:
    """Every record of a prepared data set is there and whole; no picture is decoded.

    Args:
      folder: of one version of one configuration, where ``dataset_info.json`` lies.

    Raises:
      InputError: it is damaged, or was not prepared by a builder of this package.
    """
    _opened(Path(folder))


def _opened(folder: Path) -> Pictures:
    """Every record of "train" and "test", read once."""
    undecoded = {"image": tfds.decode.SkipDecoding(), "mask": tfds.decode.SkipDecoding()}
    try:
        builder = tfds.builder_from_directory(folder)
        known = dict(builder.info.metadata or {})
        sources = {split: builder.as_data_source(split, decoders=undecoded) for split in ("train", "test")}
    except _UNREADABLE as error:
        raise unreadable_data_set(folder, error) from error
    if not {"name", "any_nonzero"} <= known.keys() or set(builder.info.features) != _FIELDS.keys():
        raise InputError(f"{folder} was not prepared by a builder of ddad_jax. Prepare it with experiments/prepare.py.")
    (train, recordings), (test, _) = (_records(folder, sources[split]) for split in ("train", "test"))
    recordings = recordings if any(recordings) else []
    return Pictures(known["name"], train, test, tuple(recordings), any_nonzero=known["any_nonzero"])


def _records(folder: Path, source: Any) -> tuple[list[Picture], list[str]]:
    """What is known of every record, and its recording."""

    def held(i: int, field: str) -> Callable[[], bytes]:
        return lambda: _example(folder, source, i)[field]

    pictures: list[Picture] = []
    recordings, where = [], dict[str, int]()
    for i in range(len(source)):
        example = _example(folder, source, i)
        name, defect = example["name"].decode(), example["defect"].decode()
        image = Encoded(f"{name} in {folder}", held(i, "image"))
        masks = (Encoded(f"of {image}", held(i, "mask")),) if defect != GOOD and example["has_mask"] else ()
        pictures.append(Picture(image, name, defect, masks))
        recordings.append(example["recording"].decode())
        try:
            require_inside(name, f"record {i}")
        except InputError as error:
            raise unreadable_data_set(folder, error) from error
        if where.setdefault(name, i) != i:
            raise unreadable_data_set(folder, f"records {where[name]} and {i} are both named {name!r}")
    return pictures, recordings


def _example(folder: Path, source: Any, i: int) -> dict[str, Any]:
    try:
        example = source[i]
    except _UNREADABLE as error:
        raise unreadable_data_set(folder, error) from error
    # From a file cut off at a block's end array_record returns empty records without a word.
    odd = [key for key, kind in _FIELDS.items() if not isinstance(example.get(key), kind)]
    if odd or example["label"] != LABELS.index("normal" if example["defect"] == GOOD.encode() else "anomalous"):
        raise unreadable_data_set(folder, f"record {i} is incomplete")
    return example


def unreadable_data_set(folder: str | Path, error: BaseException | str) -> InputError:
    """What is said of a prepared data set that cannot be read."""
    return InputError(f"{folder} is damaged ({error}). Delete that folder and prepare it again.")


def _prepared(data_dir: Path, name: str) -> Path:
    """The folder of the version that this program reads."""
    folder = data_dir / require_inside(name or ".", "--config.data.category", mend=_NAME_ONE) / VERSION
    if name and (folder / "dataset_info.json").is_file():
        return folder
    if not data_dir.is_dir():
        raise InputError(f"{data_dir} (the folder of prepared data sets) is not a folder.")
    infos = [p.parent for depth in ("*/*", "*/*/*") for p in data_dir.glob(f"{depth}/dataset_info.json")]
    # Interrupted preparations leave folders with other names.
    versions = sorted(p.relative_to(data_dir) for p in infos if re.fullmatch(r"\d+\.\d+\.\d+", p.name))
    others = [p.name for p in versions if p.parent.as_posix() == name]
    if others:
        raise InputError(f"{data_dir / name} holds version {listed(others)}; {VERSION} is read. Prepare it again.")
    here = [p.parent.as_posix() for p in versions if p.name == VERSION]
    raise InputError(
        f"{data_dir} holds no prepared data set {name!r}, but: {listed(here)}. Prepare it with "
        "python -m experiments.prepare, or name one of these (--config.data.category=...)."
    )
