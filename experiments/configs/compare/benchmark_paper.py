"""The benchmark of ten methods on MVTec AD (Cools et al. 2025, Tables 1 to 6 and A1 to A4), its numbers beside ours.

    python -m experiments.compare --config=experiments/configs/compare/benchmark_paper.py:screw,carpet \\
        --workdir=runs/benchmark --config.settings.data.root=/path/to/mvtec_ad

Groups and the re-balanced test are the benchmark's. Without categories all fifteen are run; of some, the benchmark's
mean over these stands beside ours, where it has their numbers. Of its ten methods those
stand here that this project has, for two CPU cores (an hour and a half a category); a word ``reference`` among the
categories takes what was published of each, which needs a GPU and the weights of WideResNet-50 and -101. Recall and F1
of the benchmark are of thresholds that saw the test's labels, so they stand beside ours by labels.
"""

from typing import Any

from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.config import comparison
from experiments.configs.compare.methods import FOLDER, HERE, small
from experiments.papers.comparisons import GROUPS

REFERENCE: dict[str, dict[str, Any]] = {
    "PatchCore": {"config": f"{FOLDER}:patchcore,reference"},
    # Its draw of channels is the published one, whatever the seed.
    "PaDiM": {"config": f"{FOLDER}:padim,reference", "published_as": HERE, "settings": {"sweep": {"seed": (1024,)}}},
    "DDAD": {"config": "experiments/configs/mvtec.py:{data},reference"},
    "DRAEM": {"config": f"{FOLDER}:draem,reference"},
    "DiffusionAD": {"config": f"{FOLDER}:diffusionad,reference"},
    "RIAD": {"config": f"{FOLDER}:riad,reference"},
}


def get_config(argument: str = "") -> ConfigDict:
    words = [word.strip() for word in argument.split(",") if word.strip()]
    categories = {name: group for group, names in GROUPS.items() for name in names}
    asked = [word for word in words if word != "reference"]
    if unknown := [name for name in asked if name not in categories]:
        raise InputError(f"benchmark_paper.py:{argument}: {unknown[0]} is none of {', '.join(categories)} or reference")
    data = {
        name: {"settings": {"data": {"category": name, "balance": True}}, "group": categories[name]}
        for name in asked or categories
    }
    methods = (
        REFERENCE
        if "reference" in words
        else small("PatchCore", "DDAD", "DRAEM", "DiffusionAD", "RIAD", "PaDiM", "Feature DDAD")
    )
    return comparison(methods, data, paper="benchmark")
