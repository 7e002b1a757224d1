"""The data sets that ``data.kind`` may name: one table, from which the config's check takes its names."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ddad_jax.data import DataSet
from ddad_jax.data.cans import cans
from ddad_jax.data.folder import mvtec_folder, mvtec_pictures
from ddad_jax.data.load import Pictures
from ddad_jax.data.mtd import mtd, mtd_pictures
from ddad_jax.data.visa import visa, visa_pictures
from ddad_jax.engine.settings.sections import Settings


class Kind(NamedTuple):
    """How pictures of one kind of data set are had.

    load: what reads them. pictures: lists the files that ``load`` reads, in its order, their names relative to
    ``data.root``; None where a picture is in no file of its own. upright: whether ``load`` turns them as their EXIF tag
    says, so that what is drawn on them lies where it was found.
    """

    load: Callable[[Settings], DataSet]
    pictures: Callable[[Settings], Pictures] | None = None
    upright: bool = False


def picture_size(c: Settings) -> tuple[int, int]:
    """(height, width) that every picture is brought to before anything else."""
    height, width = c.data.picture or (c.data.size, c.data.size)
    return height, width


def _folder(c: Settings) -> DataSet:
    return mvtec_folder(c.data.root, c.data.category, picture_size(c))


def _cans(c: Settings) -> DataSet:
    named: dict[str, Any] = {"product": c.data.category} if c.data.category else {}
    return cans(c.data.size, seed=c.seed, **named)


def _tfds(c: Settings) -> DataSet:
    from ddad_jax.data.tfds import from_tfds  # an extra, which the rest can do without

    return from_tfds(c.data.root, c.data.category, c.data.size)


KINDS = {
    "folder": Kind(_folder, lambda c: mvtec_pictures(c.data.root, c.data.category), upright=True),
    "visa": Kind(
        lambda c: visa(c.data.root, c.data.category, c.data.size), lambda c: visa_pictures(c.data.root, c.data.category)
    ),
    "mtd": Kind(lambda c: mtd(c.data.root, c.data.size, seed=c.seed), lambda c: mtd_pictures(c.data.root, seed=c.seed)),
    "cans": Kind(_cans),
    "tfds": Kind(_tfds),
}
"""``data.kind`` -> its data sets. All but the rendered cans need ``data.root``."""
