"""Any data set in MVTec AD layout, small enough for two CPU cores:

    python -m experiments.sweep --config=experiments/configs/folder.py --workdir=runs/mine \\
        --config.data.root=/path/to/sets --config.data.category=bottle

``folder.py:gpu`` takes the papers' size instead (256 px, DDAD-S).
"""

from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.config import base


def get_config(size: str = "cpu") -> ConfigDict:
    if size not in ("cpu", "gpu"):
        raise InputError(f"folder.py:{size}: expected folder.py (for two CPU cores) or folder.py:gpu")
    c = base()
    if size == "gpu":
        return c
    with c.unlocked():
        c.data.size = 64
        c.model.update(base=32, channel_mult=(1, 2, 4), res_blocks=1, attention_sizes=(8,), patch=2)
        c.train.update(
            steps=100_000, max_minutes=15.0, batch_size=8, learning_rate=1e-3, warmup_steps=50, t_max=600, min_snr=5.0
        )
        # A network this small redraws softly, so pixels say more than features, as in the paper's VisA runs.
        c.score.v = 7.0
        c.sample.origin = "fixed in the config before the run"
        c.backbone.feature_size = 128
        c.adapt.update(epochs=8, max_minutes=3.0, steps=5)
        c.sample.update(steps=5, batch_size=32)
    return c
