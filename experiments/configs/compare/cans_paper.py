"""The can paper's Tables 1 and 2 (Huynh et al. 2025) on its three products, its numbers beside ours.

    python -m experiments.compare --config=experiments/configs/compare/cans_paper.py --workdir=runs/cans_paper

The paper films real cans, which are not published: ours are rendered, and its Sprite is a lemon soda. Of its seven
methods those stand here that this project has; the others have the paper's numbers alone. Settings are for two CPU
cores, three hours; ``cans_paper.py:gpu`` is 256 px and the papers' networks.
"""

from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.config import comparison
from experiments.configs.compare.methods import FOLDER, small

PRODUCTS = {"winter_melon": "winter_melon", "sprite": "lemon_soda", "coffee": "coffee"}
"""The paper's name -> ours."""


def get_config(size: str = "cpu") -> ConfigDict:
    if size not in ("cpu", "gpu"):
        raise InputError(f"cans_paper.py:{size}: expected cans_paper.py (for two CPU cores) or cans_paper.py:gpu")
    methods = small("PaDiM", "PatchCore", "DRAEM", "Score-based PR", "DDAD")
    for title in ("DDAD", "Score-based PR") if size == "gpu" else ():
        methods[title].update(config=f"{FOLDER}:gpu", note="")
    data = {name: {"settings": {"data": {"kind": "cans", "category": product}}} for name, product in PRODUCTS.items()}
    return comparison(methods, data, paper="cans")
