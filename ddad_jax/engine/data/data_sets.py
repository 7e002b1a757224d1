"""The data sets that ``data.kind`` may name: one table, from which the config's check takes its names."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ddad_jax.data import DataSet
from ddad_jax.data.cans import cans
from ddad_jax.data.encode import as_files
from ddad_jax.data.folder import mvtec_folder, mvtec_pictures
from ddad_jax.data.load import Pictures, data_set
from ddad_jax.data.mtd import mtd, mtd_pictures
from ddad_jax.data.visa import visa, visa_pictures
from ddad_jax.engine.settings.sections import DataSettings


class DataSetKind(NamedTuple):
    """How pictures of one kind of data set are had.

    load: what reads them, of the settings and the run's seed. pictures: lists what ``load`` reads, in its order: files,
    their names relative to ``data.root``, or what holds a picture that is in no file of its own. upright: whether
    ``load`` turns them as their EXIF tag says, so that what is drawn on them lies where it was found. rendered: at any
    size, not taken at one.
    """

    load: Callable[[DataSettings, int], DataSet]
    pictures: Callable[[DataSettings, int], Pictures]
    upright: bool = False
    rendered: bool = False


def picture_size(d: DataSettings) -> tuple[int, int]:
    """(height, width) that every picture is brought to before anything else."""
    height, width = d.picture or (d.size, d.size)
    return height, width


def _folder(d: DataSettings, seed: int) -> DataSet:
    return mvtec_folder(d.root, d.category, picture_size(d))


def _rendered(d: DataSettings, seed: int) -> DataSet:
    """Square, as its camera sees them, at the longer side of what they are brought to."""
    named: dict[str, Any] = {"product": d.category} if d.category else {}
    return cans(max(picture_size(d)), seed=seed, **named)


def _cans(d: DataSettings, seed: int) -> DataSet:
    height, width = picture_size(d)
    return (
        _rendered(d, seed) if height == width else data_set(as_files(_rendered(d, seed)), (height, width), orient=False)
    )


def _tfds(d: DataSettings, seed: int) -> Pictures:
    from ddad_jax.data.tfds import tfds_pictures  # an extra, which the rest can do without

    return tfds_pictures(d.root, d.category)


KINDS = {
    "folder": DataSetKind(_folder, lambda d, seed: mvtec_pictures(d.root, d.category), upright=True),
    "visa": DataSetKind(
        lambda d, seed: visa(d.root, d.category, picture_size(d)),
        lambda d, seed: visa_pictures(d.root, d.category),
    ),
    "mtd": DataSetKind(
        lambda d, seed: mtd(d.root, picture_size(d), seed=seed, split=d.split),
        lambda d, seed: mtd_pictures(d.root, seed=seed, split=d.split),
    ),
    "cans": DataSetKind(_cans, lambda d, seed: as_files(_rendered(d, seed)), rendered=True),
    "tfds": DataSetKind(lambda d, seed: data_set(_tfds(d, seed), picture_size(d), orient=False), _tfds),
}
"""``data.kind`` -> its data sets. All but the rendered cans need ``data.root``."""
