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
from ddad_jax.engine.settings.sections import Settings


class Kind(NamedTuple):
    """How pictures of one kind of data set are had.

    load: what reads them. pictures: lists what ``load`` reads, in its order: files, their names relative to
    ``data.root``, or what holds a picture that is in no file of its own. upright: whether ``load`` turns them as their
    EXIF tag says, so that what is drawn on them lies where it was found. rendered: at any size, not taken at one.
    """

    load: Callable[[Settings], DataSet]
    pictures: Callable[[Settings], Pictures]
    upright: bool = False
    rendered: bool = False


def picture_size(c: Settings) -> tuple[int, int]:
    """(height, width) that every picture is brought to before anything else."""
    height, width = c.data.picture or (c.data.size, c.data.size)
    return height, width


def _folder(c: Settings) -> DataSet:
    return mvtec_folder(c.data.root, c.data.category, picture_size(c))


def _rendered(c: Settings) -> DataSet:
    """Square, as its camera sees them, at the longer side of what they are brought to."""
    named: dict[str, Any] = {"product": c.data.category} if c.data.category else {}
    return cans(max(picture_size(c)), seed=c.seed, **named)


def _cans(c: Settings) -> DataSet:
    height, width = picture_size(c)
    return _rendered(c) if height == width else data_set(as_files(_rendered(c)), (height, width), orient=False)


def _tfds(c: Settings) -> Pictures:
    from ddad_jax.data.tfds import tfds_pictures  # an extra, which the rest can do without

    return tfds_pictures(c.data.root, c.data.category)


KINDS = {
    "folder": Kind(_folder, lambda c: mvtec_pictures(c.data.root, c.data.category), upright=True),
    "visa": Kind(
        lambda c: visa(c.data.root, c.data.category, picture_size(c)),
        lambda c: visa_pictures(c.data.root, c.data.category),
    ),
    "mtd": Kind(
        lambda c: mtd(c.data.root, picture_size(c), seed=c.seed), lambda c: mtd_pictures(c.data.root, seed=c.seed)
    ),
    "cans": Kind(_cans, lambda c: as_files(_rendered(c)), rendered=True),
    "tfds": Kind(lambda c: data_set(_tfds(c), picture_size(c), orient=False), _tfds),
}
"""``data.kind`` -> its data sets. All but the rendered cans need ``data.root``."""
