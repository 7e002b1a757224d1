"""Magnetic Tile Defects, the paper's protocol: 80 % of MT_Free to train on, the rest and all defects to test.

    python -m experiments.sweep --config=experiments/configs/mtd.py --workdir=runs/mtd --config.data.root=/path/to/mtd

DDAD reports an image AUROC of 98.3 (Table 3, DDAD-10, WideResNet-101, 256 px). ``mtd.py:cpu`` (the default) is
sized for an hour on two cores; ``mtd.py:gpu`` is DDAD-S at 256 px.
"""

from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.config import base


def get_config(size: str = "cpu") -> ConfigDict:
    if size not in ("cpu", "gpu"):
        raise InputError(f"mtd.py:{size}: expected mtd.py (for two CPU cores) or mtd.py:gpu")
    c = base()
    with c.unlocked():
        c.data.update(kind="mtd", flips="hv")
        if size == "gpu":
            c.train.update(steps=30_000, batch_size=32)
            return c
        c.data.size = 128
        c.model.update(base=32, channel_mult=(1, 2, 4), res_blocks=1, attention_sizes=(8,), patch=4, predict="x0")
        c.train.update(
            steps=100_000, max_minutes=40.0, batch_size=8, learning_rate=1e-3, warmup_steps=50, t_max=400, min_snr=5.0
        )
        c.sample.origin = "fixed in the config before the run"
        c.backbone.feature_size = 256
        c.adapt.update(epochs=4, max_minutes=5.0, steps=5)
        c.sample.update(steps=5, batch_size=32)
    return c
