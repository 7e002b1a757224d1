"""DiffAD's ablation (Zhang et al. 2023, Table 1) on folders in MVTec AD layout, its numbers beside ours.

    python -m experiments.compare --config=experiments/configs/compare/diffad.py:bottle,screw --workdir=runs/diffad \\
        --config.settings.data.root=/path/to/sets

The six rows of the table, for two CPU cores: a quarter of an hour each and set. ``reference`` among the words takes the
published sizes, for a GPU. The paper's numbers are means over all fifteen categories of MVTec AD, so they stand beside
ours where all of these are named, and alone elsewhere. Its row f&r noises a picture and denoises it; to which time it
does not say, ours is 500.
"""

from typing import Any

from ml_collections import ConfigDict

from experiments.config import comparison
from experiments.configs.compare.methods import FOLDER

PLAIN: dict[str, Any] = {"model": {"between": False}}
"""Settings of a row whose marks see the picture and what was drawn, alone."""
ROWS: dict[str, dict[str, Any]] = {
    "DiffAD f&r": {**PLAIN, "latent": {"condition": "none"}, "diffad": {"t_prime": 500, "grid": "trailing"},
                   "train": {"sampling_grid": "trailing"}},
    "DiffAD c": {**PLAIN, "latent": {"condition": "clean"}},
    "DiffAD no inter": PLAIN,
    "DiffAD own inter": {"diffad": {"share": 1.0}},
    "DiffAD": {},
}  # fmt: skip
"""Row of the table -> settings beside DiffAD's own; "own inter" shows the picture's own latent decoded."""


def get_config(argument: str = "") -> ConfigDict:
    words = [word.strip() for word in argument.split(",") if word.strip()]
    sets = [word for word in words if word != "reference"]
    size = ",reference" if len(sets) < len(words) else ""
    methods: dict[str, dict[str, Any]] = {"DRAEM": {"config": f"{FOLDER}:draem{size}"}}
    methods |= {row: {"config": f"{FOLDER}:diffad{size}", "settings": changes} for row, changes in ROWS.items()}
    data = {name: {"settings": {"data": {"category": name}}} for name in sets} or {"pictures": {}}
    return comparison(methods, data, paper="diffad")
