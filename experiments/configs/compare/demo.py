"""Every method on rendered cans, small enough for two CPU cores: under 20 minutes when nothing else runs there.

    python -m experiments.compare --config=experiments/configs/compare/demo.py --workdir=runs/compared

``demo.py:coffee`` names another product. Networks are trained for one to three minutes: what that is too little for,
its row says. Times are limits on the clock, so a busy machine trains less.
"""

from ml_collections import ConfigDict

from experiments.config import comparison
from experiments.configs.compare.methods import small

OF_FEATURES = ("Ensemble", "Feature DDAD", "PatchCore", "PaDiM")
TRAINED = ("DRAEM", "RIAD", "DiffusionAD")


def get_config(product: str = "winter_melon") -> ConfigDict:
    methods = small("DDAD", *TRAINED, *OF_FEATURES)
    methods["DDAD"].update(config=f"experiments/configs/demo.py:{product}", settings={"train": {"max_minutes": 3.0}})
    for title in TRAINED:
        methods[title]["settings"] = {"data": {"size": 64}, "train": {"max_minutes": 1.5}}
    for title in OF_FEATURES:
        methods[title]["settings"] = {"data": {"size": 128}}
    return comparison(methods, {product: {"settings": {"data": {"kind": "cans", "category": product}}}})
