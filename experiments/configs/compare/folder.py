"""Which method finds the defects of your pictures: eleven methods on folders in MVTec AD layout, on two CPU cores.

    python -m experiments.compare --config=experiments/configs/compare/folder.py:bottle,screw --workdir=runs/compared \\
        --config.settings.data.root=/path/to/sets

They are all of ``methods.SMALL``: the ensemble, DDAD in feature space, in pixels and with a Gaussian in the place of a
network, PatchCore, PaDiM, DRAEM, RIAD, DiffusionAD, DiffAD and AnoDDPM; Score-based PR and InversionAD are not among
them. Without a word behind it the root itself is the one set, with its train/good and test. An hour and a half a set,
most of it trainings of a quarter of an hour each.
"""

from ml_collections import ConfigDict

from experiments.config import comparison
from experiments.configs.compare.methods import small


def get_config(argument: str = "") -> ConfigDict:
    sets = [name.strip() for name in argument.split(",") if name.strip()]
    data = {name: {"settings": {"data": {"category": name}}} for name in sets} or {"pictures": {}}
    return comparison(small(), data)
