"""The study of fast samplers on a trained model: network calls against fidelity and accuracy.

    make demo
    python -m experiments.sweep --config=experiments/configs/fast_sampling.py --workdir=runs/demo

``fast_sampling.py:folder`` and ``fast_sampling.py:mtd`` study what folder.py:ddad and mtd.py trained in a workdir; give
the same ``--config.data...`` as there. w, T' and the score are those of that config: nothing here was tuned.
The workdir's report and tables then show the study; copy the workdir first to keep those of the model, which is
not touched. Every row says how far its reconstructions are from a 100-step teacher's (``teacher_rmse``); seeds are of
the noise.
"""

import functools
from collections.abc import Callable

from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.configs import demo, folder, mtd

FEW = (2, 3, 5)
PARTS = {
    # One step of any solver is the one-shot prediction, so it is asked for here alone.
    "ddim": {"steps": (1, *FEW, 10), "eta": (0.0, 1.0), "grid": ("trailing",)},
    "solvers": {"solver": ("dpm2m", "unipc2", "unipc3", "heun"), "steps": FEW},
    "grids": {"solver": ("ddim", "dpm2m"), "grid": ("log_snr", "optimised"), "steps": FEW, "eta": (0.0,)},
    "start": {
        "solver": ("ddim", "dpm2m"), "grid": ("trailing", "log_snr"), "start_noise": (0.0,), "steps": (1, *FEW, 10),
        "eta": (0.0,),
    },
    "steering": {"solver": ("dpm2m",), "steps": (3,), "fade": (0.5, 2.0)},
    # Steps alone: with w as it is, the last blend grows as they get fewer, and that of all together falls.
    "last": {"steps": (1, *FEW), "eta": (0.0,), "grid": ("trailing",), "last_blend": (0.1,)},
    "total": {"steps": (1, *FEW, 10), "eta": (0.0,), "grid": ("trailing",), "total_blend": (0.5,)},
    "interval": {"solver": ("dpm2m",), "steps": (3,), "blend_low": (100,)},
    "noise": {"solver": ("ddim", "sde_dpm2m"), "steps": FEW, "grid": ("log_snr",), "eta": (1.0,)},
    "draws": {"steps": (3,), "eta": (1.0,), "draws": (4,)},
    "inversion": {"start": ("inversion",), "steps": FEW, "eta": (0.0,)},
    "rise": {"solver": ("dpm2m",), "steps": (3,), "rise": (0.4,)},
    "reuse": {"reuse": (2, 5), "steps": (5, 10), "eta": (0.0,)},
    "student": {"model": ("student",), "steps": (1, 2)},
}  # fmt: skip
"""What is compared; each takes the point's values for what it does not name."""

STUDIED: dict[str, Callable[[], ConfigDict]] = {
    "demo": demo.get_config,
    "folder": functools.partial(folder.get_config, "ddad"),
    "mtd": mtd.get_config,
}


def get_config(studied: str = "demo") -> ConfigDict:
    if studied not in STUDIED:
        raise InputError(f"fast_sampling.py:{studied}: expected {', '.join(STUDIED)}")
    c = STUDIED[studied]()
    with c.unlocked():
        c.select = ""
        c.teacher = 100
        c.teacher_images = 32
        # DDIM-10 with eta = 1 is what the others are held against. Its own noise is part of its distance to the
        # teacher, so that part "ddim" has it without, too. The published code's own grid needs a T' that the steps
        # divide: --config.sweep.parts.ddim.grid='("reference",)' --config.sweep.parts.ddim.steps='(1,2,5,10)'.
        c.sample.update(steps=10, eta=1.0, solver="ddim", start_noise=1.0, fade=1.0, blend_max=0.0, rise=0.0, reuse=1)
        c.sample.update(start="noise", draws=1, blend_low=0, blend_high=999, last_blend=0.0, total_blend=0.0)
        c.sample.scoring = "reconstruction"
        for name in c.sweep:
            if name not in ("parts", "seed"):
                c.sweep[name] = ()
        c.sweep.seed = (0, 1, 2)
        c.sweep.parts = ConfigDict(PARTS)
    return c
