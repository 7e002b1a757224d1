"""The line clearance thesis: DRAEM against DDAD with masks, by the time of masking and with registration, its numbers
beside ours.

    python -m experiments.compare --config=experiments/configs/compare/thesis.py:A,A2,B,B2,C --workdir=runs/thesis \\
        --config.settings.data.root=/path/to/machine --config.settings.view.mask=masks.json

Its views are folders of the root in MVTec AD layout; they are not published, so the words are what yours are called.
PO: the map is silenced outside the mask, PRE: pictures are masked before their distances; M, NM: with a mask, without,
where PO and PRE are one and are run once; R, NR: registered or not. Each is a run with a training of its own (those of
one method and view are the same, seed for seed); ``experiments.views`` shares one and does the same of DDAD alone.
"""

from typing import Any

from ml_collections import ConfigDict

from experiments.config import comparison
from experiments.configs.compare.methods import SMALL

MASKS: dict[str, dict[str, Any]] = {
    "PO+M": {"score": {"mask_after": True}},
    "PRE+M": {"sample": {"mask_before": True}},
    "PO+NM": {"view": {"mask": ""}},
}
"""When the mask is used, if at all, as settings of a run."""


METHODS = {"DDAD": tuple(MASKS), "DRAEM": ("PO+M", "PO+NM")}
"""Of DRAEM's map nothing is a distance, so there is no mask before it: the thesis's PRE rows of DRAEM have the paper's
numbers alone."""


def get_config(argument: str = "A") -> ConfigDict:
    methods = {
        f"{title} {mask}+{moved}": {
            **SMALL[title], "settings": {**MASKS[mask], "view": {**MASKS[mask].get("view", {}), **register}}
        }
        for title, masks in METHODS.items()
        for mask in masks
        for moved, register in (("R", {"register": "scored"}), ("NR", {"register": ""}))
    }  # fmt: skip
    views = [name.strip() for name in argument.split(",") if name.strip()]
    data = {name: {"settings": {"data": {"category": name}}} for name in views}
    settings = {"view": {"mask": "masks.json"}}
    return comparison(methods, data, paper="thesis", settings=settings)
