"""The study of what a trained noise predictor says of a picture: redrawn, led to noise, or asked about a little noise.

    python -m experiments.sweep --config=experiments/configs/scores.py:mtd --config.data.root=... --workdir=runs/mtd

``scores.py:folder``, ``scores.py:gaussian`` and ``scores.py:mtd`` study what folder.py:ddad, folder.py:gaussian and
mtd.py trained in a workdir, or train it first; give the same ``--config.data...`` and ``--config.train...`` as there.
One point of each kind can be chosen by its own synthetic defects: every row has ``synthetic_image_auroc``.
"""

import functools
from collections.abc import Callable

from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.configs import folder, mtd

PARTS = {
    "reconstruction": {"scoring": ("reconstruction",), "steps": (3,), "t_prime": (100, 250)},
    "inversion": {"scoring": ("inversion",), "steps": (1, 3), "t_prime": (250,)},
    "resilience": {"scoring": ("resilience",), "t_prime": (5, 50)},
}
"""What is compared; T' = 5 is where Score-PR is published, InversionAD visits three times."""

STUDIED: dict[str, Callable[[], ConfigDict]] = {
    "mtd": mtd.get_config,
    "folder": functools.partial(folder.get_config, "ddad"),
    "gaussian": functools.partial(folder.get_config, "gaussian"),
}


def get_config(studied: str = "folder") -> ConfigDict:
    if studied not in STUDIED:
        raise InputError(f"scores.py:{studied}: expected {', '.join(STUDIED)}")
    c = STUDIED[studied]()
    with c.unlocked():
        c.select = "synthetic"
        # What is compared is one network with the extractor as it came: only one of the three looks at features.
        c.adapt.epochs = 0
        c.sample.update(w=1.0, t_prime=250, steps=3, solver="ddim", eta=0.0, start_noise=0.0)
        for name in c.sweep:
            if name not in ("parts", "seed"):
                c.sweep[name] = ()
        c.sweep.update(feature_weight=(0.0, 1.0), sigma=(2.0, 6.0), standardise=(False, True))
        c.sweep.parts = ConfigDict(PARTS)
    return c
