"""Not a config: the methods that a comparison may name, each by the config of an ordinary run. A new one is a line."""

from collections.abc import Mapping
from typing import Any

from ddad_jax.errors import InputError

FOLDER = "experiments/configs/folder.py"
HERE = "-"
"""``published_as`` of what no paper compares under its title."""

SMALL: dict[str, Mapping[str, Any]] = {
    "Ensemble": {"config": FOLDER, "published_as": HERE},
    "Feature DDAD": {"config": f"{FOLDER}:feature_ddad", "published_as": HERE},
    "PatchCore": {"config": f"{FOLDER}:patchcore"},
    "PaDiM": {"config": f"{FOLDER}:padim"},
    "DDAD": {"config": f"{FOLDER}:ddad"},
    "DRAEM": {"config": f"{FOLDER}:draem"},
    "RIAD": {"config": f"{FOLDER}:riad"},
    "DiffusionAD": {"config": f"{FOLDER}:diffusionad"},
    "DiffAD": {"config": f"{FOLDER}:diffad"},
    "Gaussian DDAD": {"config": f"{FOLDER}:gaussian", "published_as": HERE},
    "AnoDDPM": {"config": f"{FOLDER}:anoddpm"},
}
"""Title -> as of ``experiments.config.comparison``, of settings for two CPU cores."""

NOISE = {
    "Score-based PR": {"sample": {"scoring": "resilience", "t_prime": 5}, "adapt": {"epochs": 0}},
    "InversionAD": {"sample": {"scoring": "inversion", "t_prime": 200, "steps": 3}, "adapt": {"epochs": 0}},
}
"""Scores of a noise predictor without a reconstruction: title -> settings beside those of its training."""


def small(*titles: str) -> dict[str, dict[str, Any]]:
    """These methods, with settings for two CPU cores; all of SMALL without any.

    Raises:
      InputError: a title that is in neither table.
    """
    if unknown := [title for title in titles if title not in {*SMALL, *NOISE}]:
        raise InputError(f"{unknown[0]}: is no method here; expected one of {', '.join((*SMALL, *NOISE))}")
    of_noise = {title: {**SMALL["DDAD"], "settings": settings} for title, settings in NOISE.items()}
    return {title: dict({**SMALL, **of_noise}[title]) for title in titles or SMALL}
