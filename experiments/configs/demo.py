"""The embedded default: simulated printed cans on a rotating disk, 64 px, small enough for two CPU cores.

Stands in for the station of Huynh et al. 2025 (three can products; normal, dented, painted). Cost: about
five minutes on two cores. ``demo.py:coffee`` names another product.
"""

from ml_collections import ConfigDict

from experiments.config import base


def get_config(product: str = "winter_melon") -> ConfigDict:
    c = base()
    with c.unlocked():
        c.data.update(kind="cans", category=product, size=64)
        c.model.update(base=32, channel_mult=(1, 2, 4), res_blocks=1, attention_sizes=(8,), patch=2, groups=8)
        c.train.update(
            steps=4000, max_minutes=4.0, batch_size=8, learning_rate=1e-3, warmup_steps=50, t_max=400, min_snr=5.0
        )
        c.backbone.feature_size = 128
        # Four pairs: the activations of a step are what the demo needs most memory for.
        c.adapt.update(pairs="self", epochs=2, max_minutes=0.75, batch_size=4)
        # Without noise the same picture always gets the same score, and three calls do what ten do with it.
        c.sample.update(w=1.0, steps=3, solver="dpm2m", eta=0.0, start_noise=0.0, batch_size=32)
        # The blend stays below 1, so the reconstruction never passes the target; a network this small redraws softly,
        # so pixels say more than features.
        # An extractor adapted on its own reconstructions tells less of what they always do, so pixels weigh more.
        c.score.update(v=7.0, layers=("layer1", "layer2", "layer3"))
        c.sample.origin = "fixed in the config, whose few values were settled on these simulated cans"
        c.student.update(w=(0.0, 3.0), t_prime=(150, 300), teacher_steps=10, start_noise=0.0)
        c.student.update(batch_size=8, learning_rate=5e-4, max_minutes=8.0)
        c.sweep.update(w=(0.0, 1.0, 2.0, 3.0, 5.0), t_prime=(150, 250), v=(0.0, 1.0, 3.0, 7.0, 15.0))
        c.sweep.layers = (("layer1", "layer2", "layer3"), ("layer1", "layer2"))
    return c
