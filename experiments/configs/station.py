"""Cans filmed by the simulated station, 64 px, small enough for two CPU cores: what ``make station`` trains on.

Stands in for the data set of Huynh et al. 2025 (section 4.1): five camera angles and lights, 300 normal pictures to
train on, 150 of each defect and 140 normal ones, hard ones among them, of other recordings to test on. ``python -m
experiments.station`` makes it; ``station.py:coffee`` names another product. The settings are the demo's, trained for
twice as long. Cost: about a quarter of an hour on two cores, filming included.
"""

from ml_collections import ConfigDict

from experiments.configs import demo


def get_config(product: str = "winter_melon") -> ConfigDict:
    c = demo.get_config(product)
    with c.unlocked():
        c.data.update(kind="folder", root="runs/station/sets", category=product)
        c.train.max_minutes = 8.0
        c.sample.origin = "fixed in the config, whose few values were settled on the demo's simulated cans"
    return c
