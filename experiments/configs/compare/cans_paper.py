"""The can paper's Tables 1 and 2 (Huynh et al. 2025) on its three products, its numbers beside ours.

    python -m experiments.compare --config=experiments/configs/compare/cans_paper.py --workdir=runs/cans_paper

The paper films real cans, which are not published: ours are rendered, and its Sprite is a lemon soda. Of its seven
methods those stand here that this project has; the others have the paper's numbers alone. Settings are for two CPU
cores, three hours; ``cans_paper.py:gpu`` is 256 px (224 of PatchCore and PaDiM) and the papers' networks: what was
published of PaDiM, PatchCore and DRAEM, and DDAD-S in bfloat16 of DDAD and of the score that uses its network.
"""

from typing import Any

from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.config import comparison
from experiments.configs.compare.benchmark_paper import REFERENCE
from experiments.configs.compare.methods import FOLDER, small

PRODUCTS = {"winter_melon": "winter_melon", "sprite": "lemon_soda", "coffee": "coffee"}
"""The paper's name -> ours."""

PUBLISHED: dict[str, dict[str, Any]] = {
    **{title: REFERENCE[title] for title in ("PatchCore", "DRAEM")},
    "PaDiM": {name: value for name, value in REFERENCE["PaDiM"].items() if name != "published_as"},
    "DDAD": {"config": f"{FOLDER}:gpu"},
    "Score-based PR": {"config": f"{FOLDER}:gpu"},
}
"""Title -> what a GPU runs in the place of the settings for two cores."""


def get_config(size: str = "cpu") -> ConfigDict:
    if size not in ("cpu", "gpu"):
        raise InputError(f"cans_paper.py:{size}: expected cans_paper.py (for two CPU cores) or cans_paper.py:gpu")
    methods = small("PaDiM", "PatchCore", "DRAEM", "Score-based PR", "DDAD")
    for title, changes in PUBLISHED.items() if size == "gpu" else ():
        methods[title].update(changes)
    data = {name: {"settings": {"data": {"kind": "cans", "category": product}}} for name, product in PRODUCTS.items()}
    return comparison(methods, data, paper="cans")
