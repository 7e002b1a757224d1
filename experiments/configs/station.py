"""Cans filmed by the simulated station, 64 px, small enough for two CPU cores: what ``make station`` trains on.

Stands in for the data set of Huynh et al. 2025 (section 4.1): 300 normal pictures of five recordings, 150 of each
defect of five other cameras and lights, normal ones of those five and hard ones. ``python -m experiments.station``
makes it; ``station.py:coffee`` names another product. The settings are the demo's.
"""

from ml_collections import ConfigDict

from experiments.configs import demo


def get_config(product: str = "winter_melon") -> ConfigDict:
    c = demo.get_config(product)
    with c.unlocked():
        c.data.update(kind="folder", root="runs/station/sets", category=product)
        c.sample.origin = "fixed in the config, whose few values were settled on the demo's simulated cans"
    return c
