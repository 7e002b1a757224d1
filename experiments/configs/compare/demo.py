"""Nine methods on rendered cans, small enough for two CPU cores: about 20 minutes when nothing else runs there.

    python -m experiments.compare --config=experiments/configs/compare/demo.py --workdir=runs/compared

They are those of ``compare/folder.py`` without Gaussian DDAD and AnoDDPM. ``demo.py:coffee`` names another product.
Networks are trained for a minute or less, which is too little for most; the note of a row says how long. Times are
limits on the clock, so a busy machine trains less.
"""

from ml_collections import ConfigDict

from experiments.config import comparison
from experiments.configs.compare.methods import small

OF_FEATURES = ("Ensemble", "Feature DDAD", "PatchCore", "PaDiM")
MINUTES = {
    "DDAD": {"train": 0.9},
    "DRAEM": {"train": 0.5},
    "RIAD": {"train": 0.5},
    "DiffusionAD": {"train": 0.5},
    "DiffAD": {"autoencoder": 0.2, "latent": 0.2, "train": 0.2},
}
"""Of each training, by the section of its settings."""


def get_config(product: str = "winter_melon") -> ConfigDict:
    methods = small(*MINUTES, *OF_FEATURES)
    methods["DDAD"]["config"] = f"experiments/configs/demo.py:{product}"
    for title, minutes in MINUTES.items():
        limits = {section: {"max_minutes": most} for section, most in minutes.items()}
        methods[title]["settings"] = {"data": {"size": 64}, **limits}
    for title in OF_FEATURES:
        methods[title]["settings"] = {"data": {"size": 128}}
    return comparison(methods, {product: {"settings": {"data": {"kind": "cans", "category": product}}}})
