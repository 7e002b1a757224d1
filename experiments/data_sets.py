"""The data sets that ``data.kind`` may name: one table, from which the config's check takes its names."""

from collections.abc import Callable

from ml_collections import ConfigDict

from ddad_jax.data import DataSet
from ddad_jax.data.cans import cans
from ddad_jax.data.folder import mvtec_folder
from ddad_jax.data.mtd import mtd
from ddad_jax.data.visa import visa
from experiments.view import picture_size


def _cans(c: ConfigDict) -> DataSet:
    return cans(c.data.size, seed=c.seed, **({"product": c.data.category} if c.data.category else {}))


def _tfds(c: ConfigDict) -> DataSet:
    from ddad_jax.data.tfds import from_tfds  # an extra, which the rest can do without

    return from_tfds(c.data.root, c.data.category, c.data.size)


KINDS: dict[str, Callable[[ConfigDict], DataSet]] = {
    "folder": lambda c: mvtec_folder(c.data.root, c.data.category, picture_size(c)),
    "visa": lambda c: visa(c.data.root, c.data.category, c.data.size),
    "mtd": lambda c: mtd(c.data.root, c.data.size, seed=c.seed),
    "cans": _cans,
    "tfds": _tfds,
}
"""``data.kind`` -> what reads it. All but the rendered cans need ``data.root``."""
