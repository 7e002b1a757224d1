"""The study of fast samplers on a trained model: network calls against fidelity and accuracy.

    make demo
    python -m experiments.sweep --config=experiments/configs/fast_sampling.py --workdir=runs/demo

``fast_sampling.py:folder`` and ``fast_sampling.py:mtd`` study what folder.py and mtd.py trained in a workdir; give
the same ``--config.data...`` as there. w, T' and the score are those of that config: nothing here was tuned.
The workdir's report and tables then show the study; copy the workdir first to keep those of the model, which is
not touched. Every row says how far its reconstructions are from a 100-step teacher's (``teacher_rmse``); seeds are of
the noise.
"""

from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.configs import demo, folder, mtd

STUDIED = {"demo": demo.get_config, "folder": folder.get_config, "mtd": mtd.get_config}


def get_config(studied: str = "demo") -> ConfigDict:
    if studied not in STUDIED:
        raise InputError(f"fast_sampling.py:{studied}: expected {', '.join(STUDIED)}")
    c = STUDIED[studied]()
    with c.unlocked():
        c.select = ""
        c.teacher = 100
        # DDIM-10 with eta = 1 is what the others are held against. The published code's own grid needs T' divisible
        # by the steps: --config.sweep.grid='("trailing","reference")' --config.sweep.steps='(1,2,5,10)'.
        c.sample.update(steps=10, eta=1.0, solver="ddim", start_noise=1.0, fade=1.0, blend_max=0.0)
        c.sweep.update(w=(), t_prime=(), v=(), layers=(), sigma=(), standardise=(), fade=())
        c.sweep.update(
            solver=("ddim", "dpm2m", "unipc2"),
            grid=("trailing", "log_snr", "optimised"),
            steps=(1, 2, 3, 5, 10),
            eta=(0.0, 1.0),
            start_noise=(0.0, 1.0),
            seed=(0, 1, 2),
        )
    return c
