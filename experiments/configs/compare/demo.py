"""Every method on rendered cans, small enough for two CPU cores: under 20 minutes.

    python -m experiments.compare --config=experiments/configs/compare/demo.py --workdir=runs/compared

``demo.py:coffee`` names another product.
"""

from ml_collections import ConfigDict

from experiments.config import comparison
from experiments.configs.compare.methods import small

OF_FEATURES = ("Ensemble", "Feature DDAD", "PatchCore", "PaDiM")


def get_config(product: str = "winter_melon") -> ConfigDict:
    methods = small()
    for title in OF_FEATURES:
        methods[title]["settings"] = {"data": {"size": 128}}
    demo = {"train": {"max_minutes": 3.0}}
    methods["DDAD"].update(config=f"experiments/configs/demo.py:{product}", settings=demo)
    methods["Gaussian DDAD"]["settings"] = {"data": {"size": 64}}
    return comparison(methods, {product: {"settings": {"data": {"kind": "cans", "category": product}}}})
